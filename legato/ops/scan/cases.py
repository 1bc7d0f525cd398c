"""Running reductions."""

import numpy as np

from legato.testing import (
    boolean,
    case,
    distinct,
    error,
    exact,
    integers,
    normal,
    rounding,
    uniform,
    values,
)


def scan(step, identity):
    """Combines along an axis in either direction; `identity(dtype)` starts an exclusive one."""

    def reference(a, axis=None, reverse=False, inclusive=True):
        if axis is None:
            a, axis = a.ravel(), 0
        a = np.moveaxis(a, axis, 0)
        a = a[::-1] if reverse else a
        y = step(a)
        if not inclusive:
            y = np.concatenate([np.full_like(y[:1], identity), y[:-1]])
        return np.moveaxis(y[::-1] if reverse else y, 0, axis)

    return reference


cumsum = scan(lambda a: np.cumsum(a, 0), 0)
cumprod = scan(lambda a: np.cumprod(a, 0), 1)
cummax = scan(lambda a: np.maximum.accumulate(a, 0), -np.inf)
cummin = scan(lambda a: np.minimum.accumulate(a, 0), np.inf)
logcumsumexp = scan(lambda a: np.logaddexp.accumulate(a, 0), -np.inf)

WAYS = [
    dict(axis=a, reverse=r, inclusive=i)
    for a in (0, -1)
    for r in (False, True)
    for i in (False, True)
]

for attrs in [dict(), *WAYS]:
    case(
        ["cumsum", "cumulative_sum"],
        [normal(4, 6)],
        attrs,
        reference=cumsum,
        dtypes="floats complex ints",
        tol=rounding(terms=8, scale="abs"),
    )
    case(
        ["cumprod", "cumulative_prod"],
        [uniform(4, 6, low=0.5, high=1.5)],
        attrs,
        reference=cumprod,
        dtypes="floats complex ints",
        tol=rounding(terms=16, scale="abs"),
        grad_tol=256,
    )
    if attrs.get("inclusive", True):
        case("cummax", [distinct(4, 6)], attrs, reference=cummax, dtypes="real", tol=exact)
        case("cummin", [distinct(4, 6)], attrs, reference=cummin, dtypes="real", tol=exact)
        case(
            "logcumsumexp",
            [normal(4, 6)],
            attrs,
            reference=logcumsumexp,
            dtypes="floats ints",
            out="float",
            tol=rounding(terms=4),
            grad_tol=512,
        )
case(
    "cumsum",
    [normal(5)],
    call=lambda mx, a: mx.cumsum(a, dtype=mx.float64),
    reference=cumsum,
    dtypes="float32 int32",
    out="float64",
    tol=rounding(terms=8, scale="abs"),
    skip={"vjp": "the dtype changes", "jvp": "the dtype changes"},
)
case("cumsum", [normal(0)], reference=cumsum)

# Long scans, which are cut: many short ones, several tiles, side by side, few side by side.
SMALL_ROWS = {mode: "the small rows differentiate" for mode in ("vjp", "jvp")}
for shape, axis in (((3, 100), 1), ((2, 1500), 1), ((9000,), 0), ((300, 40), 0), ((2, 70, 3), 1)):
    for attrs in (dict(axis=axis), dict(axis=axis, reverse=True, inclusive=False)):
        case(
            "cumsum",
            [integers(*shape, low=-9)],
            attrs,
            reference=cumsum,
            dtypes="float32 float16 int8 uint64 complex64",
            tol=rounding(terms=8, scale="abs"),
            skip=SMALL_ROWS,
        )
        if attrs.get("inclusive", True):
            for op, reference in (("cummax", cummax), ("cummin", cummin)):
                case(
                    op,
                    [distinct(*shape)],
                    attrs,
                    reference=reference,
                    dtypes="float32 bfloat16 int32 float64",
                    tol=exact,
                    skip=SMALL_ROWS,
                )
            case(
                "logcumsumexp",
                [normal(*shape)],
                attrs,
                reference=logcumsumexp,
                dtypes="float32",
                tol=rounding(terms=8),
                skip=SMALL_ROWS,
            )
for op, reference in (("cummax", cummax), ("cummin", cummin)):
    case(
        op,
        [values([1.0, -0.5, np.nan, 2.0, -np.inf])],
        reference=reference,
        tol=exact,
        skip={mode: "ties with nan" for mode in ("vjp", "jvp")},
    )
error("cumsum", [normal(3)], dict(axis=1), raises=IndexError, match="axis 1 is out of range")
error("cumprod", [normal(3)], dict(axis=-2), raises=IndexError, match="axis -2 is out of range")

# --- diff ---
for attrs in (dict(), dict(axis=0), dict(n=2, axis=1), dict(n=0), dict(n=7, axis=0)):
    case("diff", [normal(4, 5, 3)], attrs, dtypes="inexact int32 int64", tol=rounding(4))
case("diff", [boolean(4, 5)])
case(
    "diff",
    [normal(4, 5), normal(4, 2), normal(4, 1)],
    call=lambda mx, a, first, last: mx.diff(a, prepend=first, append=last),
    reference=lambda a, first, last: np.diff(a, prepend=first, append=last),
    tol=rounding(4),
)
case(
    "diff",
    [normal(4, 5), normal()],
    call=lambda mx, a, first: mx.diff(a, 2, 0, prepend=first),
    reference=lambda a, first: np.diff(a, 2, 0, prepend=first),
    tol=rounding(8),
    skip={"vmap": "a 0-d end has to stay 0-d"},
)
error("diff", [normal(3)], dict(n=-1), match="expected 0 or more")
error("diff", [normal()], raises=IndexError, match="axis -1 is out of range")
