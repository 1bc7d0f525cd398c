import itertools

import numpy as np

from legato.testing import case, error, normal


def conv(x, w, stride=1, low=0, high=None, dilation=1, input_dilation=1, groups=1, flip=False):
    """The definition, one output position and tap at a time."""
    spatial = x.ndim - 2
    each = lambda v: (v,) * spatial if np.isscalar(v) else tuple(v)  # noqa: E731
    stride, low, dilation, spread = each(stride), each(low), each(dilation), each(input_dilation)
    high = low if high is None else each(high)
    if flip:
        w = w[(slice(None),) + (slice(None, None, -1),) * spatial]
    size = [max(0, (n - 1) * d + 1) for n, d in zip(x.shape[1:-1], spread, strict=False)]
    padded = np.zeros(
        (x.shape[0], *(s + a + b for s, a, b in zip(size, low, high, strict=False)), x.shape[-1]),
        x.dtype,
    )
    padded[
        (slice(None), *(slice(a, a + s, d) for s, a, d in zip(size, low, spread, strict=False)))
    ] = x
    taps = w.shape[1:-1]
    out = [
        (p - (k - 1) * d - 1) // s + 1
        for p, k, d, s in zip(padded.shape[1:-1], taps, dilation, stride, strict=False)
    ]
    y = np.zeros((x.shape[0], *out, w.shape[0]), x.dtype)
    c, o = x.shape[-1] // groups, w.shape[0] // groups
    assert w.shape[-1] == c
    assert c * groups == x.shape[-1]
    assert o * groups == w.shape[0]
    for t in itertools.product(*map(range, taps)):
        window = padded[
            (
                slice(None),
                *(
                    slice(i * d, i * d + (n - 1) * s + 1, s)
                    for i, d, n, s in zip(t, dilation, out, stride, strict=False)
                ),
            )
        ]
        for g in range(groups):
            tap = w[(slice(g * o, (g + 1) * o), *t)]
            y[..., g * o : (g + 1) * o] += window[..., g * c : (g + 1) * c] @ tap.T
    return y


def plain(x, w, stride=1, padding=0, dilation=1, groups=1):
    return conv(x, w, stride, padding, None, dilation, 1, groups)


def transposed(x, w, stride=1, padding=0, dilation=1, output_padding=0, groups=1):
    spatial = x.ndim - 2
    each = lambda v: (v,) * spatial if np.isscalar(v) else tuple(v)  # noqa: E731
    low = [
        d * (k - 1) - p
        for d, k, p in zip(each(dilation), w.shape[1:-1], each(padding), strict=False)
    ]
    high = [a + e for a, e in zip(low, each(output_padding), strict=False)]
    return conv(x, w, 1, low, high, dilation, stride, groups, True)


case("conv1d", [normal(2, 9, 4), normal(6, 3, 4)], reference=plain)
case(
    "conv1d",
    [normal(2, 9, 4), normal(6, 3, 2)],
    dict(stride=2, padding=1, groups=2),
    reference=plain,
)
case("conv2d", [normal(2, 5, 6, 3), normal(4, 3, 3, 3)], dict(padding=1), reference=plain)
case(
    "conv2d",
    [normal(1, 7, 8, 4), normal(4, 3, 2, 1)],
    dict(stride=(2, 1), dilation=(1, 2), groups=4),
    reference=plain,
)
case("conv2d", [normal(2, 4, 4, 3), normal(5, 1, 1, 3)], reference=plain)
case(
    "conv3d",
    [normal(1, 4, 3, 5, 2), normal(3, 2, 2, 3, 2)],
    dict(padding=(1, 0, 1)),
    reference=plain,
)
case(
    "conv_transpose1d",
    [normal(2, 5, 4), normal(3, 3, 4)],
    dict(stride=2, padding=1, output_padding=1),
    reference=transposed,
)
case(
    "conv_transpose2d",
    [normal(1, 3, 4, 2), normal(3, 3, 2, 2)],
    dict(stride=2),
    reference=transposed,
)
case(
    "conv_transpose3d",
    [normal(1, 2, 3, 2, 2), normal(2, 2, 2, 2, 2)],
    dict(stride=(1, 2, 1)),
    reference=transposed,
)
case(
    "conv_general",
    [normal(2, 5, 4), normal(4, 3, 2)],
    dict(stride=1, padding=([2], [1]), kernel_dilation=2, input_dilation=2, groups=2, flip=True),
    reference=lambda x, w, stride, padding, kernel_dilation, input_dilation, groups, flip: conv(
        x, w, stride, padding[0], padding[1], kernel_dilation, input_dilation, groups, flip
    ),
)
case("convolve", [normal(7), normal(3)], dict(mode="full"), reference=np.convolve)
case("convolve", [normal(7), normal(4)], dict(mode="same"), reference=np.convolve)
case("convolve", [normal(3), normal(7)], dict(mode="valid"), reference=np.convolve)

error(
    "conv2d",
    [normal(1, 5, 5, 3), normal(4, 3, 3, 2)],
    raises=ValueError,
    match="channels do not fit",
)
error("conv2d", [normal(5, 5, 3), normal(4, 3, 3, 3)], raises=ValueError, match="2 spatial axes")
error("conv1d", [normal(1, 2, 1), normal(1, 3, 1)], raises=ValueError, match="kernel does not fit")
error(
    "conv1d",
    [normal(1, 5, 1), normal(1, 3, 1)],
    dict(stride=0),
    raises=ValueError,
    match="at least 1",
)
error("convolve", [normal(2), normal(2)], dict(mode="wide"), raises=ValueError, match="expected")
