"""Polynomials of the normal distribution on GPUs: sqrt(2) erfinv(x) = x P(log2(1 - x*x)). Chebyshev points, relative
error, coefficients rounded to float32 one after the other.

python lab/gpu_random/fit.py
"""

import numpy as np
from scipy.special import erfinv, ndtri

CUT = -7.25  # log2: behind it the other polynomial


def ratio(v):
    """sqrt(2) erfinv(x) / x at 1 - x*x = v."""
    x = np.sqrt(1 - v)
    tail = v / (1 + x) / 2  # (1 - x) / 2
    return np.where(v > 0.9, np.sqrt(2) * erfinv(np.minimum(x, 0.999)), -ndtri(tail)) / x


def fit(f, low, high, degree):
    t = (low + high) / 2 + (high - low) / 2 * np.cos(np.pi * (np.arange(4000) + 0.5) / 4000)
    y, fixed = f(t), []
    weight = np.ones_like(t)
    rest = y.copy()
    # The largest powers first: what rounding one changes, the others make up for.
    for power in range(degree, -1, -1):
        a = t[:, None] ** np.arange(power + 1)
        w = weight.copy()
        for _ in range(60):
            c, *_ = np.linalg.lstsq(a * (w / y)[:, None], rest * w / y, rcond=None)
            e = np.abs(a @ c - rest) / y
            w = w * (0.3 + 0.7 * e / e.max())
            w /= w.max()
        fixed.append(np.float32(c[-1]))
        rest = rest - float(fixed[-1]) * t**power
    return fixed, np.abs(rest / y).max()


def show(name, coefficients, error):
    print(name, f"relative error {error:.2e}")
    print("   ", ", ".join(f"{c:.9g}f" for c in coefficients))


for degree in (7, 8, 9):
    show(f"P{degree}", *fit(lambda t: ratio(2.0**t) if np.ndim(t) else t, CUT, -1e-7, degree))
