"""Work that is larger than the GPU's memory, on the emulated GPU (Note [Spilling] in runtime/residents.h)."""

import os
import subprocess
import sys
import textwrap

import pytest
import test_emulated
from test_emulated import pytestmark  # noqa: F401
from test_sharing import OTHER

HEAD = """
SIDE, KIB = 256, 256                      # an array takes 256 KiB
def room(arrays):
    "The GPU has room for this many more."
    lg.clear_cache()
    lg.set_memory_limit(lg.get_active_memory(lg.gpu) + arrays * (KIB << 10))
def made(k):
    "On the GPU: every element is k, but for the first, which is k + 1."
    x = lg.zeros((SIDE, SIDE)) + k
    x[0, 0] = k + 1
    lg.eval(x)
    return x
def shown(x):
    "What can be seen of it without copying it to the host."
    return [x[0, 0].item(), x[-1, -1].item(), lg.sum(x).item()]
def expected(k): return [k + 1, k, k * SIDE * SIDE + 1]
def spills(name="spills"): return lg.device_info(lg.gpu)[name]
"""


def run(program, cache, **knobs):
    return test_emulated.run(HEAD + textwrap.dedent(program), cache, **knobs)


def test_a_chain_of_products_over_more_than_there_is_room_for(cache):
    program = """
    rng = np.random.default_rng(0)
    u = rng.standard_normal((15, SIDE)).astype(np.float32) / 16
    us = lg.array(u)
    xs = []
    room(5)
    for k in range(15):                   # three times as much
        xs.append(lg.outer(us[k], us[(k + 1) % 15]) + lg.eye(SIDE))
        lg.eval(xs[-1])
    assert spills() >= 10, spills()
    assert lg.device_info(lg.gpu)["spilled_memory"] >= 10 * (KIB << 10)
    assert lg.get_active_memory(lg.gpu) <= lg.get_memory_limit(lg.gpu)
    y, want = lg.eye(SIDE), np.eye(SIDE)
    for k in range(15):
        y = y @ xs[k]
        want = want @ (np.outer(u[k].astype(np.float64), u[(k + 1) % 15]) + np.eye(SIDE))
    got = np.array([y[0, 5].item(), y[7, 7].item(), lg.sum(y).item()])
    np.testing.assert_allclose(got, [want[0, 5], want[7, 7], want.sum()], rtol=1e-4, atol=1e-6)
    assert spills("spill_returns") >= 10
    del xs, y
    assert lg.device_info(lg.gpu)["spilled_memory"] == 0
    print("right")
    """
    assert run(program, cache) == "right"


def test_what_the_host_has_too_goes_first_and_is_not_copied(cache):
    program = """
    a = np.arange(SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE)
    both = [lg.array(a + k) for k in range(4)]
    room(7)
    sole = made(1)
    for x in both: lg.eval(x * 0)         # copies on the GPU
    more = [made(k) for k in range(2, 6)]
    assert spills() == 0 and spills("spill_drops") >= 1, (spills(), spills("spill_drops"))
    assert [x[0, 1].item() for x in both] == [1, 2, 3, 4]
    assert shown(sole) == expected(1)
    print("right")
    """
    assert run(program, cache) == "right"


def test_reading_a_spilled_value_costs_no_copy(cache):
    program = """
    room(3)
    xs = [made(k) for k in range(6)]
    lg.set_memory_limit(64 << 20)
    returns = spills("spill_returns")
    for k, x in enumerate(xs):
        assert np.array(x).tolist()[0][:2] == [k + 1, k]
    assert spills("spill_returns") == returns
    print("right")
    """
    assert run(program, cache) == "right"


def test_beyond_all_there_is_an_error_and_the_next_operation_works(cache):
    program = """
    room(3)
    lg.set_spill_limit(4 * (KIB << 10))
    xs = []
    try:
        while True: xs.append(made(len(xs)))
    except MemoryError as e:
        assert "out of memory on cuda 0" in str(e) and "spilled to host memory" in str(e), e
    assert 5 <= len(xs) <= 7, len(xs)
    assert "spilled" in lg.memory_summary(lg.gpu)
    xs.pop()                                # some room
    xs.pop()
    for k, x in enumerate(xs): assert shown(x) == expected(k), k
    print("right")
    """
    assert run(program, cache) == "right"


@pytest.mark.parametrize(
    "fail", ["copy_out:1", "copy_out:2", "pin:3", "pin:4", "alloc:9", "alloc:12"]
)
def test_failures_while_values_are_moved_leave_everything_usable(fail, cache):
    program = """
    room(4)
    xs = {}
    for k in range(12):
        try: xs[k] = made(k)
        except (MemoryError, RuntimeError): pass
    assert len(xs) >= 11
    for round in range(2):
        for k, x in xs.items():
            try: assert shown(x) == expected(k), k
            except (MemoryError, RuntimeError):
                assert shown(x) == expected(k), k
    assert spills() > 0
    print("right")
    """
    assert run(program, cache, LEGATO_EMULATOR_FAIL=fail) == "right"


def test_a_device_that_is_full_without_a_limit(cache):
    program = """
    xs = [made(k) for k in range(40)]      # 10 MiB on a GPU of 6
    assert spills() >= 16, spills()
    for k, x in enumerate(xs): assert shown(x) == expected(k), k
    print("right")
    """
    assert run(program, cache, LEGATO_EMULATOR_MEMORY=6 << 20) == "right"


def test_compiled_functions_that_are_recorded(cache):
    program = """
    from legato._core import _eval_counts as counts
    c = made(3)
    inner = lg.compile(lambda x: x * 0.5 + c)        # c is captured
    @lg.compile
    def f(x, w):
        for _ in range(3): x = lg.softmax(inner(x), axis=-1) * SIDE + w
        return x
    def wanted(x, w):
        for _ in range(3):
            x = x * 0.5 + np.array(c)
            e = np.exp(x - x.max(-1, keepdims=True))
            x = e / e.sum(-1, keepdims=True) * SIDE + w
        return x
    host_c = np.array(c)
    weights = [made(k) for k in range(3)]
    x0 = np.random.default_rng(0).standard_normal((SIDE, SIDE)).astype(np.float32)
    y, want = lg.array(x0), x0.astype(np.float64)
    lg.set_memory_limit(64 << 20)
    for i in range(30):
        y = f(y, weights[i % 3])
        lg.eval(y)
        if i == 8: room(4)
        if i % 5 == 4:                     # others want the memory
            others = [made(k) for k in range(5)]
            assert shown(others[0]) == expected(0)
            del others
    for i in range(30): want = wanted(want, np.full((SIDE, SIDE), i % 3) + np.eye(1, SIDE * SIDE).reshape(SIDE, SIDE))
    lg.set_memory_limit(64 << 20)
    np.testing.assert_allclose(np.array(y), want, rtol=1e-4, atol=1e-4)
    n = counts()
    assert n["replays"] > 0 and spills() > 0, (n, spills())
    print("right")
    """
    assert run(program, cache) == "right"


def test_a_compiled_function_whose_operands_do_not_fit_together_runs_by_steps(cache):
    program = """
    xs = [made(k) for k in range(9)]
    f = lg.compile(lambda *xs: [lg.softmax(x * 2, axis=-1) + x @ x for x in xs])
    want = [shown(y) for y in f(*xs)]
    for _ in range(3): lg.eval(f(*xs))     # recorded
    lg.clear_cache()
    lg.set_memory_limit(8 * (KIB << 10))
    for _ in range(3):
        ys = f(*xs)
        lg.eval(ys)
        assert [shown(y) for y in ys] == want
    assert spills() > 0
    print("right")
    """
    assert run(program, cache) == "right"


def test_training_on_a_small_gpu_gives_the_same_numbers(cache):
    program = """
    import legato.nn as nn, legato.optimizers as optim
    def train(limit, compiled):
        lg.set_memory_limit(64 << 20)
        lg.clear_cache()
        lg.random.seed(0)
        model, opt = nn.Sequential(*[nn.Linear(SIDE, SIDE) for _ in range(4)]), optim.Adam(1e-3)
        opt.init(model.trainable_parameters())
        x, y = lg.random.normal((32, SIDE)), lg.random.normal((32, SIDE))
        lg.eval(model.parameters(), opt.state, x, y)
        loss_and_grad = nn.value_and_grad(model, lambda m, x, y: lg.mean((m(x) - y) ** 2))
        def step(x, y):
            loss, grads = loss_and_grad(model, x, y)
            opt.update(model, grads)
            return loss
        state = [model.state, opt.state]
        if compiled: step = lg.compile(step, inputs=state, outputs=state)
        lg.set_memory_limit(limit)
        losses = []
        for _ in range(8):
            loss = step(x, y)
            lg.eval(loss, state)
            losses.append(loss.item())
        return losses
    for compiled in (False, True):
        want = train(64 << 20, compiled)
        before = spills()
        assert train(3 << 20, compiled) == want     # the state alone is as much
        assert spills() > before
    print("right")
    """
    assert run(program, cache) == "right"


def test_what_is_lent_to_others_stays(cache):
    program = """
    room(4)
    lent = made(7)
    capsule = lent.__dlpack__(max_version=(1, 0), stream=1)
    where = versioned(capsule).tensor.data
    more = [made(k) for k in range(8)]
    assert spills() >= 4
    assert address(lent) == where and spills("spill_returns") == 0
    assert floats(capsule, 2)[:] == [8, 7]
    del capsule
    more += [made(k) for k in range(8, 12)]
    assert shown(lent) == expected(7) and spills("spill_returns") >= 1    # free to go since
    print("right")
    """
    assert run(OTHER + textwrap.dedent(program), cache) == "right"


def test_threads_that_share_a_small_gpu(cache):
    program = """
    import threading
    room(12)
    right = []
    def work(t):
        xs = [made(10 * t + k) for k in range(8)]
        for round in range(3):
            for k in range(8):
                y = xs[k] + xs[(k + 3) % 8]
                right.append(shown(y)[:2] == [20 * t + k + (k + 3) % 8 + 2, 20 * t + k + (k + 3) % 8])
    threads = [threading.Thread(target=work, args=(t,)) for t in range(4)]
    for t in threads: t.start()
    for t in threads: t.join()
    assert len(right) == 96 and all(right), right.count(False)
    assert spills() > 0
    print("right")
    """
    assert run(program, cache) == "right"


def test_errors_of_values_survive_a_move(cache):
    program = """
    room(4)
    bad = made(1)[lg.array([0, 999])] + lg.zeros((2, SIDE))
    bad = lg.concatenate([bad] * (SIDE // 2))
    lg.async_eval(bad)
    more = [made(k) for k in range(8)]
    for _ in range(2):
        try: np.array(bad[0])
        except IndexError: pass
        else: raise AssertionError("nobody said that an index was out of range")
    assert shown(more[3]) == expected(3)
    print("right")
    """
    assert run(program, cache) == "right"


def test_each_spill_is_named_where_it_happens(cache):
    program = """
    room(3)
    with lg.logging("mem"):
        xs = [made(k) for k in range(5)]
        shown(xs[0])
    with lg.profile() as p:
        shown(xs[1])
        made(9)
    assert sum(s["spilled"] + s["dropped"] for s in p.steps) > 0 and sum(s["returned"] for s in p.steps) > 0, p.steps
    """
    env = {
        **os.environ,
        **{
            name: str(test_emulated.EMULATOR)
            for name in ("LEGATO_CUDA_DRIVER", "LEGATO_NVRTC", "LEGATO_CUBLASLT", "LEGATO_CUDNN")
        },
        "LEGATO_CACHE_DIR": cache,
    }
    head = "import legato.core as lg, numpy as np\nlg.set_default_device(lg.gpu)\n" + HEAD
    done = subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(program)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "spilled to host memory, to make room on gpu:0" in done.stderr
    assert "brought back to gpu:0 from host memory" in done.stderr
