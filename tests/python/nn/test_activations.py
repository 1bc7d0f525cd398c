"""Activations against NumPy."""

import math

import numpy as np
import pytest

import legato.core as mx
from legato import nn

X = np.array(
    [[-30.0, -3.5, -1.0, -0.5], [-0.1, 0.0, 0.1, 0.5], [1.0, 2.5, 6.5, 30.0]], dtype=np.float32
)
erf = np.vectorize(math.erf)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def elu(x, alpha=1.0):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


REFERENCES = {
    "sigmoid": sigmoid,
    "relu": lambda x: np.maximum(x, 0),
    "relu2": lambda x: np.maximum(x, 0) ** 2,
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "log_softmax": lambda x: np.log(softmax(x)),
    "softmax": softmax,
    "softmin": lambda x: softmax(-x),
    "elu": elu,
    "celu": elu,
    "selu": lambda x: 1.0507009873554805 * elu(x, 1.6732632423543772),
    "softplus": lambda x: np.logaddexp(x, 0),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "softshrink": lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0),
    "hard_shrink": lambda x: np.where(np.abs(x) > 0.5, x, 0),
    "silu": lambda x: x * sigmoid(x),
    "log_sigmoid": lambda x: -np.logaddexp(-x, 0),
    "gelu": lambda x: x * (1 + erf(x / math.sqrt(2))) / 2,
    "gelu_approx": lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "gelu_fast_approx": lambda x: x * sigmoid(1.702 * x),
    "glu": lambda x: x[:, :2] * sigmoid(x[:, 2:]),
    "step": lambda x: (x >= 0).astype(np.int32),
    "mish": lambda x: x * np.tanh(np.logaddexp(x, 0)),
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "tanh": np.tanh,
}
MODULES = {
    "ReLU": "relu",
    "ReLU2": "relu2",
    "ReLU6": "relu6",
    "LeakyReLU": "leaky_relu",
    "LogSoftmax": "log_softmax",
    "Softmax": "softmax",
    "Softmin": "softmin",
    "ELU": "elu",
    "CELU": "celu",
    "SELU": "selu",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Softshrink": "softshrink",
    "HardShrink": "hard_shrink",
    "SiLU": "silu",
    "LogSigmoid": "log_sigmoid",
    "GELU": "gelu",
    "GLU": "glu",
    "Step": "step",
    "Mish": "mish",
    "Hardswish": "hardswish",
    "HardTanh": "hard_tanh",
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
}


@pytest.mark.parametrize("name", REFERENCES)
def test_function(name):
    expected = REFERENCES[name](X.astype(np.float64))
    found = getattr(nn, name)(mx.array(X))
    assert found.dtype == (mx.int32 if name == "step" else mx.float32)
    np.testing.assert_allclose(np.array(found), expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("name", MODULES)
def test_module(name):
    expected = getattr(nn, MODULES[name])(mx.array(X))
    module = getattr(nn, name)()
    np.testing.assert_array_equal(np.array(module(mx.array(X))), np.array(expected))
    if name != "PReLU":
        assert module.parameters() == {}


@pytest.mark.parametrize("name", sorted(set(REFERENCES) - {"step"}))
def test_half_stays_half(name):
    assert getattr(nn, name)(mx.array(X).astype(mx.float16)).dtype == mx.float16


@pytest.mark.parametrize("name", sorted(set(REFERENCES) - {"step"}))
def test_gradients_are_those_of_the_reference(name):
    x = X.astype(np.float64)
    x = x[~np.isin(np.abs(x), [0, 0.5, 1.0, 3.0, 6.0]).any(1)] if name != "glu" else x
    x = np.concatenate([x, [[-4.1, -0.3, 0.7, 12.0]]])  # away from kinks

    def total(x):
        return REFERENCES[name](x).sum()

    expected = np.zeros_like(x)
    for i in np.ndindex(*x.shape):
        step = np.zeros_like(x)
        step[i] = 1e-5
        expected[i] = (total(x + step) - total(x - step)) / 2e-5
    found = mx.grad(lambda x: getattr(nn, name)(x).sum())(mx.array(x.astype(np.float32)))
    np.testing.assert_allclose(np.array(found), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["elu", "celu", "selu", "softplus", "mish", "silu", "gelu"])
def test_gradients_far_out_are_finite(name):
    grad = mx.grad(lambda x: getattr(nn, name)(x).sum())(mx.array([-1e4, -200.0, 200.0, 1e4]))
    assert np.isfinite(np.array(grad)).all()


def test_arguments_of_functions_and_modules_agree():
    x = mx.array(X)
    for function, module, expected in [
        (nn.leaky_relu(x, 0.2), nn.LeakyReLU(0.2), np.where(X > 0, X, 0.2 * X)),
        (nn.elu(x, 0.3), nn.ELU(0.3), elu(X, 0.3)),
        (nn.celu(x, 0.3), nn.CELU(0.3), np.maximum(X, 0) + elu(np.minimum(X, 0) / 0.3, 0.3)),
        (nn.softshrink(x, 1.0), nn.Softshrink(1.0), np.sign(X) * np.maximum(np.abs(X) - 1, 0)),
        (nn.hard_shrink(x, 1.0), nn.HardShrink(1.0), np.where(np.abs(X) > 1, X, 0)),
        (nn.step(x, 1.0), nn.Step(1.0), (X >= 1).astype(np.int32)),
        (nn.softmax(x, axis=0), lambda x: nn.softmin(-x, axis=0), softmax(X.T).T),
    ]:
        np.testing.assert_allclose(np.array(function), expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(np.array(module(x)), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(nn.hard_tanh(x, -2.0, 3.0), np.clip(X, -2, 3))


def test_prelu_learns_its_slope():
    module = nn.PReLU(4, init=0.5)
    np.testing.assert_allclose(np.array(module(mx.array(X))), np.where(X > 0, X, 0.5 * X))
    _, grads = nn.value_and_grad(module, lambda x: module(x).sum())(mx.array(X))
    np.testing.assert_allclose(np.array(grads["weight"]), np.minimum(X, 0).sum(0), rtol=1e-6)


def test_gelu_names_its_approximations():
    x = mx.array(X)
    for name, function in [("precise", "gelu_approx"), ("tanh", "gelu_approx"), ("none", "gelu")]:
        np.testing.assert_array_equal(
            np.array(nn.GELU(name)(x)), np.array(getattr(nn, function)(x))
        )
    with pytest.raises(ValueError, match="approx is 'exact', expected one of"):
        nn.GELU("exact")


def test_glu_needs_an_even_size():
    with pytest.raises(ValueError):  # noqa: PT011 (the message is that of split)
        nn.glu(mx.zeros((2, 3)))
