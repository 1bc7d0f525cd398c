"""Data types: between NumPy, which knows no bfloat16, and the core; promotion; comparison."""

from __future__ import annotations

from typing import Any

import numpy as np

from legato.testing import DTYPES, EPS, SMALLEST, Tolerance

INEXACT = ("float16", "bfloat16", "float32", "float64", "complex64", "complex128")
FLOATS = INEXACT[:4]
LARGEST = {"float16": 65504.0, "bfloat16": float(2.0**127 * (2 - 2.0**-7))}
LARGEST |= {"float32": float(np.finfo(np.float32).max), "float64": float(np.finfo(np.float64).max)}
LARGEST |= {"complex64": LARGEST["float32"], "complex128": LARGEST["float64"]}

# The table of docs/semantics, stated here a second time and independently of legato/array/dtype.cpp.
_WIDTH = {"8": 1, "16": 2, "32": 4, "64": 8}


def _integer(a: str, b: str) -> str:
    ua, ub = a.startswith("u"), b.startswith("u")
    wa, wb = int(a.lstrip("uint")), int(b.lstrip("uint"))
    if ua == ub:
        return ("uint" if ua else "int") + str(max(wa, wb))
    unsigned, signed = (wa, wb) if ua else (wb, wa)
    if signed > unsigned:
        return f"int{signed}"
    return "float32" if unsigned == 64 else f"int{2 * unsigned}"


def promote(a: str, b: str) -> str:
    """The data type in which arrays of types `a` and `b` meet."""
    if a == b or b == "bool":
        return a
    if a == "bool":
        return b
    ia, ib = "int" in a, "int" in b
    if ia and ib:
        return _integer(a, b)
    if ia or ib:
        return b if ia else a
    pair = {a, b}
    if "complex128" in pair or pair == {"float64", "complex64"}:
        return "complex128"
    for wide in ("complex64", "float64", "float32"):
        if wide in pair:
            return wide
    return "float32"  # float16 with bfloat16


def result_dtype(rule: Any, following: list[str]) -> list[str]:
    """The data types of the results by a row's `out`, given those of the inputs that follow the cell."""
    if isinstance(rule, (list, tuple)):
        return [result_dtype(r, following)[0] for r in rule]
    if callable(rule):
        given = rule(*following)
        return list(given) if isinstance(given, (list, tuple)) else [given]
    if rule in DTYPES:
        return [rule]
    out = following[0] if following else "float32"
    for d in following[1:]:
        out = promote(out, d)
    if rule in ("float", "real") and out not in INEXACT:
        out = "float32"
    if rule == "real":
        out = {"complex64": "float32", "complex128": "float64"}.get(out, out)
    if rule == "sum":
        narrow = {
            "bool": "int32",
            "int8": "int32",
            "int16": "int32",
            "uint8": "uint32",
            "uint16": "uint32",
        }
        out = narrow.get(out, out)
    elif rule not in (None, "float", "real"):
        raise ValueError(f"out={rule!r} is no rule and no data type")
    return [out]


def rounded(values: np.ndarray, dtype: str) -> np.ndarray:
    """`values` rounded to `dtype`, held in float64, complex128, int64, uint64 or bool."""
    values = np.asarray(values)
    with np.errstate(all="ignore"):
        if dtype == "bool":
            return values.astype(bool)
        if dtype == "bfloat16":
            bits = values.astype(np.float32).view(np.uint32)
            finite = np.isfinite(values.astype(np.float32))
            bits = np.where(
                finite, (bits + 0x7FFF + (bits >> 16 & 1)) & np.uint32(0xFFFF0000), bits
            )
            return bits.astype(np.uint32).view(np.float32).astype(np.float64)
        if dtype.startswith("uint"):
            return (
                values.astype(np.uint64 if values.dtype.kind == "u" else np.int64)
                .astype(dtype)
                .astype(np.uint64)
            )
        if dtype.startswith("int"):
            return values.astype(np.int64).astype(dtype).astype(np.int64)
        return values.astype(dtype).astype(
            np.complex128 if dtype.startswith("complex") else np.float64
        )


def name_of(dtype: Any) -> str:
    """ "float32" of core.float32."""
    return str(dtype).rsplit(".", 1)[-1].rstrip("_")


def core_dtype(core: Any, dtype: str) -> Any:
    return core.bool_ if dtype == "bool" else getattr(core, dtype)


def to_core(core: Any, values: np.ndarray, dtype: str) -> Any:
    """An array of the core that holds `values`, which `dtype` must be able to hold."""
    values = np.asarray(values)
    if dtype == "bfloat16":
        return core.array(values.astype(np.float32)).astype(core.bfloat16)
    return core.array(values.astype(dtype), dtype=core_dtype(core, dtype))


def to_numpy(core: Any, a: Any) -> np.ndarray:
    if name_of(a.dtype) == "bfloat16":
        a = a.astype(core.float32)
    return np.array(a)


def disagreement(
    got: np.ndarray, want: Any, dtype: str, tol: Tolerance, magnitude: Any = None, slack: Any = 0.0
) -> str | None:
    """What is wrong with `got`, the values of a result of type `dtype`; None if nothing is.

    slack: error of the reference itself, added to what `tol` allows.
    """
    want = np.asarray(want)
    if got.shape != want.shape:
        return f"shape {got.shape}, expected {want.shape}"
    if dtype not in INEXACT:
        wrapped = rounded(want, dtype)
        wrong = np.asarray(got.astype(wrapped.dtype) != wrapped)
        return _first(wrong, got, wrapped, np.zeros(want.shape)) if wrong.any() else None
    with np.errstate(all="ignore"):
        wide = np.complex128 if dtype.startswith("complex") else np.float64
        if want.dtype.kind == "c" and wide is np.float64:
            return f"a real result, expected a complex one: {want.ravel()[:3]}"
        got, want = got.astype(wide), want.astype(wide)
        bound = tol.bound(want, dtype, magnitude) + slack
        near = np.abs(got - want) <= bound
        same = (got == want) | (np.isnan(got) & np.isnan(want))
        if wide is np.float64:
            # What is rounded up to infinity may also be the largest number, and the other way round.
            overflow = np.abs(want) + bound > LARGEST[dtype]
            same |= (
                overflow
                & (np.isinf(got) | (np.abs(got) == LARGEST[dtype]))
                & (np.sign(got) == np.sign(want))
            )
        else:
            same |= ~np.isfinite(want) & ~np.isfinite(
                got
            )  # parts of infinite complex values: C99 gives choices
        wrong = np.asarray(~(near | same))
    return _first(wrong, got, want, bound) if wrong.any() else None


def _first(wrong: np.ndarray, got: np.ndarray, want: np.ndarray, bound: Any) -> str:
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    at = f" at {list(index)}" if index else ""
    allowed = np.broadcast_to(bound, want.shape)[index]
    within = f" ± {allowed:.2g}" if allowed else ""
    return f"{got[index]}{at}, expected {want[index]}{within} ({int(wrong.sum())} of {wrong.size} wrong)"


__all__ = [
    "EPS",
    "FLOATS",
    "INEXACT",
    "SMALLEST",
    "core_dtype",
    "disagreement",
    "name_of",
    "promote",
]
__all__ += ["result_dtype", "rounded", "to_core", "to_numpy"]
