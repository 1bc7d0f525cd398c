"""Exceptions: their types, and that nothing a program does wrong ends the process."""

import numpy as np
import pytest

import legato as lg
import legato.core as mx

A = mx.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


def test_exception_types():
    assert issubclass(lg.AxisError, ValueError)
    assert issubclass(lg.AxisError, IndexError)
    assert issubclass(lg.TransformError, ValueError)
    assert issubclass(lg.InternalError, RuntimeError)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: mx.sum(A, axis=5), lg.AxisError, "5"),
        (lambda: A.reshape(4), ValueError, "reshape"),
        (lambda: A + mx.ones((2,)), ValueError, "add"),
        (lambda: mx.zeros((-1,)), ValueError, "negative|-1"),
        (lambda: mx.vmap(lambda x: x.sum().item())(A), lg.TransformError, "vmap"),
        (lambda: mx.compile(lambda x: x.sum().item())(A), lg.TransformError, "compile"),
        (lambda: A @ mx.ones((2, 2)), ValueError, "matmul"),
        (lambda: -mx.array([True]), ValueError, "negative"),
        (lambda: A & 1, ValueError, "bitwise_and"),
    ],
)
def test_errors_name_the_function(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_running_out_of_memory_is_an_error():
    old = mx.set_memory_limit(1 << 20)
    try:
        with pytest.raises(MemoryError):
            mx.eval(mx.zeros((1 << 22,)) + mx.array(np.float32(1)))
    finally:
        mx.set_memory_limit(old)
    assert (A + 1).tolist() == [[2, 3, 4], [5, 6, 7]]
    with pytest.raises(MemoryError):
        mx.eval(mx.zeros((1 << 50,)) + A[0, 0])
    with pytest.raises(ValueError, match=r"elements|63 bits"):
        mx.zeros((1 << 40, 1 << 40))


def test_a_failed_array_fails_for_every_reader_and_the_rest_lives():
    bad = mx.array([1, 2])[mx.array([7])]
    later = bad + 1
    for read in (
        bad.tolist,
        later.item,
        lambda: mx.eval(later),
        lambda: repr(bad),
        lambda: bytes(bad),
    ):
        for _ in range(2):
            with pytest.raises(IndexError):
                read()
    assert (mx.array([1, 2]) + 1).tolist() == [2, 3]


def test_gpu_without_a_backend_is_an_error():
    if mx.is_available(mx.gpu):
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match="gpu"):
        mx.set_default_device(mx.gpu)
    with pytest.raises(ValueError, match="gpu"):
        mx.add(A, 1, stream=mx.gpu)
    with pytest.raises(ValueError, match="cpu"):
        mx.set_default_device(mx.Device(mx.cpu, 1))
    assert mx.device_count(mx.gpu) == 0


def test_limits_and_statistics():
    with pytest.raises(ValueError, match="negative"):
        mx.set_cache_limit(-1)
    keep = mx.array(np.zeros(1 << 16, np.float32))
    assert mx.get_active_memory() >= keep.nbytes
    mx.reset_peak_memory()
    assert mx.get_peak_memory() >= mx.get_active_memory()
    mx.clear_cache()
    assert mx.get_cache_memory() == 0


def test_very_long_graphs_are_built_evaluated_and_dropped():
    x = mx.array(0.0)
    for _ in range(100_000):
        x = x + 1
    assert x.item() == 100_000
    y = mx.array(0.0)
    for _ in range(100_000):
        y = y + 1
    del y
