"""Pooling."""

import numpy as np

from legato.testing import case, distinct, error, exact, normal, rounding


def windows(x, kernel_size, stride, padding, value):
    """(N, windows..., C, kernel...)"""
    n = x.ndim - 2
    each = lambda v: (v,) * n if np.isscalar(v) else tuple(v)  # noqa: E731
    kernel = each(kernel_size)
    stride = kernel if stride is None else each(stride)
    pairs = [(p, p) if np.isscalar(p) else tuple(p) for p in each(padding)]
    x = np.pad(x, [(0, 0), *pairs, (0, 0)], constant_values=value)
    w = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=tuple(range(1, n + 1)))
    return w[(slice(None), *(slice(None, None, s) for s in stride))]


def max_pool(x, kernel_size, stride=None, padding=0):
    w = windows(x, kernel_size, stride, padding, -np.inf)
    return w.max(axis=tuple(range(x.ndim, w.ndim)))


def avg_pool(x, kernel_size, stride=None, padding=0):
    w = windows(x, kernel_size, stride, padding, 0)
    return w.mean(axis=tuple(range(x.ndim, w.ndim)))


for shape, attrs in (
    ((2, 7, 3), dict(kernel_size=2)),
    ((2, 6, 5, 4), dict(kernel_size=(2, 3), stride=(2, 1), padding=1)),
    ((1, 5, 6, 17), dict(kernel_size=3, stride=2, padding=((1, 0), (0, 2)))),
    ((1, 4, 3, 4, 2), dict(kernel_size=2, stride=1)),
):
    case("fast.max_pool", [distinct(*shape)], attrs, reference=max_pool, tol=exact)
    case("fast.avg_pool", [normal(*shape)], attrs, reference=avg_pool, tol=rounding(8, scale="abs"))

error("fast.max_pool", [normal(2, 3)], dict(kernel_size=2), match="1 to 3 spatial dimensions")
error("fast.max_pool", [normal(1, 3, 1)], dict(kernel_size=4), match="does not fit")
error(
    "fast.max_pool", [normal(1, 3, 1)], dict(kernel_size=2, padding=2), match="less than the kernel"
)
error("fast.avg_pool", [normal(1, 3, 1)], dict(kernel_size=2, stride=0), match="at least 1")
error("fast.avg_pool", [normal(1, 3, 1)], dict(kernel_size=(2, 2)), match="one a spatial dimension")
