"""Functions of every half of both types on a GPU, against float64; and the exact results that they keep.

python tests/cuda/half_functions.py
"""

import math

import numpy as np

import legato.core as lg

EXACT = {
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "sigmoid": lambda x: np.where(x < 0, np.exp(np.minimum(x, 0)), 1) / (1 + np.exp(-np.abs(x))),
    "tanh": np.tanh,
    "erf": np.vectorize(math.erf),
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "reciprocal": lambda x: 1 / x,
    "silu": lambda x: x * EXACT["sigmoid"](x),
}


def every(dtype):
    bits = np.arange(65536, dtype=np.uint16)
    if dtype == "float16":
        return bits.view(np.float16).astype(np.float32)
    return (bits.astype(np.uint32) << 16).view(np.float32)


def unit(x, dtype):
    """The distance of two halves near x."""
    least, digits = (-13, 11) if dtype == "float16" else (-125, 8)
    return np.ldexp(1.0, np.maximum(np.frexp(np.abs(x))[1], least) - digits)


def worst(f, exact, dtype):
    """The largest error in units of the last place; infinite where something is not even near."""
    x = every(dtype)
    got = np.array(f(lg.array(x).astype(getattr(lg, dtype))).astype(lg.float32)).astype(np.float64)
    want = exact(x.astype(np.float64))
    largest = 65504.0 if dtype == "float16" else float(2.0**127 * (2 - 2.0**-7))
    if not np.array_equal(np.isnan(got), np.isnan(want)):
        return math.inf
    zero = want == 0
    if not np.array_equal(np.signbit(got[zero]), np.signbit(want[zero])):
        return math.inf
    finite = np.abs(want) <= largest
    beyond = ~finite & ~np.isnan(want)
    if not np.all(
        (np.abs(got[beyond]) >= largest) & (np.sign(got[beyond]) == np.sign(want[beyond]))
    ):
        return math.inf
    if not np.all(np.isfinite(got[finite])):
        return math.inf
    return float(np.max(np.abs(got[finite] - want[finite]) / unit(want[finite], dtype)))


def main():
    np.seterr(all="ignore")
    wrong = []
    for dtype in ("float16", "bfloat16"):
        for name, exact in EXACT.items():
            f = getattr(lg, name) if name != "silu" else lambda x: x * lg.sigmoid(x)
            error = worst(f, exact, dtype)
            if not error <= 0.52:
                wrong.append(f"{name} {dtype}: {error:.3f}")
        # What is exact stays so in registers, where floor and casts to integers see it unrounded.
        n = np.arange(1, 129, dtype=np.float32)
        for name, f, x, want in (
            ("quotients", lambda x: lg.floor(x * 7 / x), n, np.full(128, 7)),
            ("halving", lambda x: lg.floor(x / 0.5), n, 2 * n),
            (
                "reciprocals",
                lambda x: lg.floor(4096 * lg.reciprocal(x)),
                2.0 ** np.arange(8),
                4096 / 2.0 ** np.arange(8),
            ),
            (
                "roots",
                lambda x: lg.floor(64 * lg.rsqrt(x)),
                4.0 ** np.arange(6),
                64 / 2.0 ** np.arange(6),
            ),
            ("powers", lambda x: lg.floor(lg.exp2(x)), np.arange(8.0), 2.0 ** np.arange(8)),
            (
                "logarithms",
                lambda x: lg.floor(lg.log2(x)),
                2.0 ** np.arange(-7, 8),
                np.arange(-7, 8),
            ),
            (
                "saturation",
                lambda x: lg.floor(lg.sigmoid(x)) + lg.floor(lg.tanh(x)) + lg.floor(lg.erf(x)),
                np.arange(40.0, 60),
                np.full(20, 3),
            ),
            ("one", lambda x: lg.floor(lg.exp(x)), np.zeros(4), np.ones(4)),
        ):
            got = np.array(
                f(lg.array(np.asarray(x, np.float32)).astype(getattr(lg, dtype))).astype(lg.float32)
            )
            if not np.array_equal(got, want):
                wrong.append(f"{name} {dtype}: {got.tolist()}")
        # Quotients of halves, special ones included.
        special = np.array(
            [0, -0.0, 1, -1, 3, 1e-3, 6e4, 3e-5, 6e-8, np.inf, -np.inf, np.nan, 1.5, 0.1]
        )
        a, b = (v.ravel() for v in np.meshgrid(special, special))
        half = [lg.array(v.astype(np.float32)).astype(getattr(lg, dtype)) for v in (a, b)]
        got = np.array((half[0] / half[1]).astype(lg.float32))
        x, y = (np.array(v.astype(lg.float32)).astype(np.float64) for v in half)
        want = np.array(
            lg.array((x / y).astype(np.float32)).astype(getattr(lg, dtype)).astype(lg.float32)
        )
        if (
            not np.array_equal(
                got.view(np.uint32)[~np.isnan(want)], want.view(np.uint32)[~np.isnan(want)]
            )
            or not np.isnan(got[np.isnan(want)]).all()
        ):
            wrong.append(f"quotients {dtype}")
    print(wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    lg.set_default_device(lg.gpu)
    raise SystemExit(main())
