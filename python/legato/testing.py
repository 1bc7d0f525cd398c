"""Rows of `cases.py`: what an op is given, what NumPy says of it, how close the two must be.

    from legato.testing import case, error, normal, rounding

    case("softmax", [normal(3, 5)], dict(axis=-1),
         reference=lambda a, axis: ..., tol=rounding(terms=5))
    case("exp", [normal(high=10)], pointwise=True, reference=np.exp, dtypes="floats ints bool", out="float")
    error("softmax", [normal(3)], dict(axis=2), match="axis 2 is out of range")

The engine in tests/engine multiplies each row by data types, layouts and transforms, and compares
with the reference, which is called in float64 (or complex128; on int64, uint64 and bool where the
result is of that kind). Operations outside of Legato are tested in the same way: keep a `cases.py`
beside them and `load` it.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

_INTEGERS = [f"{sign}{bits}" for sign in ("uint", "int") for bits in (8, 16, 32, 64)]
_INEXACT = ["float16", "bfloat16", "float32", "float64", "complex64", "complex128"]
DTYPES = ["bool", *_INTEGERS, *_INEXACT]
GROUPS = {
    "bool": ["bool"],
    "unsigned": ["uint8", "uint16", "uint32", "uint64"],
    "signed": ["int8", "int16", "int32", "int64"],
    "floats": ["float32", "float64", "float16", "bfloat16"],
    "halves": ["float16", "bfloat16"],
    "complex": ["complex64", "complex128"],
}
GROUPS["ints"] = GROUPS["signed"] + GROUPS["unsigned"]
GROUPS["real"] = GROUPS["floats"] + GROUPS["ints"]
GROUPS["inexact"] = GROUPS["floats"] + GROUPS["complex"]
GROUPS["all"] = GROUPS["inexact"] + GROUPS["ints"] + GROUPS["bool"]


def dtype_names(text: str | Sequence[str]) -> list[str]:
    """Names of data types from names and groups: "floats int8" is five of them."""
    words = text.split() if isinstance(text, str) else list(text)
    unknown = [w for w in words if w not in DTYPES and w not in GROUPS]
    if unknown:
        raise ValueError(
            f"no data type or group of them is called {unknown[0]!r}; groups: {', '.join(GROUPS)}"
        )
    return list(dict.fromkeys(name for w in words for name in GROUPS.get(w, [w])))


# --- inputs -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spec:
    """One array input: how to draw it. `dtype` pins its data type; None: that of the tested cell.

    `free` says that any values of this kind do, so that a layout may repeat one row over an axis.
    """

    shape: tuple[int, ...]
    draw: Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
    dtype: str | None = None
    kind: str = "float"  # what it follows when no data types are named: float, int or bool
    free: bool = True
    step: int = 1  # times this, the values are whole
    domain: tuple[Any, ...] = ()  # equal for specs that draw from the same values

    def sample(
        self, rng: np.random.Generator, dtype: str, shape: tuple[int, ...] | None = None
    ) -> np.ndarray:
        """Values that suit `dtype`, not yet rounded to it."""
        shape = self.shape if shape is None else shape
        values = np.asarray(self.draw(rng, shape))
        if dtype == "bool":
            return values if values.dtype == bool else rng.random(shape) < 0.5
        if dtype.startswith("complex") and self.kind == "float":
            return values + 1j * np.asarray(self.draw(rng, shape))
        if dtype.startswith(("int", "uint")) and values.dtype.kind == "f":
            values = np.rint(values * (4 if self.domain[:1] == ("normal",) else self.step))
        if dtype.startswith("uint"):
            values = values - values.min(initial=0) if self.step > 1 else np.abs(values)
        return values


def normal(*shape: int, mean: float = 0.0, scale: float = 1.0, dtype: str | None = None) -> Spec:
    """Normally distributed values; whole ones of about four times the size for integers."""
    return Spec(
        shape,
        lambda rng, s: rng.standard_normal(s) * scale + mean,
        dtype,
        domain=("normal", mean, scale),
    )


def uniform(*shape: int, low: float = 0.0, high: float = 1.0, dtype: str | None = None) -> Spec:
    """Values in [low, high]. For integers, the whole numbers next to them (their size if unsigned)."""
    return Spec(
        shape, lambda rng, s: rng.uniform(low, high, s), dtype, domain=("uniform", low, high)
    )


def integers(*shape: int, low: int = 0, high: int = 10, dtype: str | None = None) -> Spec:
    """Whole numbers in [low, high). int32 beside float inputs, else of the data type of the cell."""
    return Spec(
        shape,
        lambda rng, s: rng.integers(low, high, s),
        dtype,
        kind="int",
        domain=("int", low, high),
    )


def boolean(*shape: int, dtype: str | None = None) -> Spec:
    """True and False in equal parts; bool beside other inputs."""
    return Spec(shape, lambda rng, s: rng.random(s) < 0.5, dtype, kind="bool", domain=("bool",))


def distinct(*shape: int, dtype: str | None = None) -> Spec:
    """Values that are all different, by 1/8 at least (by 1 for integers), in random order: no ties."""

    def draw(rng: np.random.Generator, s: tuple[int, ...]) -> np.ndarray:
        n = int(np.prod(s))
        return (rng.permutation(n).reshape(s) - n // 2) / 8.0

    return Spec(shape, draw, dtype, free=False, step=8, domain=("distinct",))


def values(array: Any, dtype: str | None = None) -> Spec:
    """Exactly these values."""
    fixed = np.asarray(array)
    kind = {"b": "bool", "i": "int", "u": "int"}.get(fixed.dtype.kind, "float")
    return Spec(fixed.shape, lambda rng, s: fixed, dtype, kind=kind, free=False)


def drawn(
    *shape: int, by: Callable[..., Any], dtype: str | None = None, kind: str = "float"
) -> Spec:
    """What `by(rng, shape)` draws: sorted values, positive definite matrices, ..."""
    return Spec(shape, by, dtype, kind=kind, free=False)


# --- tolerances -------------------------------------------------------------------------------------------------------

EPS = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}
EPS |= {"complex64": EPS["float32"], "complex128": EPS["float64"]}
SMALLEST = {"float16": 2.0**-14, "bfloat16": 2.0**-126, "float32": 2.0**-126, "float64": 2.0**-1022}
SMALLEST |= {"complex64": SMALLEST["float32"], "complex128": SMALLEST["float64"]}


@dataclass(frozen=True)
class Tolerance:
    """How far a result may lie from the reference; see `ulp`, `rounding` and `exact`."""

    count: float
    half: float
    scale: str | Callable[..., Any] = "element"

    def bound(self, want: np.ndarray, dtype: str, magnitude: Any) -> np.ndarray:
        """The largest error allowed in each element of `want`, for a result of type `dtype`."""
        n = self.half if dtype in ("float16", "bfloat16") else self.count
        size = np.nan_to_num(np.abs(want), nan=0.0, posinf=0.0)
        if self.scale == "element":  # one unit in the last place of each element
            _, exponent = np.frexp(np.maximum(size, SMALLEST[dtype]))
            return n * np.ldexp(EPS[dtype], exponent - 1)
        if self.scale != "largest":
            size = np.abs(np.broadcast_to(np.asarray(magnitude), want.shape))
        elif size.size:
            size = np.full(want.shape, size.max())
        return n * EPS[dtype] * np.maximum(size, SMALLEST[dtype])


def ulp(count: float, half: float = 1) -> Tolerance:
    """`count` units in the last place of each element; `half` for float16 and bfloat16, which compute
    in float32 and round once."""
    return Tolerance(count, half)


def rounding(
    terms: float, scale: str | Callable[..., Any] = "largest", half: float | None = None
) -> Tolerance:
    """`terms` roundings of the size `scale`.

    scale: "largest": the largest element of the result. "abs": the reference on the absolute values of
    the inputs, which is what cancels in a sum of products. Or a function of inputs and attributes.
    half: the same for results in float16 and bfloat16 (default: terms, but 4 at most: halves compute in
    float32 and round where they are stored).
    """
    return Tolerance(terms, min(terms, 4) if half is None else half, scale)


exact = Tolerance(0, 0)


# --- rows -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A use of an op that works. Made by `case`."""

    op: str
    inputs: Sequence[Any]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    reference: Callable[..., Any] | None = None
    dtypes: tuple[str, ...] = ()
    out: Any = None
    tol: Tolerance | None = None
    grad_tol: float = 64
    pointwise: bool = False
    result_shape: Any = None
    call: Callable[..., Any] | None = None
    skip: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    specials: bool = True
    where: str = ""

    def specs(self) -> list[Spec]:
        """The array inputs in order, also those inside lists."""
        return [leaf for leaf in flatten(list(self.inputs)) if isinstance(leaf, Spec)]


@dataclass(frozen=True)
class Error:
    """A use of an op that is refused. Made by `error`."""

    op: str
    inputs: Sequence[Any]
    attrs: Mapping[str, Any]
    raises: type[BaseException] | tuple[type[BaseException], ...]
    match: str
    call: Callable[..., Any] | None = None
    where: str = ""


def flatten(tree: Any) -> list[Any]:
    """The leaves of nested lists and tuples."""
    if isinstance(tree, (list, tuple)):
        return [leaf for item in tree for leaf in flatten(item)]
    return [tree]


_rows: list[Case | Error] = []


def case(
    op: str | Sequence[str],
    inputs: Sequence[Any],
    attrs: Mapping[str, Any] | None = None,
    *,
    reference: Callable[..., Any] | None = None,
    dtypes: str | Sequence[str] | None = None,
    out: Any = None,
    tol: Tolerance | None = None,
    grad_tol: float = 64,
    pointwise: bool = False,
    result_shape: Any = None,
    call: Callable[..., Any] | None = None,
    skip: Mapping[str, str] | None = None,
    specials: bool = True,
) -> Case:
    """Adds a row: `op(*inputs, **attrs)` gives what `reference(*inputs, **attrs)` gives.

    Args:
        op: Name of the function in `legato.core`: "sum", "fast.rms_norm". A list: the first, and other
            names of it.
        inputs: Arrays to draw (`normal(3, 5)`, ...), numbers, and lists of these.
        attrs: Further arguments, by keyword, for the op and the reference.
        reference: NumPy function on float64. Default: NumPy's function of that name. May return a
            tuple if the op has several results.
        dtypes: Names and groups ("floats ints bool complex all ...") for the inputs that are not pinned.
            Default: floats; all integers if there are only integer inputs; bool if only boolean ones.
        out: Data type of the result. None: to what the inputs promote. "float": so, but float32 for
            integers. "real": so, and the real type for complex ones. "sum": int32 or uint32 for narrow
            integers. A data type; a function from names of types to one; a list for several results.
        tol: `ulp`, `rounding` or `exact`. Default: 4 ULP (half types: 1) if pointwise, else 8 roundings
            of the largest element. Integers and booleans are always exact.
        grad_tol: Roundings of |J|ᵀ|ct| (or |J||t|) that a derivative may be off.
        pointwise: Whether all inputs broadcast: the engine then chooses the shapes, and tests empty,
            0-d, odd and broadcast ones, special values and mixed data types.
        result_shape: Shape of the result (a list for several), beside or instead of a reference.
        call: Instead of `op`: a function of (core, *inputs, **attrs), as for methods and indexing.
        skip: Modes and layouts that make no sense for this row, and why:
            {"vjp": "the result is an index"}.
        specials: Whether inf, nan, zeros and extreme values are tried, if pointwise.
    """
    names = (op,) if isinstance(op, str) else tuple(op)
    row = Case(
        op=names[0],
        inputs=inputs,
        attrs=dict(attrs or {}),
        reference=reference,
        out=out,
        tol=tol,
        grad_tol=grad_tol,
        pointwise=pointwise,
        result_shape=result_shape,
        call=call,
        skip=dict(skip or {}),
        aliases=names[1:],
        specials=specials,
        dtypes=tuple(dtype_names(dtypes) if dtypes is not None else _default_dtypes(inputs)),
    )
    if reference is None and result_shape is None and not hasattr(np, row.op):
        raise ValueError(
            f"case({row.op!r}): NumPy has no function of that name: give reference= or result_shape="
        )
    _rows.append(row)
    return row


def _default_dtypes(inputs: Sequence[Any]) -> list[str]:
    kinds = {s.kind for s in flatten(list(inputs)) if isinstance(s, Spec) and s.dtype is None}
    if "float" in kinds or not kinds:
        return GROUPS["floats"]
    return GROUPS["ints"] if "int" in kinds else GROUPS["bool"]


def error(
    op: str,
    inputs: Sequence[Any],
    attrs: Mapping[str, Any] | None = None,
    *,
    match: str,
    raises: type[BaseException] | tuple[type[BaseException], ...] = ValueError,
    call: Callable[..., Any] | None = None,
) -> Error:
    """Adds a row: `op(*inputs, **attrs)`, or the evaluation of its result, raises.

    match: Regular expression found in the message, which says what was asked, found and expected.
    """
    row = Error(op, inputs, dict(attrs or {}), raises, match, call)
    _rows.append(row)
    return row


def load(path: str | Path) -> list[Case | Error]:
    """The rows that a `cases.py` adds, in order."""
    global _rows
    previous, _rows = _rows, []
    try:
        runpy.run_path(str(path))
        return _rows
    finally:
        _rows = previous
