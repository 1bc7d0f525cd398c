"""Normalisations."""

import numpy as np

from legato.testing import case, error, integers, normal, rounding


def norm(x, w, b, eps, axes, centred=True):
    mean = x.mean(axis=axes, keepdims=True) if centred else 0
    y = (x - mean) / np.sqrt(((x - mean) ** 2).mean(axis=axes, keepdims=True) + eps)
    return y, (1 if w is None else w), (0 if b is None else b)


def layer_norm(x, w, b, eps):
    y, w, b = norm(x, w, b, eps, -1)
    return y * w + b


def rms_norm(x, w, eps):
    y, w, _ = norm(x, w, None, eps, -1, centred=False)
    return y * w


def group_norm(x, num_groups, w=None, b=None, eps=1e-5):
    v = x.reshape(x.shape[0], -1, num_groups, x.shape[-1] // num_groups)
    y, w, b = norm(v, w, b, eps, (1, 3))
    return y.reshape(x.shape) * w + b


TOL = dict(tol=rounding(8), grad_tol=1024)
for shape in ((3, 5), (2, 3, 33), (4, 130)):
    c = shape[-1]
    case(
        "fast.layer_norm", [normal(*shape), normal(c), normal(c), 1e-2], reference=layer_norm, **TOL
    )
    case("fast.layer_norm", [normal(*shape), None, None, 1e-2], reference=layer_norm, **TOL)
    case("fast.layer_norm", [normal(*shape), None, normal(c), 1e-2], reference=layer_norm, **TOL)
    case("fast.rms_norm", [normal(*shape), normal(c), 1e-2], reference=rms_norm, **TOL)
    case("fast.rms_norm", [normal(*shape), None, 1e-2], reference=rms_norm, **TOL)
for shape, groups in (((2, 5, 6), 3), ((2, 3, 4, 16), 4), ((3, 8), 2), ((1, 40, 20), 1)):
    c = shape[-1]
    case(
        "fast.group_norm",
        [normal(*shape), groups, normal(c), normal(c), 1e-2],
        reference=group_norm,
        **TOL,
    )
    case("fast.group_norm", [normal(*shape), groups, None, None, 1e-2], reference=group_norm, **TOL)

error("fast.layer_norm", [normal(2, 3), normal(2), None, 1e-5], match=r"weight has shape \(2,\)")
error("fast.layer_norm", [normal(2, 3), None, normal(4), 1e-5], match=r"bias has shape \(4,\)")
error("fast.rms_norm", [integers(2, 3), None, 1e-5], match="expected a floating one")
error("fast.group_norm", [normal(2, 3), 2], match="do not divide into 2 groups")
error("fast.group_norm", [normal(2, 4), 0], match="num_groups is 0")
