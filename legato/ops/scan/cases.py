"""Running sums, products and extremes."""

import numpy as np

from legato.testing import case, distinct, exact, rounding, uniform


def backwards(scan):
    return lambda a, axis, reverse: np.flip(scan(np.flip(a, axis), axis=axis), axis)


for name, scan in (("cumsum", np.cumsum), ("cumprod", np.cumprod)):
    near_one = uniform(3, 5, low=0.5, high=1.5)
    case(name, [near_one], dict(axis=1), dtypes="floats", tol=rounding(8))
    case(name, [near_one], dict(axis=0), dtypes="floats", tol=rounding(8))
    case(
        name,
        [near_one],
        dict(axis=1, reverse=True),
        dtypes="floats",
        tol=rounding(8),
        reference=backwards(scan),
    )
case(
    "cummax",
    [distinct(3, 5)],
    dict(axis=1),
    reference=lambda a, axis: np.maximum.accumulate(a, axis),
    tol=exact,
)
case(
    "cummin",
    [distinct(3, 5)],
    dict(axis=0),
    reference=lambda a, axis: np.minimum.accumulate(a, axis),
    tol=exact,
)
