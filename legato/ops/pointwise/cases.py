"""Pointwise functions: arithmetic, comparison, logic, bits, elementary and special functions."""

import math

import numpy as np

from legato.testing import (
    boolean,
    case,
    error,
    exact,
    integers,
    normal,
    rounding,
    ulp,
    uniform,
    values,
)

UNARY = [normal(scale=2)]
POSITIVE = [uniform(low=0.05, high=5)]
UNIT = [uniform(low=-0.95, high=0.95)]
PAIR = [normal(scale=2), normal(scale=2)]
EVERY = "floats ints bool complex"
REAL = "floats ints bool"


def wrapping(f):
    """NumPy's warnings of overflow and division by zero are the behaviour under test."""

    def quiet(*args, **attrs):
        with np.errstate(all="ignore"):
            return f(*args, **attrs)

    return quiet


def is_int(a):
    return np.asarray(a).dtype.kind in "iu"


# --- arithmetic ---
case("add", PAIR, pointwise=True, dtypes="floats ints complex")
case("subtract", PAIR, pointwise=True, dtypes="floats ints complex")
case("multiply", PAIR, pointwise=True, dtypes="floats ints complex", tol=rounding(4, scale="abs"))
case("add", [normal(), 2], pointwise=True, dtypes="floats ints complex")
case("multiply", [normal(), 0.5], pointwise=True, dtypes="floats complex")
case(
    "divide",
    [normal(), uniform(low=0.5, high=3)],
    pointwise=True,
    dtypes="floats ints",
    out="float",
    reference=wrapping(lambda a, b: np.asarray(a, float) / np.asarray(b, float)),
    specials=False,
)
case("divide", PAIR, pointwise=True, dtypes="complex", tol=rounding(16), specials=False)


def floor_divide(a, b):
    if is_int(a) and is_int(b):
        return np.where(b == 0, 0, np.floor_divide(a, np.where(b == 0, 1, b)))
    return np.floor_divide(a, b)


def remainder(a, b):
    if is_int(a) and is_int(b):
        return np.where(b == 0, a, np.remainder(a, np.where(b == 0, 1, b)))
    return np.remainder(a, b)


case(
    "floor_divide",
    [integers(low=-9, high=9), integers(low=-3, high=4)],
    pointwise=True,
    reference=wrapping(floor_divide),
    specials=False,
)
case(
    "remainder",
    [integers(low=-9, high=9), integers(low=-3, high=4)],
    pointwise=True,
    reference=wrapping(remainder),
    specials=False,
)
case(
    "floor_divide",
    [normal(scale=5), uniform(low=0.5, high=3)],
    pointwise=True,
    dtypes="float32 float64",
    specials=False,
)
case(
    "remainder",
    [normal(scale=5), uniform(low=0.5, high=3)],
    pointwise=True,
    dtypes="float32 float64",
    specials=False,
    tol=rounding(4),
)
case(
    "fmod",
    [normal(scale=5), uniform(low=0.5, high=3)],
    pointwise=True,
    dtypes="float32 float64",
    specials=False,
    tol=rounding(4),
)
case(
    "divmod",
    [values([7, -7, 5, 0]), values([2, 2, -3, 4])],
    reference=lambda a, b: np.divmod(a, b),
    dtypes="signed",
)
case(
    ["power", "pow"],
    [uniform(low=0.1, high=3), uniform(low=-2, high=2)],
    pointwise=True,
    specials=False,
)
case("power", [normal(), 2], pointwise=True, dtypes="floats", specials=False)
case(
    "power",
    [integers(low=-4, high=5), integers(low=0, high=4)],
    pointwise=True,
    dtypes="ints",
    specials=False,
)
case(
    "power",
    [values([2, 3, -2, 1, 0]), values([-1, -2, -3, -1, 0])],
    reference=lambda a, b: np.where(b < 0, 0, np.power(a, np.maximum(b, 0))),
    dtypes="signed",
)
case("maximum", PAIR, pointwise=True, dtypes=REAL, tol=exact)
case("minimum", PAIR, pointwise=True, dtypes=REAL, tol=exact)
case("negative", UNARY, pointwise=True, dtypes="floats ints complex", tol=exact)
case("positive", UNARY, pointwise=True, dtypes="floats ints complex", tol=exact)
case("abs", UNARY, pointwise=True, dtypes="floats ints", tol=exact)
case("abs", UNARY, pointwise=True, dtypes="complex", out="real", specials=False)
case(
    "sign",
    UNARY,
    pointwise=True,
    dtypes="floats ints",
    reference=lambda a: np.where(np.isnan(a), 0, np.sign(a)),
    tol=exact,
)
case("sign", UNARY, pointwise=True, dtypes="complex", specials=False, tol=rounding(8))
case("square", UNARY, pointwise=True, dtypes="floats ints")
case("reciprocal", POSITIVE, pointwise=True, reference=wrapping(lambda a: 1 / a))
case("sqrt", POSITIVE, pointwise=True, reference=wrapping(np.sqrt))
case("sqrt", UNARY, pointwise=True, dtypes="complex", specials=False)
case("rsqrt", POSITIVE, pointwise=True, reference=wrapping(lambda a: 1 / np.sqrt(a)))
case("cbrt", UNARY, pointwise=True)
case("hypot", PAIR, pointwise=True, specials=False)
case("copysign", PAIR, pointwise=True, specials=False)
case(
    "nextafter",
    [normal(), normal()],
    pointwise=True,
    dtypes="float64",
    specials=False,
    tol=exact,
    skip=dict.fromkeys(("vjp", "jvp"), "differences do not see a step of one ULP"),
)
case("clip", [normal(), -0.5, 0.8], pointwise=True, tol=exact, specials=False)
case(
    "clip",
    [normal(), None, 0.25],
    reference=lambda a, lo, hi: np.minimum(a, hi),
    pointwise=True,
    specials=False,
)

# --- rounding ---
for name in ("floor", "ceil", "trunc"):
    case(name, UNARY, pointwise=True, dtypes="floats ints", tol=exact)
case("round", UNARY, pointwise=True, dtypes="floats ints", tol=exact)
case(
    "round",
    [normal(scale=10)],
    dict(decimals=1),
    pointwise=True,
    dtypes="float32 float64",
    specials=False,
)
case(
    "round",
    [values([125, 135, -125, -7, 4])],
    dict(decimals=-1),
    reference=lambda a, decimals: np.array([120, 140, -120, -10, 0]),
    dtypes="int16 int32 int64",
)

# --- comparison, tests, logic ---
for name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"):
    case(
        name,
        [integers(low=-2, high=3), integers(low=-2, high=3)],
        pointwise=True,
        dtypes="floats ints bool",
        out="bool",
    )
for name in ("logical_and", "logical_or", "logical_xor"):
    case(
        name,
        [integers(high=2), integers(high=2)],
        pointwise=True,
        dtypes="floats ints bool",
        out="bool",
    )
case("logical_not", [integers(high=2)], pointwise=True, dtypes="floats ints bool", out="bool")
for name in ("isnan", "isinf", "isfinite"):
    case(name, UNARY, pointwise=True, dtypes=EVERY, out="bool")
for name in ("isneginf", "isposinf", "signbit"):
    case(name, UNARY, pointwise=True, dtypes="floats", out="bool")
case("where", [boolean(dtype="bool"), normal(), normal()], pointwise=True, dtypes=EVERY, tol=exact)
case("nan_to_num", [values([1.0, np.nan, -2.0])], tol=exact)
case(
    "nan_to_num",
    [values([np.inf, -np.inf, np.nan, 3.0])],
    dict(nan=1.0, posinf=2.0, neginf=-2.0),
    tol=exact,
    skip=dict.fromkeys(("vjp", "jvp"), "no differences at infinity"),
)

# --- bits ---
for name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
    case(name, [integers(high=100), integers(high=100)], pointwise=True, dtypes="ints bool")
case(
    "bitwise_invert", [integers(high=100)], pointwise=True, dtypes="ints bool", reference=np.invert
)
case(
    ["left_shift", "bitwise_left_shift"],
    [integers(high=7), integers(high=4)],
    pointwise=True,
    dtypes="ints",
    specials=False,
)
case(
    ["right_shift", "bitwise_right_shift"],
    [integers(high=100), integers(high=4)],
    pointwise=True,
    dtypes="ints",
    specials=False,
)

# --- elementary functions ---
ELEMENTARY = {
    "exp": UNARY,
    "exp2": UNARY,
    "expm1": UNARY,
    "log": POSITIVE,
    "log2": POSITIVE,
    "log10": POSITIVE,
    "log1p": POSITIVE,
    "sin": UNARY,
    "cos": UNARY,
    "tan": UNIT,
    "arcsin": UNIT,
    "arccos": UNIT,
    "arctan": UNARY,
    "sinh": UNARY,
    "cosh": UNARY,
    "tanh": UNARY,
    "arcsinh": UNARY,
    "arccosh": [uniform(low=1.1, high=5)],
    "arctanh": UNIT,
}
OTHER_NAMES = {
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "arcsinh": "asinh",
    "arccosh": "acosh",
    "arctanh": "atanh",
}
for name, inputs in ELEMENTARY.items():
    names = [name, OTHER_NAMES[name]] if name in OTHER_NAMES else name
    case(names, inputs, pointwise=True, reference=wrapping(getattr(np, name)), out="float")
    case(name, inputs, pointwise=True, dtypes="complex", specials=False, tol=rounding(16))
case("sigmoid", UNARY, pointwise=True, reference=wrapping(lambda a: 1 / (1 + np.exp(-a))))
case("degrees", UNARY, pointwise=True, specials=False)
case("radians", UNARY, pointwise=True, specials=False)
# The factor must not be a half of its own: 57.28125 for 57.2958 gave 7.9414 for 7.9453.
case("degrees", [values([0.138671875, -0.138671875])], dtypes="halves", pointwise=True)
case(["arctan2", "atan2"], PAIR, pointwise=True, specials=False)
case("logaddexp", PAIR, pointwise=True, tol=rounding(8), specials=False)

# --- special functions ---
QUADRATURE = np.pi * (np.arange(400) + 0.5) / 400


def bessel_ie(order):
    """e^-|x| I_n(x) by its integral; the midpoint rule converges faster than any power."""

    def f(x):
        x = np.asarray(x, float)[..., None]
        return np.mean(
            np.exp(x * np.cos(QUADRATURE) - np.abs(x)) * np.cos(order * QUADRATURE), axis=-1
        )

    return f


def polygamma(n, x):
    """By the recurrence up to 30, then the asymptotic series (its next term is below 1e-16); summed exactly, because
    the 30 terms are several times the result where it is small."""
    y = x + 30
    if n == 0:
        series = [-1 / (2 * y), -1 / (12 * y**2), 1 / (120 * y**4), -1 / (252 * y**6)]
        series.append(1 / (240 * y**8))
        return math.fsum([math.log(y), *series, *(-1 / (x + k) for k in range(30))])
    series = [
        y**-n / n,
        0.5 * y ** -(n + 1),
        (n + 1) / 12 * y ** -(n + 2),
        -(n + 1) * (n + 2) * (n + 3) / 720 * y ** -(n + 4),
        math.prod(range(n + 1, n + 6)) / 30240 * y ** -(n + 6),
        -math.prod(range(n + 1, n + 8)) / 1209600 * y ** -(n + 8),
    ]
    zeta = math.fsum([*series, *((x + k) ** -(n + 1) for k in range(30))])
    return (-1) ** (n + 1) * math.factorial(n) * zeta


def erfinv(y):
    low, high = -6.0, 6.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if math.erf(middle) < y else (low, middle)
    return (low + high) / 2


SPECIAL = {
    "erf": (UNARY, math.erf),
    "erfc": (UNARY, math.erfc),
    "erfinv": (UNIT, erfinv),
    "lgamma": (POSITIVE, math.lgamma),
    "digamma": (POSITIVE, lambda x: polygamma(0, x)),
}
for name, (inputs, f) in SPECIAL.items():
    case(
        name,
        inputs,
        pointwise=True,
        reference=np.vectorize(f, otypes=[float]),
        specials=False,
        tol=rounding(8),
        dtypes="floats",
    )
case("i0e", UNARY, pointwise=True, reference=bessel_ie(0), specials=False, tol=rounding(8))
case("i1e", UNARY, pointwise=True, reference=bessel_ie(1), specials=False, tol=rounding(8))
case(
    "polygamma",
    [1, uniform(low=0.3, high=5)],
    pointwise=True,
    reference=np.vectorize(lambda n, x: polygamma(int(n), x), otypes=[float]),
    specials=False,
    tol=rounding(8),
)
case(
    "xlogy",
    [uniform(low=0.1, high=2), uniform(low=0.2, high=3)],
    pointwise=True,
    reference=lambda a, b: a * np.log(b),
    specials=False,
    tol=rounding(8),
)

# --- complex values ---
case("real", UNARY, pointwise=True, dtypes="complex", out="real", tol=exact, specials=False)
case("imag", UNARY, pointwise=True, dtypes="complex", out="real", tol=exact, specials=False)
case(
    ["conjugate", "conj"], UNARY, pointwise=True, dtypes="complex floats", tol=exact, specials=False
)
case("angle", UNARY, pointwise=True, dtypes="complex", out="real", tol=ulp(8), specials=False)

# --- refusals ---
error("negative", [boolean(3, dtype="bool")], match="negative: takes numbers")
error("bitwise_and", [normal(3), 1], match="bitwise_and: takes integers and bool, not float32")
error("floor", [normal(3, dtype="complex64")], match="floor: takes real numbers, not complex64")
error("arctan2", [normal(3, dtype="complex64"), 1.0], match="arctan2: takes real numbers")
error("nan_to_num", [normal(3, dtype="complex64")], match="nan_to_num: takes real numbers")
error("clip", [normal(3), None, None], match="give at least one bound")
error("add", [normal(3), normal(2)], match="add")
error("add", [integers(3, dtype="int8"), 300], match="300")
