"""Linear, convolution, embedding, dropout, pooling and resizing layers against NumPy."""

import itertools
import math

import numpy as np
import pytest

import legato.core as mx
from legato import nn

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def close(found, expected, tol=1e-5):
    assert tuple(found.shape) == np.shape(expected)
    np.testing.assert_allclose(np.array(found), expected, rtol=tol, atol=tol)


def parameters(layer):
    return {name: np.array(value) for name, value in layer.parameters().items()}


# -- linear ---------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_linear(bias, batch):
    layer = nn.Linear(4, 5, bias=bias)
    x, p = normal(*batch, 4), parameters(layer)
    close(layer(mx.array(x)), x @ p["weight"].T + p.get("bias", 0))
    assert ("bias" in p) == bias
    assert repr(layer) == f"Linear(input_dims=4, output_dims=5, bias={bias})"


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_bilinear(bias, batch):
    layer = nn.Bilinear(3, 4, 5, bias=bias)
    assert layer.weight.shape == (5, 4, 3)
    x1, x2, p = normal(*batch, 3), normal(*batch, 4), parameters(layer)
    expected = np.einsum("...i,...j,oji->...o", x1, x2, p["weight"]) + p.get("bias", 0)
    close(layer(mx.array(x1), mx.array(x2)), expected)


def test_bilinear_needs_inputs_of_one_batch():
    with pytest.raises(ValueError, match=r"shapes \(2, 3\) and \(3, 4\), which must agree"):
        nn.Bilinear(3, 4, 5)(mx.zeros((2, 3)), mx.zeros((3, 4)))


def test_identity_takes_any_arguments():
    x = mx.ones((2,))
    assert nn.Identity(3, bias=False)(x) is x


def test_embedding():
    layer = nn.Embedding(10, 4)
    table = np.array(layer.weight)
    close(layer(mx.array([[1, 9], [0, 1]])), table[[[1, 9], [0, 1]]])
    x = normal(2, 4)
    close(layer.as_linear(mx.array(x)), x @ table.T)
    assert repr(layer) == "Embedding(10, 4)"


@pytest.mark.parametrize(
    ("make", "limit", "name"),
    [
        (lambda: nn.Linear(100, 200), 0.1, "weight"),
        (lambda: nn.Linear(100, 2000), 0.1, "bias"),
        (lambda: nn.Bilinear(100, 20, 30), 0.1, "weight"),
        (lambda: nn.Conv1d(25, 200, 4), 0.1, "weight"),
        (lambda: nn.Conv2d(25, 200, 2, groups=5), 0.1, "weight"),
        (lambda: nn.ConvTranspose2d(25, 200, 2), 0.1, "weight"),
        (lambda: nn.RNN(50, 100), 0.1, "Wxh"),
        (lambda: nn.LSTM(50, 100), 0.1, "bias"),
        (lambda: nn.GRU(50, 100), 0.1, "Wh"),
    ],
)
def test_first_weights_are_uniform(make, limit, name):
    mx.random.seed(0)
    weight = np.array(make()[name])
    assert 0.95 * limit < np.abs(weight).max() <= limit
    np.testing.assert_allclose(weight.std(), limit / math.sqrt(3), rtol=0.1)


def test_first_embeddings_are_normal():
    mx.random.seed(0)
    np.testing.assert_allclose(np.array(nn.Embedding(100, 64).weight).std(), 1 / 8, rtol=0.05)


# -- convolutions ---------------------------------------------------------------------------


def conv(x, weight, stride, padding, dilation, groups=1):
    """Convolution of x (N, spatial..., C) with weight (O, kernel..., C / groups), by its definition."""
    axes = x.ndim - 2
    x = np.pad(x, [(0, 0), *[(p, p) for p in padding], (0, 0)])
    kernel = weight.shape[1:-1]
    counts = [
        (size - d * (k - 1) - 1) // s + 1
        for size, k, s, d in zip(x.shape[1:-1], kernel, stride, dilation, strict=True)
    ]
    outputs = weight.shape[0] // groups
    inputs = weight.shape[-1]
    y = np.zeros((x.shape[0], *counts, weight.shape[0]))
    for place in itertools.product(*map(range, kernel)):
        cut = tuple(
            slice(i * d, i * d + s * n, s)
            for i, d, s, n in zip(place, dilation, stride, counts, strict=True)
        )
        patch = x[(slice(None), *cut)]
        for g in range(groups):
            o = slice(g * outputs, (g + 1) * outputs)
            y[..., o] += (
                patch[..., g * inputs : (g + 1) * inputs]
                @ weight[(o, *place)].reshape(outputs, inputs).T
            )
    assert axes == len(kernel)
    return y


def conv_transpose(x, weight, stride, padding, dilation, output_padding):
    """Transposed convolution: each input adds the kernel, times itself, to the output."""
    kernel = weight.shape[1:-1]
    full = [
        (size - 1) * s + d * (k - 1) + 1 + o
        for size, s, d, k, o in zip(
            x.shape[1:-1], stride, dilation, kernel, output_padding, strict=True
        )
    ]
    y = np.zeros((x.shape[0], *full, weight.shape[0]))
    for place in itertools.product(*map(range, kernel)):
        cut = tuple(
            slice(i * d, i * d + s * (size - 1) + 1, s)
            for i, d, s, size in zip(place, dilation, stride, x.shape[1:-1], strict=True)
        )
        y[(slice(None), *cut)] += x @ weight[(slice(None), *place)].T
    keep = tuple(slice(p, size - p) for p, size in zip(padding, full, strict=True))
    return y[(slice(None), *keep)]


SIZES = [(9,), (8, 7), (5, 6, 5)]


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation", "groups", "bias"),
    [(3, 1, 0, 1, 1, True), (3, 2, 1, 1, 2, False), (2, 1, 1, 2, 1, True), (1, 1, 0, 1, 1, True)],
)
def test_conv(axes, kernel, stride, padding, dilation, groups, bias):
    if axes == 3 and groups > 1:
        groups = 1  # Conv3d has none
    options = {"groups": groups} if axes < 3 else {}
    layer = getattr(nn, f"Conv{axes}d")(
        4, 6, kernel, stride, padding, dilation, bias=bias, **options
    )
    x, p = normal(2, *SIZES[axes - 1], 4), parameters(layer)
    assert p["weight"].shape == (6, *[kernel] * axes, 4 // groups)
    assert ("bias" in p) == bias
    expected = conv(
        x, p["weight"], [stride] * axes, [padding] * axes, [dilation] * axes, groups
    ) + p.get("bias", 0)
    close(layer(mx.array(x)), expected)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation", "output_padding"),
    [(3, 1, 0, 1, 0), (3, 2, 1, 1, 1), (2, 2, 0, 1, 0), (2, 1, 1, 2, 0)],
)
def test_conv_transpose(axes, kernel, stride, padding, dilation, output_padding):
    layer = getattr(nn, f"ConvTranspose{axes}d")(
        4, 3, kernel, stride, padding, dilation, output_padding
    )
    layer.bias = mx.arange(3).astype(mx.float32)
    x, p = normal(2, *[s - 3 for s in SIZES[axes - 1]], 4), parameters(layer)
    assert p["weight"].shape == (3, *[kernel] * axes, 4)
    sizes = [[v] * axes for v in (stride, padding, dilation, output_padding)]
    close(layer(mx.array(x)), conv_transpose(x, p["weight"], *sizes) + p["bias"])


def test_conv_sizes_by_axis():
    layer = nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(0, 1), bias=False)
    x = normal(1, 7, 5, 2)
    close(layer(mx.array(x)), conv(x, np.array(layer.weight), (2, 1), (0, 1), (1, 1)))
    assert repr(layer) == (
        "Conv2d(2, 3, kernel_size=(3, 2), stride=(2, 1), padding=(0, 1), dilation=1, groups=1, "
        "bias=False)"
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=2), r"input channels \(3\).*groups \(2\)"),
        (lambda: nn.Conv1d(4, 3, 3, groups=2), r"output channels \(3\).*groups \(2\)"),
        (lambda: nn.Conv2d(3, 4, (3, 3, 3)), r"kernel_size is \(3, 3, 3\).*tuple of 2 integers"),
        (lambda: nn.Conv3d(3, 4, 3, stride=(1, 1)), "Conv3d: stride is .*tuple of 3 integers"),
        (lambda: nn.ConvTranspose2d(3, 4, 3, padding="x"), "ConvTranspose2d: padding is 'x'"),
    ],
)
def test_conv_arguments_that_do_not_fit(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Linear(0, 3), "Linear: input_dims is 0, expected a positive integer"),
        (lambda: nn.Bilinear(1, 2, 0), "Bilinear: output_dims is 0"),
        (lambda: nn.Embedding(3, 0), "Embedding: dims is 0"),
        (lambda: nn.Conv2d(3, 3, 0), "kernel_size is 0"),
        (lambda: nn.ConvTranspose1d(0, 3, 2), "in_channels is 0"),
        (lambda: nn.Conv1d(3, 3, 2, groups=0), "groups is 0"),
        (lambda: nn.GRU(3, 0), "GRU: hidden_size is 0"),
        (lambda: nn.MultiHeadAttention(4, 0), "num_heads is 0"),
        (lambda: nn.ALiBi.create_alibi_slope(0), "ALiBi: num_heads is 0"),
        (lambda: nn.SinusoidalPositionalEncoding(1), "dims is 1, expected 2 or more"),
    ],
)
def test_sizes_must_be_positive(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# -- dropout --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "shape", "shared"),
    [
        (nn.Dropout, (50, 40), ()),
        (nn.Dropout2d, (20, 3, 4, 50), (1, 2)),
        (nn.Dropout2d, (3, 4, 500), (0, 1)),
        (nn.Dropout3d, (20, 2, 3, 4, 50), (1, 2, 3)),
        (nn.Dropout3d, (2, 3, 4, 500), (0, 1, 2)),
    ],
)
def test_dropout(kind, shape, shared):
    mx.random.seed(0)
    layer = kind(0.25)
    y = np.array(layer(mx.ones(shape)))
    assert {0.0, float(np.float32(1 / 0.75))} == set(np.unique(y).tolist())
    assert 0.15 < (y == 0).mean() < 0.35
    if shared:  # one choice for all places of a channel
        assert (y.max(shared) == y.min(shared)).all()
    x = mx.ones(shape)
    assert layer.eval()(x) is x
    assert kind(0.0)(x) is x
    assert layer.train()(x.astype(mx.float16)).dtype == mx.float16
    assert repr(layer) == f"{kind.__name__}(p=0.25)"


def test_dropout_arguments_that_do_not_fit():
    for p in (1.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match=rf"probability {p} is not in \[0, 1\)"):
            nn.Dropout(p)
    with pytest.raises(ValueError, match="input with 2 dimensions, expected 3 or 4 dimensions"):
        nn.Dropout2d()(mx.zeros((2, 3)))
    with pytest.raises(ValueError, match="expected 4 or 5 dimensions"):
        nn.Dropout3d()(mx.zeros((2, 3)))


# -- pooling --------------------------------------------------------------------------------


def pool(x, reduce, fill, kernel, stride, padding):
    x = np.pad(x, [(0, 0), *[(p, p) for p in padding], (0, 0)], constant_values=fill)
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel, tuple(range(1, x.ndim - 1)))
    windows = windows[(slice(None), *[slice(None, None, s) for s in stride])]
    return reduce(windows, axis=tuple(range(x.ndim, windows.ndim)))


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("kind", ["Max", "Avg"])
@pytest.mark.parametrize(
    "arguments", [(2,), (3, 2), (3, 2, 1), (3, 1, 1), (2, 3), (3, None, 1), (1,)]
)
def test_pooling(axes, kind, arguments):
    layer = getattr(nn, f"{kind}Pool{axes}d")(*arguments)
    kernel, stride, padding = (*arguments, None, None)[:3]
    x = normal(2, *SIZES[axes - 1], 3)
    reduce, fill = (np.max, -np.inf) if kind == "Max" else (np.mean, 0)
    sizes = [[v] * axes for v in (kernel, stride or kernel, padding or 0)]
    close(layer(mx.array(x)), pool(x, reduce, fill, *sizes))
    assert layer.parameters() == {}
    kernel, stride, padding = map(tuple, sizes)
    assert repr(layer) == (
        f"{kind}Pool{axes}d(kernel_size={kernel}, stride={stride}, padding={padding})"
    )


def test_pooling_of_views():
    x = normal(8, 3, 9, 2)
    for arguments in [(3, 2), (2,)]:
        layer = nn.MaxPool2d(*arguments)
        expected = np.array(layer(mx.array(x.transpose(3, 2, 0, 1).copy())))
        np.testing.assert_array_equal(np.array(layer(mx.array(x).transpose(3, 2, 0, 1))), expected)
        np.testing.assert_array_equal(
            np.array(layer(mx.array(x).transpose(3, 2, 0, 1)[:, ::-1])),
            np.array(layer(mx.array(x.transpose(3, 2, 0, 1)[:, ::-1].copy()))),
        )


@pytest.mark.parametrize("arguments", [(2,), (3, 1, 1)])
def test_gradients_of_pooling(arguments):
    x = normal(1, 6, 6, 2)
    for layer, pooled in [(nn.AvgPool2d, np.mean), (nn.MaxPool2d, np.max)]:
        grad = np.array(mx.grad(lambda x: layer(*arguments)(x).sum())(mx.array(x)))  # noqa: B023
        expected = np.zeros_like(x)
        kernel, stride, padding = (
            (*arguments, arguments[0], 0)[:3] if len(arguments) == 1 else arguments
        )
        fill = 0 if pooled is np.mean else -np.inf

        def total(x):
            return pool(x, pooled, fill, *[[v] * 2 for v in (kernel, stride, padding)]).sum()  # noqa: B023

        for i in np.ndindex(*x.shape):
            step = np.zeros(x.shape)
            step[i] = 1e-6
            expected[i] = (total(x + step) - total(x - step)) / 2e-6
        np.testing.assert_allclose(grad, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.MaxPool2d("x"), "kernel_size is 'x', expected an integer or a tuple of 2"),
        (lambda: nn.AvgPool2d((2, 2, 2)), "AvgPool2d: kernel_size"),
        (lambda: nn.MaxPool2d(2, 0), "stride is 0, .* at least 1"),
        (lambda: nn.MaxPool1d(2, padding=-1), "padding is -1, .* at least 0"),
        (lambda: nn.MaxPool2d(2)(mx.zeros((3, 3, 3))), r"expected 4 dimensions .* \(3, 3, 3\)"),
        (lambda: nn.MaxPool2d(5)(mx.zeros((1, 3, 3, 1))), r"windows \(5, 5\) are larger"),
    ],
)
def test_pooling_arguments_that_do_not_fit(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# -- resizing -------------------------------------------------------------------------------


def keys_cubic(t, a):
    t = np.abs(t)
    near = (a + 2) * t**3 - (a + 3) * t**2 + 1
    far = a * (t**3 - 5 * t**2 + 8 * t - 4)
    return np.where(t <= 1, near, np.where(t < 2, far, 0))


def resize_matrix(size, scale, mode, align_corners, antialias):
    """The matrix (outputs, inputs) of resampling along one axis, by its definition."""
    count = int(scale * size)
    matrix = np.zeros((count, size))
    step = (size - 1) / max(count - 1, 1) if align_corners else 1 / scale
    stretch = max(1 / scale, 1) if antialias else 1
    for i in range(count):
        centre = i * step if align_corners else (i - (count - 1) / 2) * step + (size - 1) / 2
        places = np.arange(-20, size + 20)
        t = (places - centre) / stretch
        if mode == "linear":
            weights = np.maximum(1 - np.abs(t), 0)
        else:
            weights = keys_cubic(t, -0.5 if antialias else -0.75)
        if antialias:
            weights = np.where((places >= 0) & (places < size), weights, 0)
            weights /= weights.sum()
        np.add.at(matrix[i], np.clip(places, 0, size - 1), weights)
    return matrix


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("scale", [2, (2, 3), 1.5, (0.5, 0.7), (1, 0.4)])
@pytest.mark.parametrize(
    ("align_corners", "antialias"), [(False, False), (True, False), (False, True)]
)
def test_upsample(mode, scale, align_corners, antialias):
    x = normal(2, 5, 7, 3)
    layer = nn.Upsample(scale, mode, align_corners, antialias)
    scales = scale if isinstance(scale, tuple) else (scale, scale)
    rows, columns = (
        np.eye(size) if s == 1 else resize_matrix(size, s, mode, align_corners, antialias)
        for size, s in zip((5, 7), scales, strict=True)
    )
    close(layer(mx.array(x)), np.einsum("yi,xj,nijc->nyxc", rows, columns, x), 2e-5)


@pytest.mark.parametrize(
    ("size", "scale", "expected"),
    [
        (3, 2, [0, 0, 1, 1, 2, 2]),
        (2, 1, [0, 1]),
        (5, 1.5, [0, 1, 1, 2, 3, 3, 4]),
        (5, 2.6, [0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4]),
        (5, 0.5, [0, 2]),
        (5, 0.7, [0, 1, 3]),
    ],
)
def test_upsample_nearest(size, scale, expected):
    x = mx.arange(size).reshape(1, size, 1).astype(mx.float32)
    assert nn.Upsample(scale)(x).flatten().tolist() == expected


def test_upsample_other_ranks_and_dtypes():
    x = normal(2, 3, 4, 3, 2)
    y = nn.Upsample(2, mode="linear")(mx.array(x))
    matrices = [resize_matrix(size, 2, "linear", False, False) for size in (3, 4, 3)]
    close(y, np.einsum("ai,bj,dk,nijkc->nabdc", *matrices, x), 2e-5)
    assert nn.Upsample(2, mode="cubic")(mx.zeros((1, 3, 1), mx.float16)).dtype == mx.float16
    assert nn.Upsample(2)(mx.zeros((1, 3, 1), mx.int32)).dtype == mx.int32


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Upsample(2, mode="area"), "mode is 'area', expected 'nearest'"),
        (lambda: nn.Upsample(2)(mx.zeros((3, 3))), "at least 3D, but 2D was provided"),
        (lambda: nn.Upsample((2, 2))(mx.zeros((1, 3, 3))), "one scale per spatial dimension"),
        (lambda: nn.Upsample(float("inf"))(mx.zeros((1, 3, 3))), "scale inf of spatial axis 0"),
        (lambda: nn.Upsample(0.1)(mx.zeros((1, 3, 3))), "0.1 of spatial axis 0 of size 3 gives no"),
        (
            lambda: nn.Upsample(2, "linear", True, True)(mx.zeros((1, 3, 3))),
            "antialias is not supported with align_corners",
        ),
    ],
)
def test_upsample_arguments_that_do_not_fit(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_pools_of_integers_and_with_windows_that_see_only_padding():
    x = mx.array([[[1], [2], [3], [5]]])
    assert nn.AvgPool1d(2)(x).tolist() == [[[1.5], [4.0]]]
    assert nn.MaxPool1d(2)(x).tolist() == [[[2], [5]]]
    assert nn.AvgPool1d(2, 1, 2)(mx.ones((1, 1, 1))).flatten().tolist() == [0, 0.5, 0.5, 0]
    inf = float("inf")
    assert nn.MaxPool1d(2, 1, 2)(mx.ones((1, 1, 1))).flatten().tolist() == [-inf, 1, 1, -inf]
