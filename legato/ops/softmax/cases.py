"""Softmax and its relatives."""

import numpy as np

from legato.testing import case, error, integers, normal, rounding, ulp, values


def axes(axis):
    return tuple(axis) if isinstance(axis, (list, tuple)) else axis


def logsumexp(a, axis=None, keepdims=False):
    axis = axes(axis)
    top = a.max(axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):
        y = np.log(np.exp(a - top).sum(axis=axis, keepdims=True)) + top
    return y if keepdims else y.squeeze(axis if axis is not None else tuple(range(a.ndim)))


def log_softmax(a, axis=None):
    return a - logsumexp(a, axis, True)


def softmax(a, axis=None, precise=False):
    return np.exp(log_softmax(a, axis))


for shape, attrs in (
    ((3, 5), dict(axis=-1)),
    ((3, 5), dict(axis=0)),
    ((2, 33, 3), dict(axis=1)),
    ((2, 3, 4), dict()),
    ((2, 3, 4), dict(axis=(0, 2))),
    ((2, 70), dict(axis=-1)),
    ((7, 1), dict(axis=1)),
):
    case(
        "softmax",
        [normal(*shape)],
        attrs,
        reference=softmax,
        dtypes="floats ints",
        out="float",
        tol=ulp(16),
        grad_tol=256,
    )
    case(
        "log_softmax",
        [normal(*shape)],
        attrs,
        reference=log_softmax,
        dtypes="floats ints",
        out="float",
        tol=rounding(4),
        grad_tol=256,
    )
    case(
        "logsumexp",
        [normal(*shape)],
        attrs,
        reference=logsumexp,
        dtypes="floats ints",
        out="float",
        tol=rounding(4),
        grad_tol=256,
    )
case("softmax", [normal(2, 3)], dict(axis=1, precise=True), reference=softmax, tol=ulp(16))
case("softmax", [normal(3, 0)], dict(axis=1), result_shape=(3, 0))
case("logsumexp", [normal(3, 4)], dict(axis=1, keepdims=True), reference=logsumexp, tol=rounding(4))
case(
    "logsumexp",
    [values([-np.inf, -np.inf])],
    reference=logsumexp,
    skip={"vjp": "not finite", "jvp": "not finite"},
)


def cross_entropy(x, t):
    t = t.astype(int)[..., None]
    return logsumexp(x, -1) - np.take_along_axis(x, t % x.shape[-1], -1)[..., 0]


for logits, targets in (
    (normal(4, 7), integers(4, high=7, dtype="int32")),
    (normal(2, 3, 130), integers(2, 3, low=-130, high=130, dtype="int64")),
    (normal(5, 33), integers(5, high=33, dtype="uint8")),
    (normal(3, 40), integers(3, high=40, dtype="uint64")),
    (normal(9), integers(high=9, dtype="int64")),
):
    case(
        "fast.cross_entropy",
        [logits, targets],
        reference=cross_entropy,
        tol=rounding(8),
        grad_tol=256,
    )

error("softmax", [normal(3)], dict(axis=1), raises=IndexError, match="axis 1 is out of range")
error("softmax", [normal(3, dtype="complex64")], dict(axis=0), match="expected a floating one")
error("softmax", [normal(3, 2)], dict(axis=(0, 0)), match="named twice")
error("logsumexp", [normal(0)], match="no elements")
error("fast.cross_entropy", [normal(2, 3), integers(3, high=3)], match=r"expected \(2,\)")
error("fast.cross_entropy", [normal(2, 3), normal(2)], match="expected integers")
error("fast.cross_entropy", [normal(2, 0), integers(2, high=1)], match="no classes")
error(
    "fast.cross_entropy",
    [normal(2, 3), values([0, 3], dtype="int32")],
    raises=IndexError,
    match="3 is out of range",
)
