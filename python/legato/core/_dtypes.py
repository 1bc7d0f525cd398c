"""Categories of data types and their limits."""

import enum

from legato import _core

Dtype = _core.Dtype


class DtypeCategory(enum.Enum):
    """A set of data types; each category lies in the next wider one, see `issubdtype`."""

    complexfloating = "complexfloating"
    floating = "floating"
    inexact = "inexact"
    signedinteger = "signedinteger"
    unsignedinteger = "unsignedinteger"
    integer = "integer"
    number = "number"
    generic = "generic"


DtypeCategory.__module__ = "legato.core"
complexfloating = DtypeCategory.complexfloating
floating = DtypeCategory.floating
inexact = DtypeCategory.inexact
signedinteger = DtypeCategory.signedinteger
unsignedinteger = DtypeCategory.unsignedinteger
integer = DtypeCategory.integer
number = DtypeCategory.number
generic = DtypeCategory.generic

_WIDER = {
    complexfloating: inexact,
    floating: inexact,
    signedinteger: integer,
    unsignedinteger: integer,
    inexact: number,
    integer: number,
    number: generic,
    generic: None,
}

_KINDS = {
    "bool": ("bool",),
    "signed integer": ("signedinteger",),
    "unsigned integer": ("unsignedinteger",),
    "integral": ("signedinteger", "unsignedinteger"),
    "real floating": ("floating",),
    "complex floating": ("complexfloating",),
    "numeric": ("signedinteger", "unsignedinteger", "floating", "complexfloating"),
}


def _category(dtype):
    return generic if dtype._kind == "bool" else DtypeCategory[dtype._kind]


def _check(function, *arguments):
    for a in arguments:
        if not isinstance(a, (Dtype, DtypeCategory)):
            raise TypeError(
                f"{function}: expected a Dtype or a DtypeCategory, found {type(a).__name__}"
            )


def issubdtype(arg1, arg2):
    """Whether `arg1` is `arg2` or lies in it: issubdtype(float32, inexact) is True."""
    _check("issubdtype", arg1, arg2)
    if isinstance(arg2, Dtype):
        return arg1 == arg2
    category = _category(arg1) if isinstance(arg1, Dtype) else arg1
    while category is not None:
        if category is arg2:
            return True
        category = _WIDER[category]
    return False


def isdtype(dtype, kind):
    """Whether `dtype` is of a kind, by the array API standard.

    Args:
        dtype: a Dtype.
        kind: a Dtype, or "bool", "signed integer", "unsigned integer", "integral", "real
            floating", "complex floating", "numeric", or a tuple of these: any of them.
    """
    if not isinstance(dtype, Dtype):
        raise TypeError(f"isdtype: `dtype` must be a Dtype, found {type(dtype).__name__}")
    if isinstance(kind, Dtype):
        return dtype == kind
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    if not isinstance(kind, str):
        raise TypeError(
            f"isdtype: `kind` must be a Dtype, a str or a tuple of those, found {type(kind).__name__}"
        )
    if kind not in _KINDS:
        raise ValueError(f"isdtype: no kind is called {kind!r}; there are {', '.join(_KINDS)}")
    return dtype._kind in _KINDS[kind]  # type: ignore[attr-defined]  # private: not in the stub


# Bits of the significand (without the leading one) and largest exponent.
_FORMATS = {"float16": (10, 15), "bfloat16": (7, 127), "float32": (23, 127), "float64": (52, 1023)}
_REAL = {"complex64": "float32", "complex128": "float64"}


class finfo:  # noqa: N801
    """Limits of a floating dtype: bits, eps, max, min, smallest_normal, dtype."""

    __slots__ = ("bits", "dtype", "eps", "max", "min", "smallest_normal")

    def __init__(self, dtype, /):
        if isinstance(dtype, _core.array):
            dtype = dtype.dtype
        if not isinstance(dtype, Dtype):
            raise TypeError(f"finfo: expected a Dtype, found {type(dtype).__name__}")
        name = _REAL.get(dtype.name, dtype.name)
        if name not in _FORMATS:
            raise ValueError(f"finfo: {dtype.name} is not a floating dtype; use iinfo for integers")
        significand, exponent = _FORMATS[name]
        self.dtype = getattr(_core, name)
        self.bits = 8 * self.dtype.size
        self.eps = 2.0**-significand
        self.max = (2.0 - self.eps) * 2.0**exponent
        self.min = -self.max
        self.smallest_normal = 2.0 ** (1 - exponent)

    def __repr__(self):
        return f"finfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype.name})"


class iinfo:  # noqa: N801
    """Limits of an integer dtype: bits, max, min, dtype."""

    __slots__ = ("bits", "dtype", "max", "min")

    def __init__(self, dtype, /):
        if isinstance(dtype, _core.array):
            dtype = dtype.dtype
        if not isinstance(dtype, Dtype):
            raise TypeError(f"iinfo: expected a Dtype, found {type(dtype).__name__}")
        if not issubdtype(dtype, integer):
            raise ValueError(
                f"iinfo: {dtype.name} is not an integer dtype; use finfo for floating ones"
            )
        self.dtype = dtype
        self.bits = 8 * dtype.size
        signed = issubdtype(dtype, signedinteger)
        self.max = 2 ** (self.bits - signed) - 1
        self.min = -(2 ** (self.bits - 1)) if signed else 0

    def __repr__(self):
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype.name})"


for _f in (issubdtype, isdtype, finfo, iinfo):
    _f.__module__ = "legato.core"
