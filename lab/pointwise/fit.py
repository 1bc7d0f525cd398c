"""Fits the polynomials of legato/ops/pointwise/scalar_math.h and prints their coefficients.

Each row: the function to fit in t, its interval, the degree, and a weight that turns an error of the polynomial into a
relative error of the final result. Lawson's iteration (reweighted least squares) makes the largest weighted error
nearly minimal; the printed error is that of the coefficients as rounded to float32, evaluated exactly.

    python lab/pointwise/fit.py [name ...]
"""

import sys

import mpmath as mp
import numpy as np

mp.mp.dps = 40


def series_safe(f, limit):
    """f near 0, where its formula cancels, by its limit."""
    return lambda t: mp.mpf(limit) if t == 0 else f(mp.mpf(t))


def sq(f):
    """A function of x as one of t = x*x."""
    return lambda t: f(mp.sqrt(t))


LN2 = mp.log(2)
Q = mp.mpf(1) / 4
FITS = {
    # name: (function, low, high, degree, weight)
    "exp": (
        series_safe(lambda r: (mp.expm1(r) - r) / r**2, 0.5),
        -0.3475,
        0.3475,
        4,
        lambda r: r**2 / mp.exp(r),
    ),
    "expm1": (
        series_safe(lambda r: (mp.expm1(r) - r) / r**2, 0.5),
        -0.3475,
        0.3475,
        5,
        lambda r: abs(r),
    ),
    "exp2": (series_safe(lambda r: mp.expm1(r * LN2) / r, LN2), -0.5, 0.5, 6, lambda r: abs(r)),
    "log": (
        series_safe(lambda f: (mp.log1p(f) - f) / f**2, -mp.mpf(1) / 2),
        -0.2930,
        0.4143,
        8,
        lambda f: abs(f**2 / mp.log1p(f)) if f != 0 else mp.mpf(0),
    ),
    "log1p": (
        series_safe(lambda f: (mp.log1p(f) - f + f**2 / 2) / f**3, mp.mpf(1) / 3),
        -0.2930,
        0.4143,
        9,
        lambda f: f**2,
    ),
    "sin": (
        series_safe(sq(lambda r: (mp.sin(r) - r) / r**3), -mp.mpf(1) / 6),
        0,
        0.62,
        3,
        lambda t: t,
    ),
    "cos": (
        series_safe(sq(lambda r: (mp.cos(r) - 1 + r**2 / 2) / r**4), mp.mpf(1) / 24),
        0,
        0.62,
        2,
        lambda t: t * t,
    ),
    "tan": (
        series_safe(sq(lambda r: (mp.tan(r) - r) / r**3), mp.mpf(1) / 3),
        0,
        0.62,
        6,
        lambda t: t,
    ),
    "atan": (
        series_safe(sq(lambda r: (mp.atan(r) - r) / r**3), -mp.mpf(1) / 3),
        0,
        1,
        8,
        lambda t: t,
    ),
    "asin": (
        series_safe(sq(lambda r: (mp.asin(r) - r) / r**3), mp.mpf(1) / 6),
        0,
        0.25,
        5,
        lambda t: t,
    ),
    "sinh": (
        series_safe(sq(lambda r: (mp.sinh(r) - r) / r**3), mp.mpf(1) / 6),
        0,
        1,
        3,
        lambda t: t,
    ),
    # (e^(2r) - 1) / 2 = r + r^2 p(r)
    "tanh": (
        series_safe(lambda r: (mp.expm1(2 * r) / 2 - r) / r**2, 1),
        -0.1735,
        0.1735,
        4,
        lambda r: abs(r),
    ),
    "erf": (
        series_safe(sq(lambda r: mp.erf(r) / r - 1), 2 / mp.sqrt(mp.pi) - 1),
        0,
        0.88,
        6,
        lambda t: 1,
    ),
    # erf(a) = 1 - exp(-q(a)) with q = -log(erfc(a)), for a in [0.93, 4]
    "erf_tail": (lambda a: -mp.log(mp.erfc(a)) / a, 0.93, 4.0, 7, lambda a: a * mp.erfc(a)),
    # erfinv(x) = x * p(w), w = -log(1 - x*x): t = w - 2.5 for w < 5, else t = sqrt(w) - 3
    "erfinv_center": (
        lambda t: (
            mp.erfinv(mp.sqrt(-mp.expm1(-(t + 2.5)))) / mp.sqrt(-mp.expm1(-(t + 2.5)))
            if t > -2.4999999
            else mp.sqrt(mp.pi) / 2
        ),
        -2.5,
        2.5,
        10,
        lambda t: 1,
    ),
    "erfinv_tail": (
        lambda t: (
            mp.erfinv(mp.sqrt(-mp.expm1(-((t + 3) ** 2)))) / mp.sqrt(-mp.expm1(-((t + 3) ** 2)))
        ),
        -0.765,
        1.2,
        9,
        lambda t: mp.mpf(1) / 2,
    ),
    # log((1+s)/(1-s)) = 2s + s^3 p(s^2)
    "pow_log": (
        series_safe(sq(lambda s: (2 * mp.atanh(s) - 2 * s) / s**3), mp.mpf(2) / 3),
        0,
        0.0296,
        3,
        lambda t: t,
    ),
}


def fit(name):
    f, lo, hi, degree, weight = FITS[name]
    n = 400
    k = np.arange(n)
    t = (lo + hi) / 2 + (hi - lo) / 2 * np.cos(np.pi * (k + 0.5) / n)
    y = np.array([float(f(v)) for v in t])
    w = np.array([float(weight(mp.mpf(v))) for v in t])
    a = np.vander(t, degree + 1, increasing=True)
    lawson = np.ones(n)
    for _ in range(60):
        s = np.sqrt(lawson) * w
        c = np.linalg.lstsq(a * s[:, None], y * s, rcond=None)[0]
        e = abs((a @ c - y) * w)
        lawson = lawson * (e + e.max() * 1e-3)
        lawson /= lawson.sum()
    c32 = c.astype(np.float32)
    e32 = abs((a @ c32.astype(np.float64) - y) * w).max()
    print(f"{name}: error {e.max():.2e}, rounded {e32:.2e}")
    print("  " + ", ".join(f"{float(v):.9g}f" for v in c32[::-1]))


for name in sys.argv[1:] or FITS:
    fit(name)
