"""Memory shared with other libraries."""

import array as python_array
import gc

import numpy as np
import pytest

import legato.core as mx

NUMPY = {
    mx.bool_: np.bool_, mx.uint8: np.uint8, mx.uint16: np.uint16, mx.uint32: np.uint32,
    mx.uint64: np.uint64, mx.int8: np.int8, mx.int16: np.int16, mx.int32: np.int32,
    mx.int64: np.int64, mx.float16: np.float16, mx.float32: np.float32, mx.float64: np.float64,
    mx.complex64: np.complex64, mx.complex128: np.complex128,
}  # fmt: skip


@pytest.mark.parametrize("dtype", NUMPY, ids=lambda t: t.name)
def test_numpy_and_back_for_every_dtype(dtype):
    values = np.array([[0, 1], [2, 3]]).astype(NUMPY[dtype])
    a = mx.array(values, dtype)
    for n in (np.array(a), np.asarray(a), np.from_dlpack(a)):
        assert n.dtype == NUMPY[dtype]
        assert np.array_equal(n, values)
    assert np.array_equal(np.array(mx.from_dlpack(values)), values)


def test_exports_share_memory_and_show_writes():
    a = mx.array([1.0, 2.0, 3.0])
    n = np.array(a, copy=False)
    n[0] = 7
    assert a.tolist() == [7, 2, 3]
    assert np.from_dlpack(a)[0] == 7


def test_an_export_outlives_its_array():
    a = mx.array(np.arange(1000.0))
    n, view, d = np.asarray(a), memoryview(a), np.from_dlpack(a)
    del a
    gc.collect()
    junk = [mx.array(np.zeros(1000)) for _ in range(10)]
    assert n[999] == view[999] == d[999] == 999
    del junk


def test_writing_to_an_export_of_a_slice_leaves_its_source_alone():
    a = mx.array([1, 2, 3, 4])
    b = a[1:3]
    mx.eval(b)
    np.asarray(b)[0] = 9
    assert a.tolist() == [1, 2, 3, 4]
    assert b.tolist() == [9, 3]


def test_layouts_of_exports():
    a = mx.array(np.arange(6, dtype=np.int32).reshape(2, 3))
    for view in (a.T, a[:, ::-1], mx.broadcast_to(a[0], (4, 3))):
        assert np.array_equal(np.asarray(view), np.array(view.tolist()))
        assert np.array_equal(np.from_dlpack(view), np.array(view.tolist()))
        assert bytes(view) == np.array(view.tolist(), np.int32).tobytes()
    assert memoryview(a).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert np.asarray(mx.array(3.5)).shape == ()
    assert np.asarray(mx.array(np.zeros((0, 2)))).shape == (0, 2)


def test_rebinding_an_array_does_not_touch_its_exports():
    a = mx.array([1, 2])
    n = np.asarray(a)
    a += 1
    assert n.tolist() == [1, 2]
    assert a.tolist() == [2, 3]


def test_bfloat16_through_ml_dtypes():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    values = np.array([1.5, -2.0, 3.25], ml_dtypes.bfloat16)
    a = mx.array(values)
    assert a.dtype == mx.bfloat16
    assert a.tolist() == [1.5, -2.0, 3.25]
    n = a.__array__()
    assert n.dtype == ml_dtypes.bfloat16
    assert n.tolist() == values.tolist()
    assert np.array(a).tolist() == values.tolist()
    with pytest.raises(BufferError, match="bfloat16"):
        memoryview(a)


def test_array_protocol_arguments():
    a = mx.array([1.5, 2.5])
    assert a.__array__(np.float64).dtype == np.float64
    assert np.asarray(a, dtype=np.int32).tolist() == [1, 2]
    copied = a.__array__(copy=True)
    copied[0] = 9
    assert a.tolist() == [1.5, 2.5]
    with pytest.raises(ValueError, match="copy"):
        a.__array__(np.float64, copy=False)


def test_dlpack_arguments():
    a = mx.array([1.0])
    assert a.__dlpack_device__() == (1, 0)
    assert "dltensor_versioned" in repr(a.__dlpack__(max_version=(1, 0)))
    assert "dltensor" in repr(a.__dlpack__())
    copied = np.from_dlpack(a, copy=True)
    copied[0] = 5
    assert a.item() == 1
    with pytest.raises(BufferError):
        a.__dlpack__(dl_device=(2, 99))
    with pytest.raises(TypeError, match="__dlpack__"):
        mx.from_dlpack(3)
    with pytest.raises(ValueError, match="copy"):
        mx.from_dlpack(np.ones(2), copy=False)
    capsule = a.__dlpack__()
    assert mx.from_dlpack(capsule).item() == 1
    with pytest.raises(TypeError, match="not used yet"):
        mx.from_dlpack(capsule)


def test_other_buffers():
    assert mx.array(bytearray(b"\1\2")).tolist() == [1, 2]
    assert mx.array(python_array.array("d", [1.5, 2.5])).tolist() == [1.5, 2.5]
    assert mx.array(memoryview(b"abcdef")[::2]).tolist() == [97, 99, 101]


def test_torch_tensors():
    torch = pytest.importorskip("torch")
    t = torch.arange(6).reshape(2, 3).t()
    assert mx.array(t).tolist() == t.tolist()
    assert mx.from_dlpack(torch.ones(2, dtype=torch.bfloat16)).dtype == mx.bfloat16
    assert torch.from_dlpack(mx.array([1.0, 2.0])).tolist() == [1, 2]


def test_asarray():
    a = mx.array([1.0])
    assert mx.asarray(a) is a
    assert mx.asarray(a, copy=True) is not a
    assert mx.asarray([1, 2], mx.float16).dtype == mx.float16
    with pytest.raises(ValueError, match="copy"):
        mx.asarray(np.ones(2), copy=False)


def test_a_failing_evaluation_is_seen_by_numpy():
    bad = mx.array([1, 2])[mx.array([5])]
    with pytest.raises(IndexError):
        np.array(bad)
    with pytest.raises(IndexError):
        bad.tolist()
