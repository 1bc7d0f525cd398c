"""Arrays of other libraries, and the facts that the array API standard asks for."""

from legato import _core


class ArrayLike:
    """Anything with a method `__mlx_array__` that gives an array."""

    def __init__(self, value, /):
        if not hasattr(value, "__mlx_array__"):
            raise TypeError(f"ArrayLike: {type(value).__name__} has no method __mlx_array__")
        self._value = value

    def __mlx_array__(self):
        return self._value.__mlx_array__()


def _is_on_gpu(a):
    """Whether `a` is an array of another library on a GPU (DLPack device types 2 and 13)."""
    return hasattr(a, "__dlpack__") and int(a.__dlpack_device__()[0]) in (2, 13)


def asarray(a, /, dtype=None, *, copy=None):
    """`a` as an array; `a` itself if it is one of this dtype.

    Args:
        a: whatever `array` takes.
        dtype: the dtype of the result; by default that which `array(a)` gives.
        copy: False raises a ValueError where the values would have to be copied. That is so for host
            memory of others: arrays never change, other memory may. An array of another library on
            a GPU is shared, as `from_dlpack` does, unless this is True.
    """
    if isinstance(a, _core.array) and dtype in (None, a.dtype):
        return _core.array(a) if copy else a
    if not isinstance(a, _core.array) and not copy and _is_on_gpu(a):
        shared = _core.from_dlpack(a)
        if dtype in (None, shared.dtype):
            return shared
    if copy is False:
        raise ValueError(
            f"asarray: an array of {type(a).__name__} needs a copy, which copy=False forbids"
        )
    return _core.array(a, dtype)


def broadcast_shapes(*shapes):
    """The shape to which arrays of these shapes broadcast, by NumPy's rule.

    Raises:
        ValueError: they do not broadcast.
    """
    result: tuple[int, ...] = ()
    for shape in shapes:
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        wide = max(len(result), len(shape))
        left, right = (1,) * (wide - len(result)) + result, (1,) * (wide - len(shape)) + shape
        for a, b in zip(left, right, strict=True):
            if b < 0 or (a != b and 1 not in (a, b)):
                given = ", ".join(str(tuple(s) if not isinstance(s, int) else s) for s in shapes)
                raise ValueError(f"broadcast_shapes: {given} do not broadcast to one shape")
        result = tuple(b if a == 1 else a for a, b in zip(left, right, strict=True))
    return result


def get_array_buffer_size(*args):
    """Bytes of the arrays in the arguments, trees of arrays; each array counts once."""
    seen, total, todo = set(), 0, list(args)
    while todo:
        o = todo.pop()
        if isinstance(o, dict):
            todo.extend(o.values())
        elif isinstance(o, (list, tuple)):
            todo.extend(o)
        elif isinstance(o, _core.array) and id(o) not in seen:
            seen.add(id(o))
            total += o.nbytes
    return total


class _NamespaceInfo:
    """What `__array_namespace_info__()` gives: the inspection API of the array API standard."""

    _NAMES = (
        "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
        "float32", "float64", "complex64", "complex128",
    )  # fmt: skip

    def capabilities(self):
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": None}

    def default_device(self):
        return _core.default_device()

    def default_dtypes(self, *, device=None):
        return {
            "real floating": _core.float32,
            "complex floating": _core.complex64,
            "integral": _core.int32,
            "indexing": _core.int32,
        }

    def devices(self):
        return tuple(
            _core.Device(kind, i)
            for kind in (_core.cpu, _core.gpu)
            for i in range(_core.device_count(kind))
        )

    def dtypes(self, *, device=None, kind=None):
        from legato.core._dtypes import isdtype

        all_types = {n: getattr(_core, "bool_" if n == "bool" else n) for n in self._NAMES}
        return {n: t for n, t in all_types.items() if kind is None or isdtype(t, kind)}


def __array_namespace_info__():  # noqa: N807
    """Facts about this namespace, as the array API standard defines them."""
    return _NamespaceInfo()


for _f in (ArrayLike, asarray, broadcast_shapes, get_array_buffer_size, __array_namespace_info__):
    _f.__module__ = "legato.core"
