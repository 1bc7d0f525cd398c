"""Reductions."""

import numpy as np

from legato.testing import case, distinct, error, exact, integers, normal, rounding, uniform, values

SHAPES = [(37,), (3, 5), (4, 3, 7)]
INTEGER = {m: "integers have no derivative" for m in ("vjp", "jvp")}


def axes(a):
    """NumPy wants tuples."""
    return tuple(a) if isinstance(a, (list, tuple)) else a


def reduction(function):
    return lambda a, axis=None, keepdims=False: function(a, axis=axes(axis), keepdims=keepdims)


# Sums cancel: errors are of the size of the sum of magnitudes.
def add_case(op, shape, reference=None, **attrs):
    case(
        op,
        [normal(*shape)],
        attrs,
        reference=reduction(reference or getattr(np, op)),
        dtypes="all" if op == "sum" else "floats complex ints bool",
        out="sum" if op == "sum" else "float",
        tol=rounding(terms=8, scale="abs"),
    )


for op in ("sum", "mean"):
    add_case(op, (37,))
    add_case(op, (3, 5), axis=0)
    add_case(op, (3, 5), axis=-1, keepdims=True)
    add_case(op, (4, 3, 7), axis=(0, 2))
    add_case(op, (4, 3, 7), axis=1)
    add_case(op, (2, 3), axis=())
    add_case(op, ())
# Rows and columns that do not fill packs, short rows, several axes, few outputs of many elements. A
# CPU adds up to 128 rows in order, so that equal numbers lose more than a few roundings.
for shape, axis in (
    ((3, 1001), 1),
    ((3, 1001), 0),
    ((700, 10), 0),
    ((300, 10), 1),
    ((300, 33), 1),
    ((64, 3, 40), 2),
    ((4, 33, 16), (0, 2)),
    ((9000,), 0),
):
    for op in ("sum", "mean"):
        case(
            op,
            [normal(*shape)],
            dict(axis=axis),
            reference=reduction(getattr(np, op)),
            dtypes="float32 float16 bfloat16 int8 uint64 complex64",
            out="sum" if op == "sum" else "float",
            tol=rounding(terms=32, scale="abs"),
            skip={mode: "the small rows differentiate" for mode in ("vjp", "jvp")},
        )
    case(
        "max",
        [distinct(*shape)],
        dict(axis=axis),
        reference=reduction(np.max),
        dtypes="float32 float16 int16 uint8 float64",
        tol=exact,
        skip={mode: "the small rows differentiate" for mode in ("vjp", "jvp")},
    )
    case(
        "any",
        [integers(*shape, high=2)],
        dict(axis=axis),
        reference=reduction(np.any),
        dtypes="float32 float16 uint8 bool complex64 complex128",
        out="bool",
        tol=exact,
    )
    case(
        "var",
        [normal(*shape)],
        dict(axis=axis),
        reference=reduction(np.var),
        dtypes="float32 float16 float64",
        tol=rounding(16),
        skip={mode: "the small rows differentiate" for mode in ("vjp", "jvp")}
        | {"broadcast": "the variance of equal numbers is what their mean was rounded by"},
    )
add_case("sum", (0, 3), axis=0)
add_case("sum", (3, 0))

for attrs in (dict(), dict(axis=0), dict(axis=(0, -1), keepdims=True)):
    case(
        "prod",
        [uniform(4, 3, 5, low=0.5, high=1.5)],
        attrs,
        reference=reduction(np.prod),
        dtypes="all",
        out="sum",
        tol=rounding(terms=80, scale="abs"),
    )
case(
    "prod",
    [values([[2.0, 0.0, 3.0], [0.0, 5.0, 0.0]])],
    dict(axis=1),
    reference=reduction(np.prod),
    tol=exact,
)

for op in ("max", "min"):
    for attrs in (dict(), dict(axis=1), dict(axis=(0, 2), keepdims=True)):
        case(
            op,
            [distinct(4, 3, 5)],
            attrs,
            reference=reduction(getattr(np, op)),
            dtypes="real",
            tol=exact,
        )
    case(
        op,
        [values([1.0, np.nan, 3.0])],
        reference=reduction(getattr(np, op)),
        tol=exact,
        skip={"vjp": "nan", "jvp": "nan"},
    )
    case(op, [distinct(0, 3)], dict(axis=1), result_shape=(0,), tol=exact)
    error(op, [normal(0)], match="nothing to choose from")
    error(op, [normal(3, 0)], dict(axis=1), match=r"shape \(3, 0\)")
case(
    "minmax",
    [distinct(3, 5)],
    dict(axis=1),
    reference=lambda a, axis: (a.min(axis), a.max(axis)),
    dtypes="real",
    tol=exact,
)

for op in ("all", "any"):
    for attrs in (dict(), dict(axis=0), dict(axis=(0, 1), keepdims=True)):
        case(
            op,
            [integers(4, 3, low=0, high=2)],
            attrs,
            reference=reduction(getattr(np, op)),
            dtypes="all",
            out="bool",
            tol=exact,
        )
case(
    "count_nonzero",
    [integers(4, 3, low=0, high=2)],
    dict(axis=1),
    reference=lambda a, axis: np.count_nonzero(a, axis=axis),
    dtypes="all",
    out="int32",
    tol=exact,
)

for op, reference in (("var", np.var), ("std", np.std)):
    for attrs in (dict(), dict(axis=1), dict(axis=(0, 2), keepdims=True), dict(axis=0, ddof=1)):
        case(
            op,
            [distinct(4, 3, 5)],  # the root of a variance of 0 has no derivative
            attrs,
            reference=lambda a, axis=None, keepdims=False, ddof=0, f=reference: f(
                a, axis=axes(axis), keepdims=keepdims, ddof=ddof
            ),
            dtypes="floats complex ints",
            out=lambda t: {"complex64": "float32", "complex128": "float64"}.get(
                t, t if "float" in t else "float32"
            ),
            tol=rounding(terms=32),
            grad_tol=256,
        )

for attrs in (dict(), dict(axis=1), dict(axis=(0, 2), keepdims=True)):
    case(
        "median",
        [distinct(3, 4, 5)],
        attrs,
        reference=reduction(np.median),
        dtypes="real",
        out="float",
        tol=rounding(terms=2),
    )
error("median", [normal(0)], match="no elements")

case(
    "trace",
    [normal(4, 5)],
    reference=np.trace,
    dtypes="all",
    out="sum",
    tol=rounding(terms=8, scale="abs"),
)
case(
    "trace",
    [normal(2, 4, 5)],
    dict(offset=-1, axis1=2, axis2=0),
    reference=lambda a, offset, axis1, axis2: np.trace(a, offset, axis1, axis2),
    tol=rounding(terms=8, scale="abs"),
)

near = values([1.0, 1.0, np.inf, -np.inf, np.nan, 0.0])
far = values([1.0, 1.1, np.inf, np.inf, np.nan, 1e-9])
for equal_nan in (False, True):
    case(
        "isclose",
        [near, far],
        dict(equal_nan=equal_nan),
        dtypes="float32 float64",
        out="bool",
        tol=exact,
    )
    case(
        "allclose",
        [near, far],
        dict(equal_nan=equal_nan),
        dtypes="float32 float64",
        out="bool",
        tol=exact,
    )
    case(
        "array_equal",
        [near, near],
        dict(equal_nan=equal_nan),
        dtypes="float32 float64",
        out="bool",
        tol=exact,
    )
case("array_equal", [normal(3), normal(4)], out="bool", tol=exact)

for op in ("sum", "prod", "max", "min", "mean", "all", "any", "var", "std", "median"):
    error(op, [normal(2, 3)], dict(axis=2), raises=IndexError, match="axis 2 is out of range")
    error(op, [normal(2, 3)], dict(axis=(1, -1)), match="named twice")
case("isclose", [normal(), normal()], pointwise=True, out="bool", specials=False)
