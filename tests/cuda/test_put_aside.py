"""Launches that are put aside and given to the GPU together (Note [Put aside] in backends/cuda/batch.h)."""

import re

import pytest
from test_emulated import pytestmark  # noqa: F401
from test_recordings import run

LOOP = """
def f(x, w, k):
    for _ in range(3):
        x = lg.cumsum(lg.softmax(x, axis=0), axis=0) * k + w
    return x
w = lg.array(draw(6, 4))
keep = []
for i in range(12):
    a = draw(6, 4)
    y = f(lg.array(a), w, i + 0.5)
    with lg.stream(lg.cpu):
        want = np.array(f(lg.array(a), w, i + 0.5))
    same(y, want)
    keep.append((y, want))
for y, want in keep:
    same(y, want)
print("right")
"""


def counted(program, cache, **knobs):
    """What a program says at its end of launches and of replays."""
    said = run(program, cache, LEGATO_EMULATOR_COUNTS=1, LEGATO_COMPILE="wait", **knobs)
    assert said.startswith("right"), said
    launches, replays = re.search(r"(\d+) launches, (\d+) replays", said).groups()
    return int(launches), int(replays)


def test_a_loop_that_repeats_is_launched_as_graphs_and_right(cache):
    launches, replays = counted(LOOP, cache)
    direct, none = counted(LOOP, cache, LEGATO_BATCHES=0)
    assert none == 0
    assert replays >= 6, (launches, replays)
    assert launches < direct / 2, (launches, direct)


@pytest.mark.parametrize("fail", ["graph:1", "change:1", "change:5", "replay:1", "replay:2"])
def test_a_graph_that_the_driver_refuses_is_launched_kernel_by_kernel(fail, cache):
    assert run(LOOP, cache, LEGATO_EMULATOR_FAIL=fail, LEGATO_COMPILE="wait") == "right"


def test_numbers_and_addresses_may_change_from_one_batch_to_the_next(cache):
    program = """
    xs = [lg.array(draw(5, 7)) for _ in range(4)]
    lg.eval(xs)
    with lg.fusion(False):
        for i in range(20):
            x = xs[i % 4]
            y = x
            for k in range(40):
                y = y * (1 - 0.001 * (i + k)) + 0.25
            with lg.stream(lg.cpu):
                z = x
                for k in range(40):
                    z = z * (1 - 0.001 * (i + k)) + 0.25
                want = np.array(z)
            same(y, want)
    print("right")
    """
    assert run(program, cache) == "right"


def test_threads_may_share_a_batch(cache):
    program = """
    import threading
    w = lg.array(draw(4, 4))
    lg.eval(w)
    wrong = []
    def work(seed):
        a = np.random.default_rng(seed).standard_normal((4, 4)).astype(np.float32)
        want = np.cumsum(np.tanh(np.cumsum(a, axis=0)), axis=0)
        for _ in range(15):
            y = lg.cumsum(lg.tanh(lg.cumsum(lg.array(a), axis=0)), axis=0)
            if not np.allclose(np.array(y), want, rtol=1e-4, atol=1e-5):
                wrong.append(seed)
    threads = [threading.Thread(target=work, args=(s,)) for s in range(4)]
    for t in threads: t.start()
    for t in threads: t.join()
    assert not wrong, wrong
    print("right")
    """
    assert run(program, cache) == "right"


def test_a_kernel_that_is_gone_is_in_no_graph(cache):
    program = """
    import gc
    x = lg.array(draw(3, 4))
    lg.eval(x)
    with lg.fusion(False):
        for round in range(3):
            for _ in range(5):
                y = lg.cumsum(lg.softmax(lg.cumsum(x, axis=0), axis=0), axis=0)
                lg.eval(y)
            lg.clear_cache()
    same(y, np.array(y))
    print("right")
    """
    assert run(program, cache) == "right"


PRODUCTS = """
def f(x, w, b, k):
    for _ in range(4):
        x = lg.maximum(x @ w + b, 0.1) * k
    return x
w, b = lg.array(np.abs(draw(300, 300)) * 0.005), lg.array(np.abs(draw(300)))
lg.eval(w, b)
with lg.stream(lg.cpu):
    wc, bc = lg.array(np.array(w)), lg.array(np.array(b))
keep = []
for i in range(16):
    a = np.abs(draw(8, 300))  # sums without cancellation
    y = f(lg.array(a), w, b, 0.5 + i)
    with lg.stream(lg.cpu):
        want = np.array(f(lg.array(a), wc, bc, 0.5 + i))
    np.testing.assert_allclose(np.array(y), want, rtol=1e-5)
    if i % 3 == 0:
        keep.append((y, want))  # so that addresses change
for y, want in keep:
    np.testing.assert_allclose(np.array(y), want, rtol=1e-5)
print("right")
"""


def test_a_loop_that_goes_round_with_two_sets_of_addresses_has_two_graphs(cache):
    program = """
    xs = [lg.array(draw(4, 5)) for _ in range(2)]
    lg.eval(xs)
    last = None
    with lg.fusion(False):
        for i in range(120):
            y = xs[i % 2]
            for k in range(6):
                y = lg.cumsum(y, axis=0) * 0.25
            lg.eval(y)
            last = y  # keeps its memory until the next one is there
    want = draw(1, 1)
    print("right")
    """
    said = run(program, cache, LEGATO_EMULATOR_COUNTS=1, LEGATO_COMPILE="wait")
    replays, changes = map(int, re.search(r"(\d+) replays, (\d+) changes", said).groups())
    assert replays >= 100, said
    assert changes < 120 * 12 / 2, said


def test_products_of_a_library_are_put_aside_once_they_have_come_before(cache):
    launches, replays = counted(PRODUCTS, cache)
    assert replays >= 8, (launches, replays)


@pytest.mark.parametrize(
    "fail", ["graph:1", "change:2", "change:9", "replay:1", "replay:4", "capture:1", "capture:3"]
)
def test_a_product_that_cannot_be_captured_or_exchanged_is_called_as_ever(fail, cache):
    assert run(PRODUCTS, cache, LEGATO_EMULATOR_FAIL=fail, LEGATO_COMPILE="wait") == "right"


def test_convolutions_of_a_library_are_put_aside_too(cache):
    program = """
    w = lg.array(draw(8, 3, 3, 8).astype(np.float16) * np.float16(0.1))
    lg.eval(w)
    for i in range(12):
        a = draw(2, 6, 6, 8).astype(np.float16)
        x = lg.array(a)
        y = lg.conv2d(lg.conv2d(x, w, padding=1) * (0.5 + i), w, padding=1)
        with lg.stream(lg.cpu):
            wc = lg.array(np.array(w))
            want = np.array(lg.conv2d(lg.conv2d(lg.array(a), wc, padding=1) * (0.5 + i), wc, padding=1))
        np.testing.assert_allclose(np.array(y), want, rtol=2e-2, atol=2e-2)
    print("right")
    """
    assert run(program, cache, LEGATO_COMPILE="wait") == "right"
