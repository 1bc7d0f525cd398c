"""Reductions over axes."""

from legato.testing import boolean, case, distinct, exact, normal, rounding, uniform

SUMS = dict(tol=rounding(8, scale="abs"))  # a sum's error follows the sum of magnitudes

for axes in (dict(), dict(axis=1), dict(axis=(0, -1), keepdims=True), dict(axis=())):
    case("sum", [normal(3, 5, 4)], axes, dtypes="floats ints bool complex", out="sum", **SUMS)
    case("any", [boolean(3, 5, 4)], axes, out="bool")
    case("all", [boolean(3, 5, 4)], axes, out="bool")
for axes in (dict(), dict(axis=1), dict(axis=0, keepdims=True)):
    case("max", [distinct(3, 5)], axes, dtypes="floats ints", tol=exact)
    case("min", [distinct(3, 5)], axes, dtypes="floats ints", tol=exact)
    case("mean", [normal(3, 5)], axes, dtypes="floats ints complex", out="float", **SUMS)
case(
    "prod",
    [uniform(3, 5, low=0.5, high=1.5)],
    dict(axis=1),
    dtypes="floats ints complex",
    out="sum",
    tol=rounding(8),
)
case(
    "var", [normal(3, 5)], dict(axis=1, ddof=1), out="float", dtypes="floats ints", tol=rounding(16)
)
case("median", [distinct(3, 7)], dict(axis=1), out="float")
case("trace", [normal(3, 4)], dtypes="floats ints", out="sum", **SUMS)
case("isclose", [normal(), normal()], pointwise=True, out="bool", specials=False)
