"""Compiled functions on a GPU that records their launches (Note [Recordings] in runtime/compiled.cpp)."""

import textwrap

import test_emulated
from test_emulated import pytestmark  # noqa: F401

HEAD = """
from legato._core import _eval_counts as counts
def same(y, want): np.testing.assert_allclose(np.array(y), want, rtol=1e-5, atol=1e-6)
rng = np.random.default_rng(0)
draw = lambda *shape: rng.standard_normal(shape).astype(np.float32)
"""


def run(program, cache, **knobs):
    return test_emulated.run(HEAD + textwrap.dedent(program), cache, **knobs)


def test_a_compiled_loop_is_replayed_and_right(cache):
    program = """
    def f(x, w):
        for _ in range(3):
            x = lg.softmax(lg.tanh(x @ w) + 1, axis=-1)
        return x, lg.sum(x, axis=0), x.T
    g = lg.compile(f)
    w = lg.array(draw(8, 8))
    for i in range(12):
        a = draw(5, 8)
        got = g(lg.array(a), w)
        with lg.stream(lg.cpu):
            want = f(lg.array(a), w)
            lg.eval(want)
        for y, z in zip(got, want):
            same(y, np.array(z))
        del got, want, y, z
    c = counts()
    assert c["replays"] >= 6, c
    assert 0 < c["recordings"] <= c["replays"], c
    print("right")
    """
    assert run(program, cache) == "right"


def test_results_that_are_kept_are_not_written_again(cache):
    program = """
    def f(x):
        for k in range(5):
            x = lg.cumsum(x, axis=0) * 0.5
        return x
    g = lg.compile(f)
    def want(a):
        for k in range(5):
            a = np.cumsum(a, axis=0) * np.float32(0.5)
        return a
    kept = []
    for i in range(20):
        a = draw(6, 4)
        y = g(lg.array(a))
        if i % 3 == 0:
            kept.append((y, want(a)))
        else:
            same(y, want(a))
        del y
    for y, z in kept:
        same(y, z)
    assert counts()["replays"] > 0
    print("right")
    """
    assert run(program, cache) == "right"


def test_a_training_loop_with_state_follows_the_cpu(cache):
    program = """
    import legato.nn as nn, legato.optimizers as optim
    from functools import partial
    x, y = draw(16, 4), draw(16, 2)
    def train(device):
        with lg.stream(device):
            lg.random.seed(3)
            model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
            lg.eval(model.parameters())
            opt = optim.Adam(1e-2)
            loss = nn.value_and_grad(model, lambda m, x, y: nn.losses.mse_loss(m(x), y))
            state = [model.state, opt.state]
            @partial(lg.compile, inputs=state, outputs=state)
            def step(x, y):
                value, grads = loss(model, x, y)
                opt.update(model, grads)
                return value
            gx, gy = lg.array(x), lg.array(y)
            values = []
            for _ in range(25):
                value = step(gx, gy)
                lg.eval(value, state)
                values.append(value.item())
            return values
    np.testing.assert_allclose(train(lg.gpu), train(lg.cpu), rtol=1e-4)
    assert counts()["replays"] > 5, counts()
    print("right")
    """
    assert run(program, cache) == "right"


def test_giving_memory_back_between_runs_ends_recordings(cache):
    program = """
    g = lg.compile(lambda x: lg.cumsum(lg.softmax(lg.cumsum(lg.softmax(x, axis=0), axis=0), axis=0), axis=0))
    a = draw(6, 4)
    x = lg.array(a)
    first = np.array(g(x))
    for i in range(12):
        same(g(x), first)
        if i % 4 == 3:
            lg.clear_cache()
    assert counts()["recordings"] >= 2, counts()
    print("right")
    """
    assert run(program, cache) == "right"


def test_a_function_that_cannot_be_recorded_runs_as_ever(cache):
    program = """
    def f(x):
        with lg.stream(lg.cpu):
            y = lg.exp(x) * 2
        return lg.cumsum(lg.softmax(lg.cumsum(lg.softmax(y, axis=0), axis=0), axis=0), axis=0)
    g = lg.compile(f)
    x = lg.array(draw(6, 4))
    first = np.array(f(x))
    for _ in range(6):
        same(g(x), first)
    assert counts()["recordings"] == 0
    print("right")
    """
    assert run(program, cache) == "right"


def test_when_no_graph_can_be_made_the_function_runs_as_ever(cache):
    program = """
    g = lg.compile(lambda x: lg.cumsum(lg.softmax(lg.cumsum(lg.softmax(x, axis=0), axis=0), axis=0), axis=0))
    x = lg.array(draw(6, 4))
    first = np.array(g(x))
    for _ in range(8):
        same(g(x), first)
    c = counts()
    assert c["recordings"] == 1 and c["replays"] >= 1, c
    print("right")
    """
    assert run(program, cache, LEGATO_EMULATOR_FAIL="graph:1") == "right"


def test_an_index_out_of_range_in_a_replay_is_an_error_of_that_call_alone(cache):
    program = """
    def f(x, i):
        y = lg.softmax(lg.cumsum(lg.take(x, i, axis=0), axis=0), axis=0)
        return lg.cumsum(lg.take(y, i % 3, axis=0), axis=0)
    g = lg.compile(f)
    a = draw(5, 4)
    x = lg.array(a)
    wrong = 0
    for n in range(20):
        i = np.array([0, 3, 1 if n % 7 != 6 else 5], np.int32)
        y = g(x, lg.array(i))
        if n % 7 != 6:
            with lg.stream(lg.cpu):
                want = np.array(f(lg.array(a), lg.array(i)))
            same(y, want)
        else:
            try:
                np.array(y)
            except IndexError as e:
                assert "index 5 is out of range for axis 0 of size 5" in str(e), e
                wrong += 1
        del y
    assert wrong == 2, wrong
    assert counts()["replays"] > 8, counts()
    print("right")
    """
    assert run(program, cache) == "right"


def test_pieces_of_a_recording_wait_for_the_memory_that_they_touch(cache):
    """The emulated GPU carries a recording out as far from its order as its edges allow."""
    program = """
    def graph(seed, given):
        r = np.random.default_rng(seed)
        pool, made = list(given), []
        for _ in range(50):
            x, y = (pool[r.integers(len(pool))] for _ in range(2))
            kind = r.integers(9)
            if kind == 0:
                x = lg.tanh(x) + 1
            elif kind == 1:
                x = lg.cumsum(x, axis=int(r.integers(2))) * 0.25
            elif kind == 2:
                x = x @ y * 0.3
            elif kind == 3:
                x = lg.sum(x, axis=0) - y
            elif kind == 4:
                x = lg.softmax(x.T, axis=-1) * y
            elif kind == 5:
                x = lg.concatenate([x[:4], y[4:]], axis=0)
            elif kind == 6:
                x = lg.sort(x, axis=-1) + lg.mean(y)
            elif kind == 7:
                x = lg.roll(x, 3, axis=0) - lg.max(y, axis=1, keepdims=True)
            else:
                x = lg.sin(x) * 2
            x = lg.minimum(lg.maximum(x, -9), 9)
            pool.append(x)
            if r.random() < 0.3:
                made.append(x)
        return made
    for seed in range(8):
        f = lg.compile(lambda *given: graph(seed, given))
        given = [[lg.array(draw(8, 8)) for _ in range(3)] for _ in range(2)]
        lg.eval(given)
        for turn in range(8):
            got = f(*given[turn % 2])
            lg.eval(got)
            with lg.stream(lg.cpu):
                want = graph(seed, [lg.array(np.array(a)) for a in given[turn % 2]])
                lg.eval(want)
            for y, z in zip(got, want):
                np.testing.assert_allclose(np.array(y), np.array(z), rtol=1e-3, atol=1e-3)
            del got, want, y, z
    print(counts()["replays"] > 20 or counts())
    """
    assert run(program, cache, LEGATO_COMPILE="wait") == "True"
