"""Softmax and logarithms of sums."""

import numpy as np

from legato.testing import case, normal, rounding


def softmax(a, axis):
    e = np.exp(a - a.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


case("softmax", [normal(3, 5)], dict(axis=-1), out="float", dtypes="floats ints", reference=softmax)
case("softmax", [normal(3, 5)], dict(axis=0), out="float", reference=softmax)
case(
    "log_softmax",
    [normal(3, 5)],
    dict(axis=0),
    out="float",
    reference=lambda a, axis: a - np.log(np.exp(a).sum(axis, keepdims=True)),
)
case(
    "logsumexp",
    [normal(3, 5)],
    dict(axis=1),
    out="float",
    reference=lambda a, axis: np.log(np.exp(a).sum(axis)),
    tol=rounding(8),
)
