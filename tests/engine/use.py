"""A use: a row with its data types and layout chosen; what it is given, what it must give."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from layouts import SHAPES, place
from numeric import FLOATS, INEXACT, disagreement, name_of, result_dtype, rounded, to_core, to_numpy

from legato.testing import Case, Spec, Tolerance, flatten, rounding, ulp

Values = list[np.ndarray]


class Mismatch(AssertionError):
    """A cell whose result is wrong."""


@dataclass
class Sample:
    """Inputs of one call: arrays of the core and the same values for NumPy."""

    arrays: list[Any]
    values: Values
    laid_out: bool


def pinned(row: Case, spec: Spec) -> str | None:
    """The data type of an input that doesn't follow the cell's."""
    if spec.dtype is not None:
        return spec.dtype
    kinds = {s.kind for s in row.specs() if s.dtype is None}
    lead = "float" if "float" in kinds else "int" if "int" in kinds else "bool"
    return (
        None
        if spec.kind == lead
        else {"int": "int32", "bool": "bool", "float": "float32"}[spec.kind]
    )


def following(row: Case) -> int:
    """How many inputs follow the data type of the cell."""
    return sum(pinned(row, spec) is None for spec in row.specs())


class Use:
    """A row of `cases.py` in one data type ("float32", or "float32,int8" for two inputs) and layout."""

    def __init__(self, core: Any, row: Case, dtype: str, layout: str) -> None:
        self.core, self.row, self.layout = core, row, layout
        self.specs = row.specs()
        cycle = dtype.split(",")
        self.dtypes: list[str] = []
        follow: list[str] = []
        for spec in self.specs:
            fixed = pinned(row, spec)
            if fixed is None:
                follow.append(cycle[len(follow) % len(cycle)])
            self.dtypes.append(fixed or follow[-1])
        self.out = result_dtype(row.out, follow or self.dtypes or cycle)
        self.seed = zlib.crc32(f"{row.op} {row.where}".encode())

    # --- inputs

    def shape(self, i: int, grow: int = 0) -> tuple[int, ...]:
        shape = self.specs[i].shape
        if self.row.pointwise and shape == ():
            shapes = SHAPES.get(self.layout, [(3, 5)])
            shape = shapes[i % len(shapes)]
        return tuple(n + grow if n > 1 else n for n in shape)

    def draw(self, number: int = 0, grow: int = 0) -> Values:
        """Values of all inputs, rounded to their data types. `number` counts the draws, `grow` lengthens axes."""
        rng = np.random.default_rng([self.seed, number])
        drawn = []
        for i, (spec, dtype) in enumerate(zip(self.specs, self.dtypes, strict=True)):
            shape = self.shape(i, grow)
            v = rounded(spec.sample(rng, dtype, shape), dtype)
            if v.shape != shape:
                raise ValueError(f"{self.row.op}: an input drew shape {v.shape}, not {shape}")
            drawn.append(v)
        return drawn

    def place(self, values: Values) -> Sample:
        """The values as arrays in the layout of this use, evaluated."""
        sample = Sample([], [], self.layout in ("contiguous", *SHAPES))
        for spec, dtype, v in zip(self.specs, self.dtypes, values, strict=True):
            array, v, done = place(self.core, self.layout, v, dtype, spec.free)
            sample.arrays.append(array)
            sample.values.append(v)
            sample.laid_out |= done
        self.core.eval(sample.arrays)
        return sample

    def sample(self, number: int = 0, grow: int = 0) -> Sample:
        return self.place(self.draw(number, grow))

    # --- the op and its reference, as functions of the arrays only

    def arguments(
        self, leaves: Sequence[Any], number: Callable[[Any], Any] = lambda x: x
    ) -> list[Any]:
        """The arguments of the row with `leaves` for its specs; `number` is applied to what is no array."""
        rest = iter(leaves)

        def fill(tree: Any) -> Any:
            if isinstance(tree, (list, tuple)):
                return type(tree)(fill(item) for item in tree)
            return next(rest) if isinstance(tree, Spec) else number(tree)

        return [fill(item) for item in self.row.inputs]

    def op(self) -> Callable[..., list[Any]]:
        """The op: arrays to a list of results."""
        function = self.row.call
        if function is None:
            named = self.core
            for part in self.row.op.split("."):
                named = getattr(named, part)

            def function(core: Any, *args: Any, **attrs: Any) -> Any:
                return named(*args, **attrs)

        def run(*arrays: Any) -> list[Any]:
            return flatten(function(self.core, *self.arguments(arrays), **self.row.attrs))

        return run

    def has_reference(self) -> bool:
        return self.row.reference is not None or self.row.result_shape is None

    def reference(self, values: Values) -> Values:
        """What NumPy gives."""
        function = self.row.reference or getattr(np, self.row.op)
        follow = [pinned(self.row, spec) is None for spec in self.specs]
        met = result_dtype(
            None, [d for d, f in zip(self.dtypes, follow, strict=True) if f] or self.dtypes
        )[0]
        # Integers are computed with as such where the result is one, else as floats: NumPy's own
        # promotion (int8 to float16, uint64 with int64 to float64) is not ours.
        inexact = any(d in INEXACT for d in self.out)
        given = []
        for v, follows in zip(values, follow, strict=True):
            if follows and v.dtype.kind in "iu":
                v = (
                    v.astype(np.float64)
                    if inexact
                    else v.astype(np.uint64)
                    if met == "uint64"
                    else v.astype(np.int64)
                )
            elif follows and inexact and v.dtype.kind == "b":
                v = v.astype(np.float64)
            given.append(v)
        arguments = self.arguments(
            given, lambda x: float(rounded(x, met)) if isinstance(x, float) and met in FLOATS else x
        )
        with np.errstate(all="ignore"):
            result = function(*arguments, **self.row.attrs)
        return [np.asarray(r) for r in (result if isinstance(result, (list, tuple)) else [result])]

    # --- comparison

    def tolerance(self) -> Tolerance:
        if self.row.tol is not None:
            return self.row.tol
        # A pointwise function is 4 ULP from the float64 answer at most; halves compute in float32 and
        # round once. What else an op does is taken to be a few roundings of its largest result.
        return ulp(4) if self.row.pointwise else rounding(terms=8)

    def magnitudes(self, values: Values) -> Values | None:
        scale = self.tolerance().scale
        if scale in ("element", "largest"):
            return None
        if callable(scale):
            result = scale(*self.arguments(values), **self.row.attrs)
            return [
                np.asarray(r) for r in (result if isinstance(result, (list, tuple)) else [result])
            ]
        return self.reference([v if v.dtype.kind in "iub" else np.abs(v) for v in values])

    def compare(self, results: Sequence[Any], values: Values, what: str = "") -> None:
        """Raises Mismatch unless `results` are what the reference gives for `values`."""
        want = self.reference(values) if self.has_reference() else None
        self.compare_with(results, want, self.magnitudes(values) if want else None, what)

    def compare_with(
        self,
        results: Sequence[Any],
        want: Values | None,
        magnitudes: Values | None = None,
        what: str = "",
    ) -> None:
        what = what and f"{what}: "
        out = self.out if len(self.out) > 1 else self.out * len(results)
        if want is not None and len(want) != len(results):
            raise Mismatch(f"{what}{len(results)} results, expected {len(want)}")
        shapes = self.row.result_shape
        for i, y in enumerate(results):
            if name_of(y.dtype) != out[i]:
                raise Mismatch(f"{what}result has data type {name_of(y.dtype)}, expected {out[i]}")
            if want is None:
                shape = tuple(
                    shapes[i] if shapes and isinstance(shapes[0], (list, tuple)) else shapes
                )
                if to_numpy(self.core, y).shape != shape:
                    raise Mismatch(f"{what}shape {tuple(y.shape)}, expected {shape}")
                continue
            magnitude = magnitudes[i] if magnitudes is not None else None
            wrong = disagreement(
                to_numpy(self.core, y), want[i], out[i], self.tolerance(), magnitude
            )
            if wrong:
                raise Mismatch(f"{what}{wrong}" + (f" (result {i})" if len(results) > 1 else ""))

    # --- derivatives

    def differentiable(self) -> list[int]:
        """Which inputs have derivatives: those of float and complex types."""
        return [i for i, d in enumerate(self.dtypes) if d in INEXACT]

    def inexact_results(self, n: int) -> list[int]:
        out = self.out if len(self.out) > 1 else self.out * n
        return [i for i in range(n) if out[i] in INEXACT]

    def like(self, dtype: str) -> Use:
        """This row in another data type, contiguous."""
        return Use(self.core, self.row, dtype, "contiguous")

    def random(self, shape: Sequence[int], dtype: str, number: int) -> np.ndarray:
        """Cotangents and tangents."""
        rng = np.random.default_rng([self.seed, 77, number])
        v = rng.standard_normal(tuple(shape))
        if dtype.startswith("complex"):
            v = v + 1j * rng.standard_normal(tuple(shape))
        return rounded(v, dtype)

    def array(self, v: np.ndarray, dtype: str) -> Any:
        return to_core(self.core, v, dtype)
