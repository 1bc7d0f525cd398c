"""x[...], x[...] = v and x.at[...] against NumPy."""

import numpy as np
import pytest

import legato.core as mx

N = np.arange(60, dtype=np.int32).reshape(3, 4, 5)
I = np.array([2, 0, -1])  # noqa: E741
J = np.array([[0], [2]])

READS = [
    0, -1, np.int64(1), (1, 2), (1, 2, 3), (0, slice(None), 1), slice(1, 3), slice(None, None, -1),
    slice(-100, 100), slice(5, 0, -2), slice(3, 1), (slice(None), slice(1, 4, 2)), ..., (..., 0),
    (0, ...), (1, ..., 2), None, (None, 0), (slice(None), None), (..., None), (), I, (I, 0), (0, I),
    (slice(None), I), (I, slice(None), I), (I, I), (I, [0, 1, 2]), (J, I), (slice(None), J, I),
    (J, slice(None), I), (I, None, I), (0, slice(None), I), (..., I), [0, 2], ([0, 2], [1, 3]),
    N > 30, (N > 30)[:, :, 0], (N[:, 0, 0] > 10), (N[:, 0, 0] > 10, 1), (0, N[0] > 5),
    (slice(None), [True, False, True, True]), [], True, False, np.zeros((2, 0), np.int64),
    np.array(1), (np.array(1), slice(None), np.array(2)),
]  # fmt: skip


def ours(index):
    """The same index with arrays of ours in place of NumPy's."""
    if isinstance(index, tuple):
        return tuple(ours(i) for i in index)
    return mx.array(index) if isinstance(index, np.ndarray) else index


@pytest.mark.parametrize("index", READS, ids=lambda i: str(i).replace("\n", " ")[:40])
def test_reading_agrees_with_numpy(index):
    a = mx.array(N)
    expected = N[index]
    for form in (index, ours(index)):
        found = a[form]
        assert found.shape == expected.shape
        assert np.array_equal(np.array(found), expected)


@pytest.mark.parametrize("index", READS, ids=lambda i: str(i).replace("\n", " ")[:40])
def test_assignment_agrees_with_numpy(index):
    for make in (
        lambda shape: 7,
        lambda shape: np.arange(np.prod(shape, dtype=int)).reshape(shape),
    ):
        n, a = N.copy(), mx.array(N)
        value = make(n[index].shape)
        n[index] = value
        a[ours(index)] = value
        assert np.array_equal(np.array(a), n)


@pytest.mark.parametrize(
    "dtype", [mx.uint8, mx.int8, mx.uint16, mx.int16, mx.uint32, mx.int64, mx.uint64]
)
def test_index_arrays_of_every_integer_dtype(dtype):
    assert mx.array([10, 20, 30])[mx.array([2, 0], dtype)].tolist() == [30, 10]


def test_assigned_values_take_the_dtype_of_the_array():
    x = mx.array([1, 2, 3])
    x[1] = 9.7
    assert x.tolist() == [1, 9, 3]
    assert x.dtype == mx.int32
    x[0:2] = mx.array([5.9, 6.1])
    assert x.tolist() == [5, 6, 3]
    x[mx.array([True, False, True])] = mx.array([8, 9])
    assert x.tolist() == [8, 6, 9]
    y = mx.zeros((2, 3))
    y[:] = np.ones((1, 1, 3))
    assert y.tolist() == [[1, 1, 1], [1, 1, 1]]


def test_names_of_one_array_see_an_assignment_and_slices_do_not():
    x = mx.array([1, 2, 3])
    y, part = x, x[0:2]
    x[0] = 5
    assert y.tolist() == [5, 2, 3]
    assert part.tolist() == [1, 2]
    x[mx.array([0, 0])] += 1
    assert x.tolist() == [6, 2, 3]


def test_at_accumulates_where_indices_repeat():
    x = mx.array([1.0, 2.0, 3.0])
    i = mx.array([0, 0, 2])
    assert x.at[i].add(1).tolist() == [3, 2, 4]
    assert x.at[i].subtract(mx.array([1.0, 2.0, 3.0])).tolist() == [-2, 2, 0]
    assert x.at[i].multiply(2).tolist() == [4, 2, 6]
    assert x.at[i].divide(2).tolist() == [0.25, 2, 1.5]
    assert x.at[i].maximum(mx.array([0.0, 5.0, 1.0])).tolist() == [5, 2, 3]
    assert x.at[i].minimum(mx.array([0.0, 5.0, 1.0])).tolist() == [0, 2, 1]
    assert x.at[1:].add(10).tolist() == [1, 12, 13]
    assert x.tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="needs indices"):
        x.at.add(1)


@pytest.mark.parametrize(
    ("index", "error"),
    [
        (3, IndexError),
        (-4, IndexError),
        ((0, 4), IndexError),
        ((0, 0, 0, 0), (IndexError, ValueError)),
        ((..., ...), (IndexError, ValueError)),
        (5.0, ValueError),
        ("a", ValueError),
        (slice(1.5, None), ValueError),
        (slice(None, None, 0), ValueError),
        (np.array([1.5]), ValueError),
        (object(), ValueError),
        (np.array([True, False]), (IndexError, ValueError)),
    ],
)
def test_wrong_indices_are_errors_of_the_call(index, error):
    a = mx.array(N)
    with pytest.raises(error):
        a[ours(index)]
    with pytest.raises(error):
        a[ours(index)] = 1
    assert np.array_equal(np.array(a), N)


def test_out_of_range_index_arrays_are_errors_of_the_evaluation():
    a = mx.array([1, 2, 3])
    bad = a[mx.array([1, 7])]
    assert bad.shape == (2,)
    with pytest.raises(IndexError, match="7"):
        mx.eval(bad)
    with pytest.raises(IndexError):
        bad.tolist()
    assert a.tolist() == [1, 2, 3]


def test_values_that_do_not_fit_are_refused():
    a = mx.zeros((3, 4))
    with pytest.raises(ValueError, match="5"):
        a[0] = mx.zeros(5)
    with pytest.raises((TypeError, ValueError)):
        a[0] = "text"
    with pytest.raises(TypeError, match="deleted"):
        del a[0]
    with pytest.raises((ValueError, IndexError)):
        mx.array(1)[0]
