"""Streams of one GPU, each with a queue of its own, on the emulated GPU: its queues run only as far as somebody waits
for them, so that a missing wait shows as poisoned memory."""

import textwrap

import pytest
import test_emulated
from test_emulated import pytestmark  # noqa: F401
from test_sharing import OTHER

HEAD = """
import threading
def same(y, want): np.testing.assert_allclose(np.array(y), want, rtol=1e-5, atol=1e-6)
streams = [lg.new_stream(lg.gpu) for _ in range(3)]
a = np.arange(20000, dtype=np.float32)
"""


def run(program, cache, **knobs):
    return test_emulated.run(HEAD + textwrap.dedent(program), cache, **knobs)


def test_values_go_from_stream_to_stream(cache):
    program = """
    x = lg.array(a)
    for way in (lg.eval, lg.async_eval):
        y, want = x, a
        for i in range(12):
            y = lg.add(lg.multiply(y, 0.5, stream=streams[i % 3]), 1, stream=streams[(i + 1) % 3])
            want = want * 0.5 + 1
            if i % 4 == 3: way(y)
        same(y, want)
    # Several streams read what one has computed, and one what several have.
    y = lg.exp(x / 20000)
    parts = [lg.multiply(y, k, stream=s) for k, s in enumerate(streams)]
    same(parts[0] + parts[1] + parts[2], 3 * np.exp(a / 20000))
    print("right")
    """
    assert run(program, cache) == "right"


def test_a_buffer_that_another_stream_still_reads_is_not_written(cache):
    program = """
    for round in range(6):
        with lg.stream(streams[round % 3]):
            x = lg.sin(lg.array(a) + round)
            lg.async_eval(x)
        with lg.stream(streams[(round + 1) % 3]):
            y = lg.cos(x)
            for _ in range(3): y = y * 0.5 + x
            lg.async_eval(y)
        lg.synchronize(lg.default_stream(lg.gpu))
        del x                               # who gets its memory must not write before y has been computed
        with lg.stream(streams[round % 3]):
            z = lg.zeros(a.shape) + 1
            z = lg.exp(z)
            lg.async_eval(z)
        x = np.sin(a + round)
        want = np.cos(x)
        for _ in range(3): want = want * 0.5 + x
        same(y, want)
        same(z, np.full(a.shape, np.e))
        del y, z
    print("right")
    """
    assert run(program, cache) == "right"


def test_work_of_all_kinds_on_several_streams(cache):
    program = """
    rng = np.random.default_rng(0)
    m = rng.standard_normal((40, 40)).astype(np.float32)
    got = []
    for k, s in enumerate(streams * 2):
        with lg.stream(s):
            x = lg.array(m) * (k + 1)
            got.append((lg.softmax(x @ x.T, axis=-1), lg.sort(x, axis=0), lg.sum(x.T, axis=0), x[lg.array([3, 1])],
                        lg.cumsum(x, axis=1), lg.contiguous(x[::-1, ::2])))
    for k, (soft, sort, sums, rows, cum, turned) in enumerate(got):
        x = m * (k + 1)
        e = (x.astype(np.float64) @ x.T)
        e = np.exp(e - e.max(-1, keepdims=True))
        np.testing.assert_allclose(np.array(soft), e / e.sum(-1, keepdims=True), rtol=1e-3, atol=1e-5)
        same(sort, np.sort(x, axis=0))
        np.testing.assert_allclose(np.array(sums), x.T.sum(axis=0), rtol=1e-4, atol=1e-4)
        same(rows, x[[3, 1]])
        np.testing.assert_allclose(np.array(cum), np.cumsum(x, axis=1), rtol=1e-4, atol=1e-4)
        same(turned, x[::-1, ::2])
    print("right")
    """
    assert run(program, cache) == "right"


def test_compiled_functions_are_recorded_on_the_stream_they_were_called_on(cache):
    program = """
    from legato._core import _eval_counts as counts
    def f(x, w):
        for _ in range(4): x = lg.softmax(lg.tanh(x @ w) + 1, axis=-1)
        return x
    m = np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32)
    w = lg.array(m)
    with lg.stream(lg.cpu):
        wanted = []
        x = lg.array(m)
        for i in range(12):
            x = f(x, w)
            wanted.append(np.array(x))
    for s in streams[:2]:
        with lg.stream(s):
            g = lg.compile(f)
            x = lg.array(m)
            for i in range(12):
                x = g(x, w)
                lg.async_eval(x)
                if i % 5 == 4:
                    y = lg.add(x, 1, stream=streams[2])
                    same(y, wanted[i] + 1)
            same(x, wanted[-1])
    n = counts()
    assert n["recordings"] > 0 and n["replays"] > 4, n
    # What goes to two queues is not recorded.
    def both(x):
        for _ in range(3): x = lg.multiply(lg.add(x, 1, stream=streams[0]), 0.5, stream=streams[1])
        return x
    h = lg.compile(both)
    for i in range(6):
        same(h(lg.array(m)), ((m + 1) * 0.5 + 1) * 0.25 + 0.5)
    print("right")
    """
    assert run(program, cache) == "right"


def test_indices_are_checked_on_every_stream(cache):
    program = """
    x = lg.array(a[:50])
    bad = []
    for s in streams:
        with lg.stream(s):
            bad.append(x[lg.array([1, 77])] * 2)
            good = x[lg.array([1, 49])] * 2
            same(good, [2, 98])
    for y in bad:
        for _ in range(2):
            try: np.array(y)
            except IndexError: pass
            else: raise AssertionError("nobody said that an index was out of range")
    for i in range(300):                   # more than there are records
        with lg.stream(streams[i % 3]):
            same(x[lg.array([i % 50])], [i % 50])
    print("right")
    """
    assert run(program, cache) == "right"


def test_memory_is_lent_from_and_to_streams(cache):
    program = """
    with lg.stream(streams[0]):
        x = lg.array(a[:6]) * 2
    capsule = x.__dlpack__(max_version=(1, 0), stream=1)
    assert list(floats(capsule, 6)) == [0, 2, 4, 6, 8, 10]     # the consumer's stream waited for it
    y = lg.from_dlpack(Tensor(x))
    with lg.stream(streams[1]):
        z = y + x
    del y, capsule
    with lg.stream(streams[2]):
        same(lg.add(z, x), [0, 6, 12, 18, 24, 30])
    print("right")
    """
    assert run(OTHER + textwrap.dedent(program), cache) == "right"


def test_threads_with_streams_of_their_own(cache):
    program = """
    shared = lg.array(a)
    right = []
    def work(k):
        with lg.stream(lg.new_stream(lg.gpu)):
            y, want = shared, a
            for i in range(10):
                y = lg.sqrt(y * (k + 1) + i)
                want = np.sqrt(want * np.float32(k + 1) + np.float32(i))
                if i % 3 == k % 3: lg.async_eval(y)
            same(y, want)
            right.append(k)
    threads = [threading.Thread(target=work, args=(k,)) for k in range(20)]   # more than there are queues
    for t in threads: t.start()
    for t in threads: t.join()
    assert len(right) == 20
    print("right")
    """
    assert run(program, cache) == "right"


def test_streams_on_a_gpu_that_is_too_small(cache):
    program = """
    side = 256
    lg.clear_cache()
    lg.set_memory_limit(lg.get_active_memory(lg.gpu) + (2 << 20))
    xs = []
    for k in range(24):                    # 6 MiB of 2
        with lg.stream(streams[k % 3]):
            xs.append(lg.zeros((side, side)) + k)
            lg.eval(xs[-1])
    assert lg.device_info(lg.gpu)["spills"] >= 16
    for k in range(24):
        y = lg.add(xs[k], xs[(k + 7) % 24], stream=streams[(k + 1) % 3])
        assert lg.sum(y, stream=streams[(k + 2) % 3]).item() == side * side * (k + (k + 7) % 24), k
    print("right")
    """
    assert run(program, cache) == "right"


@pytest.mark.parametrize("fail", ["alloc:7", "launch:5", "copy_out:2"])
def test_failures_on_a_stream_leave_all_usable(fail, cache):
    program = """
    failed = 0
    for i in range(8):
        try:
            with lg.stream(streams[i % 3]):
                y = lg.sin(lg.array(a) + i)
                lg.async_eval(y)
            same(lg.add(y, 1, stream=streams[(i + 1) % 3]), np.sin(a + i) + 1)
        except (MemoryError, RuntimeError): failed += 1
    assert failed <= 1
    print("right")
    """
    assert run(program, cache, LEGATO_EMULATOR_FAIL=fail) == "right"
