"""Products with activations and gates behind them, on the default device: LEGATO_DEVICE=gpu tries Hopper's kernels.

A gate (GEGLU, SwiGLU) reads the two halves of one product. However it is computed, the result is that of float64
rounded to the half type, up to what the product's own rounding to it would have been.
"""

import math

import ml_dtypes
import numpy as np
import pytest

import legato.core as mx
from legato import nn


def erf(x):
    return np.frompyfunc(math.erf, 1, 1)(x).astype(np.float64)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


ACTS = {
    "relu": (nn.relu, lambda x: np.maximum(x, 0)),
    "gelu": (nn.gelu, lambda x: x * (1 + erf(x / np.sqrt(2))) / 2),
    "gelu_approx": (
        nn.gelu_approx,
        lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    ),
    "silu": (nn.silu, lambda x: x * sigmoid(x)),
    "sigmoid": (mx.sigmoid, sigmoid),
    "tanh": (mx.tanh, np.tanh),
}
DTYPES = {"float16": (mx.float16, np.float16), "bfloat16": (mx.bfloat16, ml_dtypes.bfloat16)}
# Rows, columns of the result and summed elements: enough tiles for a GPU, whole ones and parts of some; and too few.
SHAPES = [(2304, 1024, 192), (2200, 1016, 200), (3, 24, 40)]


def operands(rows, columns, depth, dtype):
    draw = np.random.default_rng(rows + columns)
    x = draw.standard_normal((rows, depth)).astype(dtype)
    w = (draw.standard_normal((columns, depth)) * 2 / np.sqrt(depth)).astype(dtype)
    return x, w, draw.standard_normal(columns).astype(dtype)


def agree(found, wanted, dtype, size):
    eps = float(ml_dtypes.finfo(dtype).eps)
    # A rounding of what goes in and one of what comes out; float32 sums are finer than both.
    error = np.abs(np.array(found.astype(mx.float32), np.float64) - wanted)
    assert found.shape == wanted.shape
    assert (error <= 2 * eps * (np.abs(wanted) + size)).all()


@pytest.mark.parametrize("bias", [False, True], ids=["plain", "bias"])
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_an_activation_behind_a_product(shape, dtype, act, bias):
    ours, theirs = DTYPES[dtype]
    x, w, b = operands(*shape, theirs)
    f, reference = ACTS[act]
    wanted = x.astype(np.float64) @ w.T.astype(np.float64)
    wanted = reference(wanted + b.astype(np.float64) if bias else wanted)
    x, w, b = (mx.array(a) for a in (x, w, b))
    found = f(mx.addmm(b, x, w.T)) if bias else f(x @ w.T)
    assert found.dtype == ours
    agree(found, wanted, theirs, 1)


@pytest.mark.parametrize("order", ["value first", "gate first"])
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_gate_behind_a_product(shape, dtype, act, order):
    rows, columns, depth = shape
    _, theirs = DTYPES[dtype]
    x, w, b = operands(rows, 2 * columns, depth, theirs)
    f, reference = ACTS[act]
    whole = x.astype(np.float64) @ w.T.astype(np.float64) + b.astype(np.float64)
    one, two = whole[:, :columns], whole[:, columns:]
    wanted = one * reference(two) if order == "value first" else reference(one) * two
    halves = mx.split(mx.addmm(mx.array(b), mx.array(x), mx.array(w).T), 2, axis=-1)
    found = halves[0] * f(halves[1]) if order == "value first" else f(halves[0]) * halves[1]
    del halves
    agree(found, wanted, theirs, np.abs(one) + np.abs(two) + 1)


def test_gates_in_three_dimensions_compiled_and_differentiated():
    x, w, b = operands(4 * 640, 2 * 1024, 192, np.float16)
    x = mx.array(x.reshape(4, 640, 192))
    w, b = mx.array(w), mx.array(b)

    def gated(x, w):
        value, gate = mx.split(mx.addmm(b, x, w.T), 2, axis=-1)
        return value * nn.gelu(gate)

    plain = np.array(gated(x, w), np.float64)
    compiled = mx.compile(gated)
    for _ in range(4):
        np.testing.assert_array_equal(np.array(compiled(x, w), np.float64), plain)
    gradient = mx.grad(lambda x: gated(x, w).astype(mx.float32).sum())(x)
    assert gradient.shape == x.shape
    assert np.isfinite(np.array(gradient, np.float32)).all()
