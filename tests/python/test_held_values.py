"""Values that are held while others are evaluated are right whenever they are asked for."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

import legato.core as mx

MANY = 1 << 16


@pytest.fixture
def on_the_cpu():
    """Where NumPy can write to an array's memory, and all of it is counted once."""
    before = mx.default_device()
    mx.set_default_device(mx.cpu)
    yield
    mx.set_default_device(before)


def test_locals_are_right_after_the_result_was_evaluated():
    x = mx.arange(MANY).astype(mx.float32) / MANY
    mx.eval(x)
    y = x * 2 + 1
    cube = y * y * y
    t = mx.tanh(cube)
    out = t * y
    mx.eval(out)
    plain = np.array(x) * 2 + 1
    assert np.allclose(np.array(t), np.tanh(plain**3))
    assert np.allclose(np.array(cube), plain**3)
    assert np.array_equal(np.array(y), plain)
    assert np.allclose(np.array(out), np.tanh(plain**3) * plain)


def test_memory_holds_what_was_asked_for_alone(on_the_cpu):
    x = mx.ones((MANY,))
    mx.eval(x)
    gc.collect()
    before = mx.get_active_memory()
    y = x + 1
    z = y * y
    mx.eval(z)
    assert mx.get_active_memory() - before == 4 * MANY
    mx.eval(y)
    assert mx.get_active_memory() - before == 8 * MANY


def test_numpy_writes_to_an_input_after_the_evaluation(on_the_cpu):
    # What is still to be computed from the input must not see it.
    x = mx.ones((MANY,))
    mx.eval(x)
    y = x + 1
    mx.eval(y * y)
    np.asarray(x)[:] = 7
    assert y[5].item() == 2


def test_numpy_writes_to_a_result_from_which_a_local_is_computed(on_the_cpu):
    x = mx.ones((MANY,))
    mx.eval(x)
    a = x + 1
    b = a * 3
    c = b - 1
    mx.eval(a, c)  # b is computed from a, or has been
    np.asarray(a)[:] = 0
    assert b[5].item() == 6
    assert c[5].item() == 5


def test_numpy_writes_while_it_holds_the_memory(on_the_cpu):
    x = mx.ones((MANY,))
    view = np.asarray(x)
    y = x + 1
    mx.eval(y * y)
    view[:] = 7
    assert y[5].item() == 2


def test_threads_ask_for_the_same_local():
    x = mx.ones((MANY,))
    mx.eval(x)
    for _ in range(10):
        y = x + 1
        z = y * y
        mx.eval(z)
        found = []
        threads = [
            threading.Thread(
                target=lambda y=y, k=k, found=found: found.append((y * k)[3].item() / k)
            )
            for k in (1, 2, 3)
        ]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert found == [2, 2, 2]


def test_a_local_of_a_function_under_grad():
    x = mx.arange(MANY).astype(mx.float32) / MANY
    kept = []

    def f(x):
        y = mx.sin(x)
        kept.append(y)
        return (y * y).sum()

    value, grad = mx.value_and_grad(f)(x)
    mx.eval(value, grad)
    plain = np.array(x)
    assert np.allclose(np.array(grad), 2 * np.sin(plain) * np.cos(plain), atol=1e-6)
    assert np.allclose(np.array(kept[0]), np.sin(plain), atol=1e-6)
