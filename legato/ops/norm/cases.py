"""Normalisations."""

import numpy as np

from legato.testing import case, normal, rounding


def layer_norm(x, w, b, eps):
    m = x.mean(-1, keepdims=True)
    return (x - m) / np.sqrt(((x - m) ** 2).mean(-1, keepdims=True) + eps) * w + b


def rms_norm(x, w, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * w


case(
    "fast.layer_norm",
    [normal(3, 8), normal(8), normal(8)],
    dict(eps=1e-5),
    reference=layer_norm,
    tol=rounding(16),
)
case(
    "fast.rms_norm", [normal(3, 8), normal(8)], dict(eps=1e-5), reference=rms_norm, tol=rounding(16)
)
