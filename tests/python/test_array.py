"""The array object: creation, conversion to Python values, operators, printing, copying."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import legato as lg
import legato.core as mx

DTYPES = [
    mx.bool_, mx.uint8, mx.uint16, mx.uint32, mx.uint64, mx.int8, mx.int16, mx.int32, mx.int64,
    mx.float16, mx.bfloat16, mx.float32, mx.float64, mx.complex64, mx.complex128,
]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "dtype", "shape"),
    [
        (True, mx.bool_, ()),
        (3, mx.int32, ()),
        (2**40, mx.int64, ()),
        (2**63, mx.uint64, ()),
        (1.5, mx.float32, ()),
        (1 + 2j, mx.complex64, ()),
        ([], mx.float32, (0,)),
        ([[]], mx.float32, (1, 0)),
        ([1, 2.5, True], mx.float32, (3,)),
        ([True, False], mx.bool_, (2,)),
        ([[1, 2], [3, 4]], mx.int32, (2, 2)),
        ([1, 2**40], mx.int64, (2,)),
        (((1, 2), [3, 4]), mx.int32, (2, 2)),
        (range(3), mx.int32, (3,)),
        (b"ab", mx.uint8, (2,)),
        (np.float64(3), mx.float32, ()),
        ([np.int64(3), np.float32(1)], mx.float32, (2,)),
        (np.arange(3), mx.int64, (3,)),
        (np.zeros((2, 0)), mx.float32, (2, 0)),
        (np.zeros(2, np.complex128), mx.complex64, (2,)),
        (memoryview(b"abc"), mx.uint8, (3,)),
    ],
)
def test_array_takes_the_dtype_and_shape_of_what_it_is_given(value, dtype, shape):
    a = mx.array(value)
    assert a.dtype == dtype
    assert a.shape == shape
    assert np.array_equal(
        np.array(a), np.array(value if not isinstance(value, (bytes, memoryview)) else list(value))
    )


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (300, mx.int8, 44),
        ([300, -1], mx.uint8, [44, 255]),
        (1.9, mx.int32, 1),
        ([0, 2], mx.bool_, [False, True]),
        (1e10, mx.float16, float("inf")),
    ],
)
def test_an_explicit_dtype_casts(value, dtype, expected):
    a = mx.array(value, dtype)
    assert a.dtype == dtype
    assert a.tolist() == expected


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (None, TypeError, "None"),
        ("abc", ValueError, "str"),
        ([None], ValueError, "None"),
        (["a"], ValueError, "str"),
        ([{}], ValueError, "dict"),
        ([[1, 2], [3]], ValueError, "lengths 2 and 1"),
        ([[1, 2], 3], ValueError, "side by side"),
        ([1, [2, 3]], ValueError, "side by side"),
        (2**64, ValueError, "64 bits"),
        ([-1, 2**63], ValueError, "no integer dtype"),
        (np.array(["a"]), ValueError, "format"),
        (np.arange(3).astype(">i4"), ValueError, "big-endian"),
    ],
)
def test_what_is_no_array_is_refused_by_name(value, error, words):
    with pytest.raises(error, match=words):
        mx.array(value)


def test_a_dtype_must_be_a_dtype():
    for bad in (float, "float32", np.float32):
        with pytest.raises(TypeError, match="Dtype"):
            mx.array([1.0], dtype=bad)


def test_cyclic_lists_are_refused():
    cyclic = []
    cyclic.append(cyclic)
    with pytest.raises(ValueError, match="nested deeper"):
        mx.array(cyclic)


def test_numpy_layouts_are_copied_in_order():
    base = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    for view in (
        base[:, ::-1],
        base.T,
        base[..., ::2],
        base[1:, 1],
        np.broadcast_to(base[0], (5, 3, 4)),
    ):
        assert np.array_equal(np.array(mx.array(view)), view)


def test_arrays_never_see_later_changes_of_their_source():
    source = np.zeros(3, np.float32)
    a = mx.array(source)
    source[0] = 1
    assert a.tolist() == [0, 0, 0]


def test_mlx_array_protocol():
    class Box:
        def __mlx_array__(self):
            return mx.array([1.0, 2.0])

    class Broken:
        def __mlx_array__(self):
            return 3

    assert mx.array(Box()).tolist() == [1, 2]
    assert mx.array(Box(), mx.int32).dtype == mx.int32
    assert (mx.array([1.0, 1.0]) + Box()).tolist() == [2, 3]
    with pytest.raises(TypeError, match="not an array"):
        mx.array(Broken())


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda t: t.name)
def test_pickle_copy_and_bytes_keep_every_dtype(dtype):
    a = mx.array([[0, 1, 2], [3, 4, 5]], dtype)
    for b in (pickle.loads(pickle.dumps(a)), copy.copy(a), copy.deepcopy(a)):
        assert b is not a
        assert (b.dtype, b.shape, bytes(b)) == (a.dtype, a.shape, bytes(a))
    assert len(bytes(a)) == a.nbytes == 6 * a.itemsize


def test_unpickling_checks_what_it_reads():
    a = mx.array([1, 2])
    for state in [(b"", (2,), "int32"), (b"12345678", (-2,), "int32"), (b"", (2,), "nonsense"), 3]:
        with pytest.raises((ValueError, TypeError)):
            a.__setstate__(state)
    assert a.tolist() == [1, 2]


def test_an_array_without_init_is_still_an_array():
    a = mx.array.__new__(mx.array)
    assert a.shape == ()
    assert a.item() == 0


def test_subclasses_and_weak_references():
    class Named(mx.array):
        pass

    a = Named([1, 2, 3])
    a.name = "x"
    assert isinstance(a, mx.array)
    assert a.tolist() == [1, 2, 3]
    b = mx.array([1])
    dead = weakref.ref(b)
    assert dead() is b
    del b
    gc.collect()
    assert dead() is None
    with pytest.raises(AttributeError):
        mx.array([1]).name = "x"


def test_conversion_to_python_values():
    assert mx.array([[7]]).item() == 7
    assert isinstance(mx.array(1.5, mx.float16).item(), float)
    assert mx.array(2**63, mx.uint64).item() == 2**63
    assert int(mx.array([2.7])) == 2
    assert float(mx.array(3)) == 3.0
    assert complex(mx.array(2)) == 2 + 0j
    assert bool(mx.array([[True]])) is True
    assert [10, 20, 30][mx.array(1)] == 20
    assert mx.array([[1.5, 2]]).tolist() == [[1.5, 2.0]]
    assert mx.array(5).tolist() == 5
    assert list(mx.array([1, 2]).shape) == [2]


@pytest.mark.parametrize(
    ("read", "error"),
    [
        (lambda: mx.array([1, 2]).item(), ValueError),
        (lambda: int(mx.array([1, 2])), ValueError),
        (lambda: bool(mx.array([])), ValueError),
        (lambda: mx.array(2.0).__index__(), TypeError),
        (lambda: mx.array([2]).__index__(), TypeError),
        (lambda: float(mx.array(1j)), TypeError),
        (lambda: len(mx.array(1)), TypeError),
        (lambda: iter(mx.array(1)), TypeError),
    ],
)
def test_conversions_that_lose_something_are_refused(read, error):
    with pytest.raises(error):
        read()


def test_comparison_with_foreign_objects_never_raises():
    a = mx.array([1, 2])
    for foreign in (None, "a", [1, 2], {}, object()):
        assert (a == foreign) is False
        assert (a != foreign) is True
    assert {a: 1}[a] == 1
    with pytest.raises(TypeError):
        a < None  # noqa: B015


@pytest.mark.parametrize("bad", [None, "a", [1, 2], {}])
def test_operators_refuse_what_is_no_operand(bad):
    for operation in (
        lambda a, b: a + b,
        lambda a, b: b + a,
        lambda a, b: a @ b,
        lambda a, b: a & b,
    ):
        with pytest.raises(TypeError):
            operation(mx.array([1, 2]), bad)


def test_operators_and_their_reflections():
    a, n = mx.array([5, 7, 9]), np.array([5, 7, 9])
    for f in (
        lambda x: x + 2, lambda x: 2 + x, lambda x: x - 2, lambda x: 20 - x, lambda x: x * 3,
        lambda x: x // 2, lambda x: 20 // x, lambda x: x % 4, lambda x: 20 % x, lambda x: x**2,
        lambda x: 2**x, lambda x: -x, lambda x: +x, lambda x: abs(-x), lambda x: ~x,
        lambda x: x & 3, lambda x: 3 & x, lambda x: x | 8, lambda x: 8 | x, lambda x: x ^ 1,
        lambda x: 1 ^ x, lambda x: x << 1, lambda x: 1 << x, lambda x: x >> 1, lambda x: 512 >> x,
        lambda x: x < 7, lambda x: x <= 7, lambda x: x > 7, lambda x: x >= 7, lambda x: x == 7,
        lambda x: x != 7, lambda x: x.__gt__(7),  lambda x: divmod(x, 2)[0], lambda x: divmod(20, x)[1],
    ):  # fmt: skip
        assert np.array(f(a)).tolist() == f(n).tolist()
    assert (a / 2).dtype == mx.float32
    assert (1 / a).tolist() == pytest.approx([0.2, 1 / 7, 1 / 9])


def test_weak_numbers_take_the_arrays_dtype():
    a = mx.array([1, 2], mx.int8)
    assert (a + 1).dtype == mx.int8
    assert (a + np.int64(1)).dtype == mx.int8
    assert (a + 1.5).dtype == mx.float32
    assert (mx.array([1.0], mx.float16) * 2.5).dtype == mx.float16
    assert (a + 1j).dtype == mx.complex64
    assert (a + True).dtype == mx.int8
    with pytest.raises(ValueError, match="overflow"):
        a + 300


def test_numpy_operands_promote_like_arrays():
    a = mx.array([1, 2])
    assert (a + np.array([1.5, 2.5])).tolist() == [2.5, 4.5]
    assert (a + np.array([1, 2], np.int64)).dtype == mx.int64
    assert isinstance(np.array([1, 2]) + a, np.ndarray)


def test_in_place_operators_change_the_object_for_all_its_names():
    x = mx.array([1, 2])
    y = x
    x += 1
    assert y is x
    assert y.tolist() == [2, 3]
    x *= 1.5
    assert x.dtype == mx.float32
    x -= mx.array([1.0, 1.0])
    x /= 2
    x **= 2
    assert y.tolist() == [1.0, 3.0625]
    i = mx.array([8, 9])
    before = i[0:2]
    i //= 2
    i <<= 1
    i |= 1
    i &= 13
    i ^= 1
    i >>= 1
    i %= 3
    assert i.tolist() == [1, 1]
    assert before.tolist() == [8, 9]
    with pytest.raises(ValueError, match="x / y"):
        i /= 2


def test_power_with_a_modulus_is_refused():
    with pytest.raises(TypeError):
        pow(mx.array([2]), 2, 3)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "array(3, dtype=int32)"),
        ([1, 2], "array([1, 2], dtype=int32)"),
        ([True, False], "array([True, False], dtype=bool)"),
        ([1e-7, 1e10, 123456.789, 2.0], "array([1e-07, 1e+10, 123457, 2], dtype=float32)"),
        ([float("nan"), float("inf"), -0.0], "array([nan, inf, -0], dtype=float32)"),
        ([1 - 2j, 1.5 + 0j], "array([1-2j, 1.5+0j], dtype=complex64)"),
        ([], "array([], dtype=float32)"),
        (np.zeros((2, 0)), "array([[],\n       []], dtype=float32)"),
        ([[1, 2], [3, 4]], "array([[1, 2],\n       [3, 4]], dtype=int32)"),
        (
            np.arange(8, dtype=np.int32).reshape(2, 2, 2),
            "array([[[0, 1],\n        [2, 3]],\n       [[4, 5],\n        [6, 7]]], dtype=int32)",
        ),
        (np.arange(7, dtype=np.uint8), "array([0, 1, 2, ..., 4, 5, 6], dtype=uint8)"),
        (
            np.zeros((7, 1)),
            "array([[0],\n       [0],\n       [0],\n       ...,\n       [0],\n       [0],\n       [0]], "
            "dtype=float32)",
        ),
    ],
)  # fmt: skip
def test_repr(value, text):
    assert repr(mx.array(value)) == str(mx.array(value)) == text


def test_format_and_print_options():
    assert f"{mx.array(1.5):.3f}" == "1.500"
    assert f"{mx.array(3):05d}" == "00003"
    assert f"{mx.array([1.5])}" == "array([1.5], dtype=float32)"
    with pytest.raises(TypeError, match="format"):
        format(mx.array([1.5]), ".3f")
    a = mx.array([1.23456789, 1e10])
    with mx.printoptions(precision=3):
        assert mx.get_printoptions().precision == 3
        assert str(a) == "array([1.235, 10000000000.000], dtype=float32)"
    assert mx.get_printoptions().precision == -1
    mx.set_printoptions(precision=1)
    try:
        assert str(mx.array(2.0)) == "array(2.0, dtype=float32)"
    finally:
        mx.set_printoptions()


def test_properties():
    a = mx.array([[1, 2, 3], [4, 5, 6]], mx.int16)
    assert (a.shape, a.ndim, a.size, a.itemsize, a.nbytes) == ((2, 3), 2, 6, 2, 12)
    assert a.T.shape == a.mT.shape == (3, 2)
    c = mx.array([1 + 2j])
    assert (c.real.item(), c.imag.item()) == (1, 2)
    with pytest.raises(AttributeError):
        a.shape = (3, 2)


def test_iteration_and_membership():
    assert [row.tolist() for row in mx.array([[1, 2], [3, 4]])] == [[1, 2], [3, 4]]
    x, y = mx.array([1, 2])
    assert (x.item(), y.item()) == (1, 2)
    assert 2 in mx.array([1, 2])
    assert 3 not in mx.array([1, 2])
    assert len(mx.array([[1], [2], [3]])) == 3


def test_methods_forward_to_functions():
    a = mx.array([[1.0, 2.0], [3.0, 4.0]])
    assert a.sum(axis=1).tolist() == mx.sum(a, axis=1).tolist() == [3, 7]
    assert a.reshape(4).shape == a.reshape((4,)).shape == a.reshape([-1]).shape == (4,)
    assert a.reshape(4, 1).shape == a.reshape(-1, 1).shape == (4, 1)
    assert a.transpose(1, 0).tolist() == a.transpose((1, 0)).tolist() == a.transpose().tolist()
    assert a.astype(mx.int32).dtype == mx.int32
    with pytest.raises(TypeError, match=r"array\.sum"):
        a.sum(axes=1)
    assert mx.array.sum(a).item() == 10
    assert a.var(correction=1).item() == a.var(ddof=1).item() != a.var(correction=None).item()


def test_dtype_objects():
    assert repr(mx.float32) == "legato.core.float32"
    assert mx.float32.size == 4
    assert mx.float32 == mx.float32
    assert mx.float32 != mx.float16
    assert (mx.float32 == "float32") is False
    assert pickle.loads(pickle.dumps([mx.bool_, mx.bfloat16])) == [mx.bool_, mx.bfloat16]
    assert copy.deepcopy(mx.int8) is mx.int8
    assert mx.result_type(mx.uint8, mx.array([1], mx.int8)) == mx.int16
    assert mx.can_cast(mx.int64, mx.float32)
    assert not mx.can_cast(mx.float32, mx.int64)
    with pytest.raises(TypeError, match="Dtype"):
        mx.result_type(1)


def test_categories_and_limits():
    assert mx.issubdtype(mx.float32, mx.inexact)
    assert mx.issubdtype(mx.bool_, mx.generic)
    assert not mx.issubdtype(mx.bool_, mx.number)
    assert mx.issubdtype(mx.signedinteger, mx.integer)
    assert mx.isdtype(mx.int8, "integral")
    assert mx.isdtype(mx.int8, ("bool", mx.int8))
    with pytest.raises(ValueError, match="no kind"):
        mx.isdtype(mx.int8, "integer")
    for t, n in ((mx.float16, np.float16), (mx.float32, np.float32), (mx.float64, np.float64)):
        ours, theirs = mx.finfo(t), np.finfo(n)
        assert (ours.max, ours.min, ours.eps) == (theirs.max, theirs.min, theirs.eps)
        assert ours.smallest_normal == theirs.smallest_normal
    assert mx.finfo(mx.complex64).dtype == mx.float32
    assert (mx.iinfo(mx.int8).min, mx.iinfo(mx.uint64).max) == (-128, 2**64 - 1)
    with pytest.raises(ValueError, match="iinfo"):
        mx.finfo(mx.int8)


def test_the_namespaces_are_one():
    assert lg.array is mx.array
    assert lg.float32 is mx.float32
    assert mx.array([1]).__array_namespace__() is mx
    info = mx.__array_namespace_info__()
    assert info.default_device() == mx.default_device()
    assert set(info.dtypes(kind="bool")) == {"bool"}


def test_broadcast_shapes():
    assert mx.broadcast_shapes() == ()
    assert mx.broadcast_shapes((2, 1), [3], 3, (1, 1, 1)) == (1, 2, 3)
    with pytest.raises(ValueError, match=r"\(2,\), \(3,\)"):
        mx.broadcast_shapes((2,), (3,))
