"""Normalization layers against NumPy."""

import numpy as np
import pytest

import legato.core as mx
from legato import nn

RNG = np.random.default_rng(0)


def normal(*shape):
    return (3 + 2 * RNG.normal(size=shape)).astype(np.float32)


def standardized(x, axes, eps=1e-5):
    x = x.astype(np.float64)
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def with_weights(layer):
    """Gives a layer a weight and a bias unlike 1 and 0, and returns them."""
    size = layer.weight.shape[0]
    weight, bias = normal(size), normal(size)
    layer.weight = mx.array(weight)
    if "bias" in layer:
        layer.bias = mx.array(bias)
    return weight, bias


def close(found, expected, tol=2e-5):
    assert tuple(found.shape) == np.shape(expected)
    np.testing.assert_allclose(np.array(found), expected, rtol=tol, atol=tol)


def test_layer_norm():
    x = normal(2, 5, 6)
    layer = nn.LayerNorm(6)
    weight, bias = with_weights(layer)
    close(layer(mx.array(x)), standardized(x, -1) * weight + bias)
    layer = nn.LayerNorm(6, eps=0.1, bias=False)
    weight, _ = with_weights(layer)
    close(layer(mx.array(x)), standardized(x, -1, 0.1) * weight)
    layer = nn.LayerNorm(6, affine=False)
    assert layer.parameters() == {}
    close(layer(mx.array(x)), standardized(x, -1))


def test_rms_norm():
    x = normal(2, 5, 6)
    layer = nn.RMSNorm(6, eps=0.1)
    layer.weight = mx.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    expected = x / np.sqrt((x**2).mean(-1, keepdims=True) + 0.1) * np.arange(1, 7)
    close(layer(mx.array(x)), expected)


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("spatial", [(4,), (4, 5), (2, 3, 4)])
def test_instance_norm(affine, spatial):
    x = normal(3, *spatial, 6)
    layer = nn.InstanceNorm(6, affine=affine)
    weight, bias = with_weights(layer) if affine else (1, 0)
    axes = tuple(range(1, x.ndim - 1))
    close(layer(mx.array(x)), standardized(x, axes) * weight + bias)


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("spatial", [(), (4,), (4, 5), (2, 3, 4)])
@pytest.mark.parametrize("pytorch_compatible", [False, True])
def test_group_norm(affine, spatial, pytorch_compatible):
    x = normal(2, *spatial, 6)
    layer = nn.GroupNorm(3, 6, affine=affine, pytorch_compatible=pytorch_compatible)
    weight, bias = with_weights(layer) if affine else (1, 0)
    # Channels of a group follow each other, or are 3 apart.
    grouped = x.reshape(2, -1, 3, 2) if pytorch_compatible else x.reshape(2, -1, 2, 3)
    axes = (1, 3) if pytorch_compatible else (1, 2)
    close(layer(mx.array(x)), standardized(grouped, axes).reshape(x.shape) * weight + bias)


def test_group_norm_is_differentiable():
    x = mx.array(normal(2, 4, 6))
    for compatible in (False, True):
        layer = nn.GroupNorm(3, 6, pytorch_compatible=compatible)
        grad = mx.grad(lambda x: (layer(x) ** 3).sum())(x)  # noqa: B023
        # Normalized values do not change when all inputs of a group are moved alike.
        close(grad.reshape(2, -1).sum(axis=1), np.zeros(2), 1e-3)


def test_batch_norm_while_training():
    layer = nn.BatchNorm(6, momentum=0.25)
    weight, bias = with_weights(layer)
    mean, var = np.zeros(6), np.ones(6)
    for shape in [(8, 6), (4, 3, 6), (2, 3, 4, 6)]:
        x = normal(*shape)
        axes = tuple(range(x.ndim - 1))
        close(layer(mx.array(x)), standardized(x, axes) * weight + bias)
        mean = 0.75 * mean + 0.25 * x.mean(axes)
        var = 0.75 * var + 0.25 * x.var(axes, ddof=1)
        close(layer.running_mean, mean)
        close(layer.running_var, var)
    layer.eval()
    x = normal(5, 6)
    close(layer(mx.array(x)), (x - mean) / np.sqrt(var + 1e-5) * weight + bias)
    close(layer.running_mean, mean)


def test_batch_norm_without_running_averages():
    layer = nn.BatchNorm(6, affine=False, track_running_stats=False).eval()
    assert layer.parameters() == {}
    x = normal(8, 6)
    close(layer(mx.array(x)), standardized(x, 0))


def test_batch_norm_of_one_sample_keeps_a_finite_variance():
    layer = nn.BatchNorm(3)
    layer(mx.ones((1, 3)))
    assert np.isfinite(np.array(layer.running_var)).all()


def test_batch_norm_averages_move_inside_value_and_grad():
    layer = nn.BatchNorm(2)
    nn.value_and_grad(layer, lambda x: (layer(x) ** 2).sum())(mx.array([[1.0, 2.0], [3.0, 4.0]]))
    close(layer.running_mean, [0.2, 0.3])


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.LayerNorm(6),
        lambda: nn.RMSNorm(6),
        lambda: nn.InstanceNorm(6, affine=True),
        lambda: nn.GroupNorm(3, 6),
        lambda: nn.GroupNorm(3, 6, pytorch_compatible=True),
        lambda: nn.BatchNorm(6),
    ],
)
@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_half_models_stay_half_and_accurate(make, dtype):
    x = normal(4, 3, 6)
    layer = make()
    expected = np.array(layer(mx.array(x)))
    layer.set_dtype(dtype)
    found = layer(mx.array(x).astype(dtype))
    assert found.dtype == dtype
    tolerance = 0.01 if dtype == mx.float16 else 0.06
    np.testing.assert_allclose(np.array(found.astype(mx.float32)), expected, atol=tolerance)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.GroupNorm(4, 6), "6 channels can't be divided into 4 groups"),
        (lambda: nn.InstanceNorm(6)(mx.zeros((2, 6))), "at least 3 dimensions"),
        (lambda: nn.BatchNorm(6)(mx.zeros((6,))), "at least 2 dimensions"),
        (lambda: nn.BatchNorm(6)(mx.zeros((2, 5))), r"expected 6 channels .* shape \(2, 5\)"),
        (lambda: nn.LayerNorm(6)(mx.zeros((2, 5))), r"LayerNorm: expected 6 channels"),
        (lambda: nn.GroupNorm(3, 6)(mx.zeros((2, 3))), r"GroupNorm: expected 6 channels"),
        (lambda: nn.InstanceNorm(6)(mx.zeros((2, 3, 3))), r"InstanceNorm: expected 6 channels"),
    ],
)
def test_what_does_not_fit(make, message):
    with pytest.raises(ValueError, match=message):
        make()
