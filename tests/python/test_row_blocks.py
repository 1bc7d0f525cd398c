"""Steps that run on blocks of rows give what they give one after the other, to the bit."""

from __future__ import annotations

import os

import numpy as np
import pytest

import legato.core as mx
from legato import _core

# Large enough that their rows are worth cutting (more than 128 KiB), of odd sizes.
SHAPES = [(1000, 333), (10, 37, 600), (9, 1, 4097), (4096, 16)]
DTYPES = ["float32", "float16", "float64"]


def unfused(function, *arrays):
    before = _core._set_fusion(False)
    try:
        return [np.array(r) for r in results(function, *arrays)]
    finally:
        _core._set_fusion(before)


def results(function, *arrays):
    found = function(*arrays)
    found = list(found) if isinstance(found, (list, tuple)) else [found]
    mx.eval(found)
    return found


def softmax(x):
    e = mx.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def softmax_with_intermediates(x):
    top = x.max(-1, keepdims=True)
    e = mx.exp(x - top)
    total = e.sum(-1, keepdims=True)
    return e / total, e, top, total


def layer_norm(x):
    mean = x.mean(-1, keepdims=True)
    var = mx.square(x - mean).mean(-1, keepdims=True)
    weight = mx.arange(x.shape[-1]).astype(x.dtype) / x.shape[-1]
    return (x - mean) * mx.rsqrt(var + 1e-5) * weight


def without_keepdims(x):
    return x - x.mean(-1)[..., None]


def scaled_softmax(x):
    return mx.softmax(x * 0.5 + 1, axis=-1) * 2


def normalised_softmax(x):
    return mx.fast.rms_norm(mx.softmax(x, axis=-1), mx.ones(x.shape[-1], x.dtype), 1e-5)


def row_of_all_rows(x):
    # The row that is subtracted needs every row first.
    return x - (x * x).sum(-1).sum()


def of_the_transpose(x):
    y = x.swapaxes(-1, -2)
    return (y * 2).sum(-1, keepdims=True) + y


FUNCTIONS = [
    softmax,
    softmax_with_intermediates,
    layer_norm,
    without_keepdims,
    scaled_softmax,
    normalised_softmax,
    row_of_all_rows,
    of_the_transpose,
]


def sample(shape, dtype):
    x = np.random.default_rng(0).normal(size=shape)
    return mx.array(x).astype(getattr(mx, dtype))


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_same_bits_as_one_step_after_the_other(function, shape):
    for dtype in DTYPES:
        x = sample(shape, dtype)
        expected = unfused(function, x)
        for way, f in (("lazy", function), ("compiled", mx.compile(function))):
            for got, want in zip(results(f, x), expected, strict=True):
                # Within a program, halves are rounded only where they are stored.
                np.testing.assert_allclose(
                    np.array(got),
                    want,
                    rtol=2**-8 if dtype == "float16" else 0,
                    atol=2**-8 if dtype == "float16" else 0,
                    err_msg=f"{dtype}, {way}",
                )


@pytest.mark.parametrize("function", FUNCTIONS[:6], ids=lambda f: f.__name__)
def test_gradients_are_close_to_those_of_one_step_after_the_other(function):
    def loss(x):
        found = function(x)
        y = found[0] if isinstance(found, tuple) else found
        return (y * mx.sin(x)).sum()

    x = sample((1000, 333), "float64")
    (want,) = unfused(mx.grad(loss), x)
    np.testing.assert_allclose(np.array(mx.grad(loss)(x)), want, rtol=1e-12, atol=1e-14)


def test_square_values_are_not_mistaken_for_rows():
    # The sum of each row is broadcast along the other axis: it is needed whole.
    def function(x):
        return (x * 3) - x.sum(-1)

    x = sample((300, 300), "float32")
    (want,) = unfused(function, x)
    np.testing.assert_array_equal(np.array(function(x)), want)


def test_intermediates_take_no_memory():
    with mx.stream(mx.cpu):  # a GPU stores them until the program is compiled
        x = sample((4000, 1000), "float32")
        mx.eval(x)
        mx.eval(softmax(x))
        mx.reset_peak_memory()
        before = mx.get_active_memory()
        result = softmax(x)
        mx.eval(result)
    assert mx.get_peak_memory() - before < 2 * x.nbytes


@pytest.mark.parametrize("function", [softmax, softmax_with_intermediates, layer_norm])
@pytest.mark.skipif(os.environ.get("LEGATO_JIT") == "0", reason="programs have no machine code")
@pytest.mark.skipif(os.environ.get("LEGATO_SIMD") == "base", reason="machine code is for AVX2")
def test_programs_and_reductions_alone_are_one_row_program(function):
    with mx.stream(mx.cpu):
        x = sample((1000, 333), "float32")
        mx.eval(x)
        results(function, x)  # machine code is there after the first run at the latest
        before = _core._eval_counts()
        results(function, x)
        after = _core._eval_counts()
    assert after["row_programs"] - before["row_programs"] == 1
