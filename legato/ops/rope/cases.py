"""Rotary position embedding."""

import numpy as np

from legato.testing import case, error, normal, rounding


def rope(a, dims, *, traditional, base, scale, offset, freqs=None):
    half = dims // 2
    speed = 1 / freqs if freqs is not None else base ** (-np.arange(half) / half)
    offset = np.asarray(offset)
    places = np.arange(a.shape[-2]) + (
        offset if offset.ndim == 0 else offset.reshape(-1, *(1,) * (a.ndim - 2))
    )
    angle = places[..., None] * scale * speed
    at = (
        (slice(0, dims, 2), slice(1, dims, 2))
        if traditional
        else (slice(0, half), slice(half, dims))
    )
    x, y = a[..., at[0]], a[..., at[1]]
    out = a.copy()
    out[..., at[0]] = x * np.cos(angle) - y * np.sin(angle)
    out[..., at[1]] = x * np.sin(angle) + y * np.cos(angle)
    return out


for traditional in (False, True):
    case(
        "fast.rope",
        [normal(2, 3, 4, 8)],
        dict(dims=6, traditional=traditional, base=100.0, scale=0.5, offset=3),
        reference=rope,
        tol=rounding(16),
    )
case(
    "fast.rope",
    [normal(3, 4, 6)],
    dict(dims=6, traditional=False, base=10000.0, scale=1.0, offset=0),
    reference=rope,
    tol=rounding(16),
)
error(
    "fast.rope",
    [normal(4, 6)],
    dict(dims=6, traditional=False, base=1e4, scale=1.0, offset=0),
    match="at least 3",
)
error(
    "fast.rope",
    [normal(1, 4, 6)],
    dict(dims=5, traditional=False, base=1e4, scale=1.0, offset=0),
    match="even number",
)
error(
    "fast.rope",
    [normal(1, 4, 6)],
    dict(dims=6, traditional=False, base=None, scale=1.0, offset=0),
    match="exactly one",
)
