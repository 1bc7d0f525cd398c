"""Positions of extremes."""

import numpy as np

from legato.testing import case, distinct, error, exact, integers, normal, values


def arg(function):
    return lambda a, axis=None, keepdims=False: function(a, axis=axis, keepdims=keepdims)


for op in ("argmax", "argmin"):
    reference = arg(getattr(np, op))
    for attrs in (
        dict(),
        dict(axis=0),
        dict(axis=-1, keepdims=True),
        dict(axis=1),
        dict(keepdims=True),
    ):
        case(
            op,
            [distinct(4, 5, 6)],
            attrs,
            reference=reference,
            dtypes="real",
            out="uint32",
            tol=exact,
        )
    case(op, [integers(3, 70, high=3)], dict(axis=1), reference=reference, out="uint32", tol=exact)
    for shape, axis in (((3, 1001), 1), ((700, 10), 0), ((300, 33), 1), ((9000,), 0), ((5, 64), 0)):
        case(
            op,
            [integers(*shape, high=90)],
            dict(axis=axis),
            reference=reference,
            dtypes="float32 float16 int8 uint64 complex64",
            out="uint32",
            tol=exact,
        )
    case(op, [values([3.0, np.nan, 5.0, np.nan])], reference=reference, out="uint32", tol=exact)
    error(op, [normal(0)], match="nothing to choose from")
    error(op, [normal(3)], dict(axis=1), raises=IndexError, match="axis 1 is out of range")
