"""Derivatives of the reference by differences, and the modes that compare the core's with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numeric import EPS, disagreement, name_of, to_numpy
from use import Mismatch, Use, Values

from legato.testing import rounding

STEP = 2.0**-10
FULL_JACOBIAN = 48  # inputs with no more elements than this are differentiated by each of them


def differences(f: Callable[[Values], Values], x: Values, t: Values) -> tuple[Values, Values]:
    """df(x + s t)/ds at s = 0, by central differences of fourth order, and what that may be off.

    The error is estimated by a second, halved step: it also grows where f has a kink nearby.
    """

    def at(s: float) -> Values:
        return f([v if np.isscalar(d) else v + s * d for v, d in zip(x, t, strict=True)])

    def slope(h: float) -> Values:
        four = [at(h), at(-h), at(2 * h), at(-2 * h)]
        return [(8 * (a - b) - (c - d)) / (12 * h) for a, b, c, d in zip(*four, strict=True)]

    with np.errstate(all="ignore"):
        coarse, fine = slope(STEP), slope(STEP / 2)
        return fine, [
            4 * np.abs(a - b) + 1e-11 * np.max(np.abs(b), initial=1)
            for a, b in zip(coarse, fine, strict=True)
        ]


def inner(a: Values, b: Values) -> float:
    """Re ⟨a, b⟩: the product in which vjp is the transpose of jvp, for complex values too."""
    return float(sum(np.sum(np.real(np.conj(x) * y)) for x, y in zip(a, b, strict=True)))


class Differentiated:
    """A use as a function of its differentiable inputs, giving only its inexact results."""

    def __init__(self, use: Use, number: int = 0) -> None:
        self.use, self.core = use, use.core
        self.sample = use.sample(number)
        self.at = use.differentiable()
        run = use.op()
        with np.errstate(all="ignore"):
            self.n_results = len(use.reference(self.sample.values))
        self.results = use.inexact_results(self.n_results)
        out = use.out if len(use.out) > 1 else use.out * self.n_results
        self.out = [out[i] for i in self.results]
        self.dtypes = [use.dtypes[i] for i in self.at]
        self.x = [self.sample.arrays[i] for i in self.at]
        self.values = [self.sample.values[i] for i in self.at]

        def f(*x: Any) -> list[Any]:
            arrays = list(self.sample.arrays)
            for i, a in zip(self.at, x, strict=True):
                arrays[i] = a
            y = run(*arrays)
            return [y[i] for i in self.results]

        def reference(x: Values) -> Values:
            full = list(self.sample.values)
            for i, v in zip(self.at, x, strict=True):
                full[i] = v
            y = use.reference(full)
            return [y[i] for i in self.results]

        self.f, self.reference = f, reference
        self.tangents = [
            use.random(v.shape, d, i)
            for i, (v, d) in enumerate(zip(self.values, self.dtypes, strict=True))
        ]
        shapes = [y.shape for y in reference(self.values)]
        self.cotangents = [
            use.random(s, d, 100 + i) for i, (s, d) in enumerate(zip(shapes, self.out, strict=True))
        ]

    def arrays(self, values: Values, dtypes: Sequence[str]) -> list[Any]:
        return [self.use.array(v, d) for v, d in zip(values, dtypes, strict=True)]

    def vjp(self, *x_and_ct: Any) -> list[Any]:
        """The vjp as a function of inputs and cotangents."""
        n = len(self.at)
        return list(self.core.vjp(self.f, list(x_and_ct[:n]), list(x_and_ct[n:]))[1])

    def precision(self) -> float:
        """Roundings that a derivative may be off, times their size."""
        terms = self.use.row.grad_tol
        return max(
            EPS[d] * (min(terms, 16) if EPS[d] > 1e-4 else terms) for d in [*self.dtypes, *self.out]
        )

    def check(
        self,
        got: Sequence[Any],
        want: Values,
        scale: Values,
        slack: Values,
        dtypes: Sequence[str],
        what: str,
    ) -> None:
        for i, g in enumerate(got):
            if name_of(g.dtype) != dtypes[i]:
                raise Mismatch(f"{what} {i} has data type {name_of(g.dtype)}, expected {dtypes[i]}")
            bound = self.precision() * np.max(scale[i], initial=0) + slack[i]
            wrong = disagreement(
                to_numpy(self.core, g), want[i], dtypes[i], rounding(0, half=0), slack=bound
            )
            if wrong:
                raise Mismatch(f"{what} {i}: {wrong}")


def _numpy(core: Any, arrays: Sequence[Any]) -> Values:
    return [to_numpy(core, a) for a in arrays]


def vjp(use: Use) -> None:
    d = Differentiated(use)
    got = d.vjp(*d.x, *d.arrays(d.cotangents, d.out))
    if len(got) != len(d.at):
        raise Mismatch(f"{len(got)} cotangents, expected {len(d.at)}")
    if sum(v.size for v in d.values) <= FULL_JACOBIAN and use.layout in (
        "contiguous",
        "0-d",
        "outer",
        "empty",
    ):
        want, scale, slack = _transposed(d)
        d.check(got, want, scale, slack, d.dtypes, "cotangent of input")
        return
    for i, g in enumerate(got):
        if tuple(g.shape) != d.values[i].shape or name_of(g.dtype) != d.dtypes[i]:
            raise Mismatch(
                f"cotangent of input {i} is {name_of(g.dtype)} {tuple(g.shape)}, "
                f"expected {d.dtypes[i]} {d.values[i].shape}"
            )
        _same_product(d, _numpy(d.core, [g]), i)


def _same_product(d: Differentiated, got: Values, i: int) -> None:
    """⟨vjp, t⟩ of one input against ⟨ct, differences along t⟩, along two directions."""
    for direction in range(2):
        t: Values = [0.0] * len(d.at)
        t[i] = d.use.random(d.values[i].shape, d.dtypes[i], 200 + 10 * i + direction)
        slope, slack = differences(d.reference, d.values, t)
        left, right = inner(got, [t[i]]), inner(d.cotangents, slope)
        size = sum(
            float(np.sum(np.abs(c) * np.abs(s))) for c, s in zip(d.cotangents, slope, strict=True)
        )
        size += float(np.sum(np.abs(got[0]) * np.abs(t[i])))
        off = sum(float(np.sum(np.abs(c) * e)) for c, e in zip(d.cotangents, slack, strict=True))
        if not abs(left - right) <= d.precision() * size + off and np.isfinite(right):
            raise Mismatch(
                f"cotangent of input {i}: ⟨Jᵀ·ct, t⟩ = {left:.9g}, but ⟨ct, J·t⟩ by differences = {right:.9g}"
            )


def _transposed(d: Differentiated) -> tuple[Values, Values, Values]:
    """Jᵀ·ct by differences along every element, |J|ᵀ|ct|, and the error of the first."""
    want, scale, slack = [], [], []
    for i, v in enumerate(d.values):
        w, s, e = np.zeros(v.shape, v.dtype), np.zeros(v.shape), np.zeros(v.shape)
        for at in np.ndindex(v.shape):
            for unit in (1, 1j) if v.dtype.kind == "c" else (1,):
                t: Values = [0.0] * len(d.at)
                t[i] = np.zeros(v.shape, v.dtype)
                t[i][at] = unit
                slope, off = differences(d.reference, d.values, t)
                w[at] += unit * inner(d.cotangents, slope)
                for c, y, o in zip(d.cotangents, slope, off, strict=True):
                    s[at] += np.sum(np.abs(c) * np.abs(y))
                    e[at] += np.sum(np.abs(c) * o)
        want.append(w)
        scale.append(s)
        slack.append(e)
    return want, scale, slack


def jvp(use: Use) -> None:
    d = Differentiated(use)
    _, got = d.core.jvp(d.f, d.x, d.arrays(d.tangents, d.dtypes))
    want, slack = differences(d.reference, d.values, d.tangents)
    scale = [np.abs(w) for w in want]
    for i in range(len(d.at)) if len(d.at) > 1 else ():  # tangents of several inputs may cancel
        alone: Values = [0.0] * len(d.at)
        alone[i] = d.tangents[i]
        for s, part in zip(scale, differences(d.reference, d.values, alone)[0], strict=True):
            s += np.abs(part)
    d.check(got, want, scale, slack, d.out, "tangent of result")
    # Forward and reverse are each other's transposes to the last bits, closer than differences can tell.
    back = _numpy(d.core, d.vjp(*d.x, *d.arrays(d.cotangents, d.out)))
    forward = _numpy(d.core, got)
    left, right = inner(d.cotangents, forward), inner(back, d.tangents)
    size = sum(
        float(np.sum(np.abs(a) * np.abs(b)))
        for a, b in zip([*d.cotangents, *back], [*forward, *d.tangents], strict=True)
    )
    if not abs(left - right) <= d.precision() * size and np.isfinite(left):
        raise Mismatch(f"⟨ct, J·t⟩ = {left:.9g}, but ⟨Jᵀ·ct, t⟩ = {right:.9g}")


class Second:
    """The vjp of a use as a function of inputs and cotangents, and the same in float64 for differences."""

    def __init__(self, use: Use) -> None:
        d = self.d = Differentiated(use)
        wide = Differentiated(
            use.like("complex128" if any(t.startswith("complex") for t in d.dtypes) else "float64")
        )
        wide.sample.values = d.sample.values
        wide.sample.arrays = wide.use.place(d.sample.values).arrays
        self.values = [*d.values, *d.cotangents]
        self.dtypes = [*d.dtypes, *d.out]
        self.x = [*d.x, *d.arrays(d.cotangents, d.out)]
        self.t = [
            use.random(v.shape, t, 300 + i)
            for i, (v, t) in enumerate(zip(self.values, self.dtypes, strict=True))
        ]
        self.u = [
            use.random(v.shape, t, 400 + i)
            for i, (v, t) in enumerate(zip(d.values, d.dtypes, strict=True))
        ]

        def reference(values: Values) -> Values:
            return _numpy(d.core, wide.vjp(*wide.arrays(values, [*wide.dtypes, *wide.out])))

        self.slope, self.slack = differences(reference, self.values, self.t)


def jvp_of_vjp(use: Use) -> None:
    s = Second(use)
    d = s.d
    _, got = d.core.jvp(d.vjp, s.x, d.arrays(s.t, s.dtypes))
    scale = [np.abs(y) for y in s.slope]
    for i in range(len(s.values)):  # the parts of the inputs and of the cotangents may cancel
        part = [t if j == i else np.zeros_like(t) for j, t in enumerate(s.t)]
        _, alone = d.core.jvp(d.vjp, s.x, d.arrays(part, s.dtypes))
        scale = [a + np.abs(b) for a, b in zip(scale, _numpy(d.core, alone), strict=True)]
    d.check(got, s.slope, scale, s.slack, d.dtypes, "tangent of cotangent")


def vjp_of_vjp(use: Use) -> None:
    s = Second(use)
    d = s.d
    got = _numpy(d.core, d.core.vjp(d.vjp, s.x, d.arrays(s.u, d.dtypes))[1])
    left, right = inner(got, s.t), inner(s.u, s.slope)
    size = sum(
        float(np.sum(np.abs(a) * np.abs(b)))
        for a, b in zip([*got, *s.u], [*s.t, *s.slope], strict=True)
    )
    off = sum(float(np.sum(np.abs(a) * b)) for a, b in zip(s.u, s.slack, strict=True))
    if not abs(left - right) <= d.precision() * size + off and np.isfinite(right):
        raise Mismatch(
            f"⟨Jᵀ·u, t⟩ of the vjp = {left:.9g}, but ⟨u, J·t⟩ by differences of the vjp = {right:.9g}"
        )


def vmap_of_vjp(use: Use) -> None:
    """vmap over inputs and cotangents of the vjp, against a loop over it."""
    draws = [Differentiated(use, number) for number in range(3)]
    first = draws[0]
    per_call = [[*d.values, *d.cotangents] for d in draws]
    for (
        d
    ) in draws:  # values that are no inputs of the derivative (indices) are those of the first draw
        d.sample.arrays = [
            a if i not in d.at else b
            for i, (a, b) in enumerate(zip(first.sample.arrays, d.sample.arrays, strict=True))
        ]
    dtypes = [*first.dtypes, *first.out]
    stacked = [
        first.use.array(np.stack(v), t)
        for v, t in zip(zip(*per_call, strict=True), dtypes, strict=True)
    ]
    got = first.core.vmap(first.vjp)(*stacked)
    loop = [_numpy(first.core, first.vjp(*first.arrays(v, dtypes))) for v in per_call]
    want = [np.stack(parts) for parts in zip(*loop, strict=True)]
    first.check(
        got,
        want,
        [np.abs(w) for w in want],
        [0.0 for _ in want],
        first.dtypes,
        "cotangent of input",
    )
