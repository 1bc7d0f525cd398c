"""Fits the rational function of digamma on [1, 2] (legato/ops/pointwise/scalar_transcend.h) and prints it.

psi(x) / (x - r), where r is psi's root, is smooth there; a quotient of polynomials in t = x - 1.5 meets it at Chebyshev
points. Degrees 6 and 5 are the least whose error, with coefficients rounded to float64, is below half a unit of
float64 (5.0e-17; 5 and 5: 3.2e-16).

    python lab/pointwise/digamma.py
"""

import mpmath as mp

mp.mp.dps = 60
ROOT = mp.findroot(mp.digamma, 1.4616321449683623)
TOP, BOTTOM = 6, 5


def smooth(x):
    return mp.digamma(x) / (x - ROOT)


def fit():
    count = TOP + BOTTOM + 1
    rows, values = mp.matrix(count, count), mp.matrix(count, 1)
    for i in range(count):
        t = mp.cos(mp.pi * (2 * i + 1) / (2 * count)) / 2
        value = smooth(t + 1.5)
        for j in range(TOP + 1):
            rows[i, j] = t**j
        for j in range(1, BOTTOM + 1):
            rows[i, TOP + j] = -value * t**j
        values[i] = value
    found = [float(c) for c in mp.lu_solve(rows, values)]
    return found[: TOP + 1], [1.0, *found[TOP + 1 :]]


def largest_error(top, bottom):
    def quotient(t):
        return mp.polyval(top[::-1], t) / mp.polyval(bottom[::-1], t)

    points = [mp.mpf(k) / 400 - mp.mpf("0.4999") for k in range(400)]
    return max(abs(quotient(t) / smooth(t + 1.5) - 1) for t in points)


high = float(ROOT)
print("root", high, "+", float(ROOT - high))
top, bottom = fit()
print("top", top)
print("bottom", bottom)
print("relative error", mp.nstr(largest_error(top, bottom), 3))
