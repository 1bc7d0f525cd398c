"""Memory of the GPU shared with other libraries, on the emulated GPU. The other library is a class in the test that
looks into DLPack's structures, as PyTorch and CuPy do."""

from textwrap import dedent

from test_emulated import pytestmark, run  # noqa: F401

OTHER = """
import ctypes, gc
class DLTensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("type", ctypes.c_int32), ("id", ctypes.c_int32), ("ndim", ctypes.c_int32),
                ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
                ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
                ("offset", ctypes.c_uint64)]
class Managed(ctypes.Structure):
    _fields_ = [("tensor", DLTensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]
class Versioned(ctypes.Structure):
    _fields_ = [("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("context", ctypes.c_void_p),
                ("deleter", ctypes.c_void_p), ("flags", ctypes.c_uint64), ("tensor", DLTensor)]
pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
def versioned(capsule):
    return Versioned.from_address(pointer_of(capsule, b"dltensor_versioned"))
def address(x):
    return versioned(x.__dlpack__(max_version=(1, 0))).tensor.data
class Tensor:
    "A tensor of another library, whose memory an array of ours lends it. Remembers what it was asked."
    def __init__(self, x, **keywords):
        self.capsule, self.place, self.keywords = x.__dlpack__(max_version=(1, 0), **keywords), x.__dlpack_device__(), x
    def __dlpack_device__(self): return self.place
    def __dlpack__(self, **keywords):
        self.keywords = keywords
        return self.capsule
def floats(capsule, n):
    return (ctypes.c_float * n).from_address(versioned(capsule).tensor.data)
"""


def test_an_array_on_the_gpu_is_exported_where_it_is(cache):
    program = """
    x = lg.array(np.arange(6, dtype=np.float32).reshape(2, 3)) * 2
    assert x.__dlpack_device__() == (2, 0)            # where it is going to be computed
    capsule = x.__dlpack__(max_version=(1, 0), stream=1)
    t = versioned(capsule).tensor
    assert (t.type, t.id, t.ndim, t.code, t.bits, t.lanes) == (2, 0, 2, 2, 32, 1)
    assert list(t.shape[:2]) == [2, 3] and list(t.strides[:2]) == [3, 1]
    assert versioned(capsule).flags == 0
    assert list(floats(capsule, 6)) == [0, 2, 4, 6, 8, 10]     # the consumer's stream waited for it
    assert address(x) == t.data                       # the same memory each time
    host = lg.array([1.0, 2.0])
    assert host.__dlpack_device__() == (1, 0)         # what the host made, until something is computed
    assert versioned(host.__dlpack__(max_version=(1, 0), dl_device=(2, 0))).tensor.type == 2
    assert np.from_dlpack(host).tolist() == [1, 2]
    print("right")
    """
    assert run(OTHER + dedent(program), cache) == "right"


def test_what_a_consumer_writes_shows_in_the_array_and_in_no_other(cache):
    program = """
    x = lg.array([1.0, 2.0, 3.0, 4.0]) + 0
    y = x[1:3]
    lg.eval(x, y)
    assert y.tolist() == [2, 3]                       # the host has a copy
    lent = y.__dlpack__(max_version=(1, 0))
    floats(lent, 2)[0] = 9
    assert y.tolist() == [9, 3] and (y + 1).tolist() == [10, 4]
    assert x.tolist() == [1, 2, 3, 4]
    floats(lent, 2)[1] = 7
    assert y.tolist() == [9, 7]
    del lent
    assert y.tolist() == [9, 7]
    seven = lg.broadcast_to(lg.array(7.0) + 0, (3,))
    assert list(floats(seven.__dlpack__(max_version=(1, 0)), 3)) == [7, 7, 7]
    print("right")
    """
    assert run(OTHER + dedent(program), cache) == "right"


def test_memory_of_another_library_becomes_an_array_without_a_copy(cache):
    program = """
    source = lg.array(np.arange(24, dtype=np.float32).reshape(4, 6)) + 0
    lg.eval(source)
    where = address(source)
    t = Tensor(source)
    copies = lg.get_active_memory(lg.gpu)
    x = lg.from_dlpack(t)
    assert lg.get_active_memory(lg.gpu) == copies
    assert t.keywords["max_version"] == (1, 0) and t.keywords["stream"] not in (None, 0, 1)
    assert address(x) == where
    assert (x * 2).tolist() == (np.arange(24).reshape(4, 6) * 2.0).tolist()
    # Kernels never write to it, not even where the array dies.
    y = lg.from_dlpack(Tensor(source)) + 1
    lg.eval(y)
    assert source[0, 0].item() == 0
    copy = lg.from_dlpack(Tensor(source), copy=True)
    assert address(copy) != where and address(lg.array(Tensor(source))) != where
    assert address(lg.asarray(Tensor(source))) == where
    assert address(lg.from_dlpack(Tensor(source), copy=False)) == where
    # An array keeps what it shares alive.
    del source, t
    gc.collect()
    junk = [lg.ones((4, 6)) * 5 for _ in range(8)]
    lg.eval(junk)
    assert x.tolist() == np.arange(24).reshape(4, 6).tolist()
    print("right")
    """
    assert run(OTHER + dedent(program), cache) == "right"


def test_strides_offsets_and_all_types_of_shared_memory(cache):
    program = """
    a = np.arange(60).reshape(3, 4, 5)
    for dtype in (lg.bool_, lg.uint8, lg.int16, lg.uint32, lg.int64, lg.float16, lg.bfloat16, lg.float32, lg.float64,
                  lg.complex64, lg.complex128):
        base = lg.array(a.astype(np.float32)).astype(dtype) + lg.array(0, dtype)
        lg.eval(base)
        for view in (base, base.transpose(2, 0, 1), base[1:, ::-1, ::2], base[2, 1:], base[0, 0, 3], base[:, 2:2]):
            lent = view.__dlpack__(max_version=(1, 0))
            got = lg.from_dlpack(lent)
            assert got.dtype == dtype and got.shape == view.shape
            assert np.array_equal(np.array(got.astype(lg.complex64)), np.array(view.astype(lg.complex64)))
            assert lg.array_equal(got, view).item()
    class Reversed:                                   # a producer whose strides are negative
        def __init__(self, x):
            self.x, self.capsule = x, x.__dlpack__(max_version=(1, 0))
            t = versioned(self.capsule).tensor
            t.data += 4 * 9
            t.strides[0] = -1
        def __dlpack_device__(self): return (2, 0)
        def __dlpack__(self, **_): return self.capsule
    x = lg.arange(10).astype(lg.float32) + 0
    assert lg.from_dlpack(Reversed(x)).tolist() == list(range(9, -1, -1))
    class FromCupy(Reversed):                         # strides in bytes, divided as unsigned numbers
        def __init__(self, x):
            super().__init__(x)
            versioned(self.capsule).tensor.strides[0] = ((1 << 64) - 4) // 4
    assert np.array(lg.from_dlpack(FromCupy(x))).tolist() == list(range(9, -1, -1))
    class Beyond(Reversed):
        def __init__(self, x):
            super().__init__(x)
            versioned(self.capsule).tensor.strides[0] = 1 << 60
    try: lg.from_dlpack(Beyond(x))
    except ValueError as e: assert "reach beyond any memory" in str(e)
    else: raise AssertionError("strides beyond memory were taken")
    print("right")
    """
    assert run(OTHER + dedent(program), cache) == "right"


def test_arguments_of_the_protocol(cache):
    program = """
    def refuses(error, word, f, *args, **keywords):
        try: f(*args, **keywords)
        except error as e: assert word in str(e), e
        else: raise AssertionError(f"{error.__name__} with {word!r} expected")
    x = lg.array([1.0, 2.0]) + 0
    for stream in (None, -1, 1, 2):
        x.__dlpack__(stream=stream)
    refuses(ValueError, "ambiguous", x.__dlpack__, stream=0)
    refuses(ValueError, "stream", x.__dlpack__, stream="1")
    refuses(BufferError, "(2, 7)", x.__dlpack__, dl_device=(2, 7))
    refuses(BufferError, "(10, 0)", x.__dlpack__, dl_device=(10, 0))
    refuses(ValueError, "host memory", x.__dlpack__, dl_device=(1, 0), stream=1)
    refuses(BufferError, "copy=False", x.__dlpack__, dl_device=(1, 0), copy=False)
    lg.eval(x, y := x[:1])
    refuses(BufferError, "copy=False", y.__dlpack__, copy=False)
    host = versioned(x.__dlpack__(max_version=(1, 0), dl_device=(1, 0)))
    assert (host.tensor.type, host.flags) == (1, 3)   # read-only, copied
    assert versioned(x.__dlpack__(max_version=(1, 0), copy=True)).flags == 2
    old = x.__dlpack__(dl_device=(1, 0))              # cannot say that it is read-only: copied
    assert np.from_dlpack(Host(x)).tolist() == [1, 2]
    refuses(ValueError, "GPU 3", lg.from_dlpack, Wrong(x))
    used = x.__dlpack__()
    lg.from_dlpack(used)
    refuses(TypeError, "not used yet", lg.from_dlpack, used)
    bad = lg.take(x, lg.array([5]))
    refuses(IndexError, "index 5", bad.__dlpack__)
    print("right")
    """
    more = """
class Host:
    def __init__(self, x): self.x = x
    def __dlpack_device__(self): return (1, 0)
    def __dlpack__(self, **keywords): return self.x.__dlpack__(max_version=(1, 0), dl_device=(1, 0))
class Wrong:
    def __init__(self, x): self.x = x
    def __dlpack_device__(self): return (2, 3)
    def __dlpack__(self, **keywords):
        capsule = self.x.__dlpack__(max_version=(1, 0))
        versioned(capsule).tensor.id = 3
        return capsule
"""
    assert run(OTHER + more + dedent(program), cache) == "right"


def test_numpy_reads_what_the_gpu_computed_and_writes_what_only_the_host_has(cache):
    program = """
    x = lg.array([1.0, 2.0, 3.0])
    n = np.asarray(x)
    n[0] = 5
    assert x.tolist() == [5, 2, 3]
    y = x * 2                                         # the GPU has a copy of x now
    assert y.tolist() == [10, 4, 6]
    n[1] = 7                                          # and n was lent before
    assert (x + 0).tolist() == [5, 7, 3]
    del n
    assert (x + 0).tolist() == [5, 7, 3]
    for z in (x, y, y[::2], lg.broadcast_to(y, (2, 3))):
        m = np.asarray(z)
        assert not m.flags.writeable and m.tolist() == z.tolist()
        assert np.array(z).flags.writeable
    assert bytes(y) == np.array(y).tobytes()
    print("right")
    """
    assert run(OTHER + dedent(program), cache) == "right"


def test_statistics_and_limits_of_memory(cache):
    program = """
    size = 64 << 20
    info = lg.device_info(lg.gpu)
    assert info["memory_size"] == info["total_memory"] == size, info
    assert 0 < info["free_memory"] <= size and info["device_name"] == "emulated GPU" and info["architecture"] == "sm_90"
    assert lg.get_memory_limit() == lg.get_memory_limit(lg.gpu) == size // 100 * 95
    assert lg.get_memory_limit(lg.cpu) > 1 << 30
    assert lg.set_cache_limit(1 << 20) == size // 100 * 95       # not 1 GiB
    assert lg.set_cache_limit(size) == 1 << 20
    lg.reset_peak_memory()
    start = lg.get_active_memory(lg.gpu)
    x = lg.zeros((1 << 20,)) + 1
    lg.eval(x)
    assert lg.get_active_memory(lg.gpu) == start + (4 << 20)
    assert lg.get_active_memory() == lg.get_active_memory(lg.cpu) + lg.get_active_memory(lg.gpu)
    del x
    assert lg.get_active_memory(lg.gpu) == start
    assert lg.get_cache_memory(lg.gpu) >= 4 << 20
    assert lg.get_peak_memory(lg.gpu) >= start + (4 << 20) and lg.get_peak_memory() >= lg.get_peak_memory(lg.gpu)
    lg.clear_cache()
    assert lg.get_cache_memory() == 0
    assert lg.set_memory_limit(1 << 20) == size // 100 * 95
    try: lg.eval(lg.zeros((1 << 20,)) + 1)
    except MemoryError as e: assert "limit is 1024 KiB" in str(e), e
    else: raise AssertionError("no MemoryError")
    assert lg.set_wired_limit(5) == 0 and lg.set_wired_limit(0) == 5
    print("right")
    """
    assert run(program, cache, LEGATO_EMULATOR_MEMORY=64 << 20) == "right"
