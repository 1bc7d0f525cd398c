"""Memory shared with PyTorch, CuPy and JAX on a real GPU: values, streams that still run, lifetimes, threads."""

import os
import threading

import numpy as np
import pytest

import legato.core as lg

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(
    not (torch.cuda.is_available() and lg.is_available(lg.gpu)), reason="needs an NVIDIA GPU"
)
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

A_WHILE = 100_000_000  # cycles: some 50 ms


@pytest.fixture(autouse=True)
def gpu():
    previous = lg.default_device()
    lg.set_default_device(lg.gpu)
    yield
    lg.set_default_device(previous)


TYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32"]
TYPES += ["float64", "complex64", "complex128"]


@pytest.mark.parametrize("name", TYPES)
def test_torch_and_back_without_a_copy(name):
    t = torch.arange(60, device="cuda").reshape(3, 4, 5).to(getattr(torch, name))
    views = (t, t.permute(2, 0, 1), t[1:, :, ::2], t[2, 1:], t[0, 0, 3], t[:1].expand(4, 4, 5))
    for view in views:
        x = lg.from_dlpack(view)
        assert x.dtype == getattr(lg, "bool_" if name == "bool" else name)
        assert x.tolist() == view.tolist()
        assert lg.array_equal(x, lg.array(view.cpu())).item()
        same = torch.from_dlpack(x)
        if view is not views[-1]:  # what repeats elements gets memory of its own
            assert same.data_ptr() == view.data_ptr()
        assert torch.equal(same, view)
        copy = torch.from_dlpack(lg.array(view))
        assert copy.data_ptr() != view.data_ptr()
        assert torch.equal(copy, view)
    assert torch.from_dlpack(lg.asarray(t)).data_ptr() == t.data_ptr()
    assert torch.from_dlpack(lg.from_dlpack(t, copy=True)).data_ptr() != t.data_ptr()
    with pytest.raises(BufferError, match="gradient"):
        lg.from_dlpack(torch.ones(2, device="cuda", requires_grad=True))


@pytest.mark.parametrize("shape", [(0,), (0, 3), ()])
def test_tensors_of_few_elements(shape):
    t = torch.ones(shape, device="cuda")
    x = lg.from_dlpack(t)
    assert x.shape == shape
    assert torch.from_dlpack(x + 0).shape == shape


def test_values_that_a_stream_of_torch_is_still_computing():
    side = torch.cuda.Stream()
    for round in range(5):
        t = torch.zeros(1 << 20, device="cuda")
        torch.cuda.synchronize()
        with torch.cuda.stream(side):
            torch.cuda._sleep(A_WHILE)
            t.fill_(round + 1)
            x = lg.from_dlpack(t)  # torch makes our stream wait for its current one
        assert lg.sum(x).item() == (round + 1) * (1 << 20)
    t = torch.zeros(1 << 20, device="cuda")
    torch.cuda._sleep(A_WHILE)
    t.fill_(3)
    assert lg.max(lg.from_dlpack(torch.utils.dlpack.to_dlpack(t))).item() == 3  # a bare capsule


def long_work():
    """An array of ones that takes the GPU a while."""
    y = lg.ones((4096, 4096))
    for _ in range(20):
        y = (y @ lg.ones((4096, 4096))) / 4096
    return y


def test_values_that_we_are_still_computing():
    side = torch.cuda.Stream()
    for stream in (torch.cuda.current_stream(), side):
        y = long_work()
        with torch.cuda.stream(stream):
            t = torch.from_dlpack(y)
            assert t.sum().item() == 4096 * 4096
        assert t.data_ptr() == torch.from_dlpack(y).data_ptr()


def test_writes_of_torch_show():
    x = lg.array([1.0, 2.0, 3.0]) * 1
    part = x[1:]
    lg.eval(x, part)
    assert x.tolist() == [1, 2, 3]
    t = torch.from_dlpack(part)
    t += 10
    torch.cuda.synchronize()
    assert part.tolist() == [12, 13]
    assert x.tolist() == [1, 2, 3]
    t += 1
    torch.cuda.synchronize()
    assert (part * 1).tolist() == part.tolist() == [13, 14]


def test_what_torch_still_reads_is_not_given_to_others():
    side = torch.cuda.Stream()
    for _ in range(5):
        x = lg.ones((1 << 22,)) * 7
        with torch.cuda.stream(side):
            t = torch.from_dlpack(x)
            torch.cuda._sleep(A_WHILE)
            y = t + 1
        del x, t
        junk = [lg.ones((1 << 22,)) * k for k in range(4)]  # would take the memory
        lg.eval(junk)
        side.synchronize()
        assert y.min().item() == y.max().item() == 8


def test_what_we_still_read_is_not_given_to_others():
    for _ in range(3):
        before = torch.cuda.memory_allocated()
        t = torch.full((4096, 4096), 7.0, device="cuda")
        x = lg.from_dlpack(t)
        y = x + long_work()
        lg.async_eval(y)
        lg.eval(lg.array(0) + 1)
        del t, x
        z = torch.full((4096, 4096), 100.0, device="cuda")
        torch.cuda.synchronize()
        assert lg.min(y).item() == lg.max(y).item() == 8
        del z, y
        assert torch.cuda.memory_allocated() == before


def test_an_array_outlives_the_tensor_it_came_from():
    x = lg.from_dlpack(torch.arange(1000, device="cuda"))
    junk = [torch.zeros(1000, dtype=torch.int64, device="cuda") for _ in range(10)]
    assert x.tolist() == list(range(1000))
    del junk


def test_many_threads_exchange_memory():
    wrong = []

    def work(n):
        side = torch.cuda.Stream()
        for k in range(50):
            x = lg.ones((1000 + n,)) * (n + k)
            with torch.cuda.stream(side):
                t = torch.from_dlpack(x) * 2
                y = lg.from_dlpack(t) + 1
            if lg.max(y).item() != 2 * (n + k) + 1 or lg.min(y).item() != 2 * (n + k) + 1:
                wrong.append((n, k))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []


def test_host_and_gpu_by_request():
    x = lg.array([1.0, 2.0]) * 2
    assert np.from_dlpack(x, device="cpu").tolist() == [2, 4]
    assert not np.from_dlpack(x, device="cpu").flags.writeable
    assert torch.from_dlpack(lg.array([1.0])).device.type == "cpu"
    if "device" in (torch.from_dlpack.__doc__ or ""):
        assert torch.from_dlpack(lg.array([1.0]), device="cuda").device.type == "cuda"


def test_cupy():
    cp = pytest.importorskip("cupy")
    a = cp.arange(60, dtype=cp.float32).reshape(3, 4, 5)
    for view in (a, a.transpose(2, 0, 1), a[:, ::-1], a[1, 2:]):
        x = lg.from_dlpack(view)
        assert np.array_equal(np.array(x), cp.asnumpy(view))
        back = cp.from_dlpack(x)
        assert back.data.ptr == view.data.ptr or view.size != back.size
        assert cp.array_equal(back, view)
    stream = cp.cuda.Stream(non_blocking=True)
    with stream:
        b = cp.zeros(1 << 20, dtype=cp.float32)
        for _ in range(200):
            b += 1
        x = lg.from_dlpack(b)  # CuPy makes our stream wait for its current one
    assert lg.min(x).item() == 200
    with stream:
        c = cp.from_dlpack(long_work())
        assert float(c.sum()) == 4096 * 4096
    del c, stream
    assert cp.asarray(lg.array([True, False]) & True).tolist() == [True, False]


def test_jax():
    jax = pytest.importorskip("jax")
    try:
        device = jax.devices("cuda")[0]
    except RuntimeError:
        pytest.skip("JAX has no GPU here")
    a = jax.device_put(np.arange(12, dtype=np.float32).reshape(3, 4), device)
    x = lg.from_dlpack(a)
    assert (x + 1).tolist() == (np.arange(12.0).reshape(3, 4) + 1).tolist()
    for dtype in (lg.float32, lg.bfloat16, lg.int32, lg.bool_, lg.complex64):
        y = (
            lg.array([0, 1, 2]).astype(dtype) if dtype != lg.bool_ else lg.array([False, True])
        ) * 1
        b = jax.dlpack.from_dlpack(y.astype(dtype))
        assert b.devices() == {device}
        assert np.array_equal(np.array(b.astype("complex64")), np.array(y.astype(lg.complex64)))
    total = jax.numpy.sum(jax.dlpack.from_dlpack(long_work()))
    assert float(total) == 4096 * 4096
