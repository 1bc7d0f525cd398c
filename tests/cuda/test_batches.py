"""Programs of one structure that do not depend on each other are one launch (Note [Batches] in runtime/batches.cpp)."""

import textwrap

import test_emulated
from test_emulated import pytestmark  # noqa: F401

HEAD = """
rng = np.random.default_rng(0)
draw = lambda *shape: rng.standard_normal(shape).astype(np.float32)
def same(got, want): np.testing.assert_array_equal(np.array(got), np.array(want))
def launches(*roots):
    with lg.profile() as p:
        lg.eval(*roots)
    return [s["name"] for s in p.steps if s["kind"] == "program"]
"""


def run(program, cache, **knobs):
    return test_emulated.run(
        HEAD + textwrap.dedent(program), cache, **{"LEGATO_COMPILE": "wait", **knobs}
    )


UPDATES = """
import legato.optimizers as optim
shapes = [(1,), (10,), (257,), (33, 7), (5000,), (64, 64), (3, 1, 2), (2,)] * REPEATS
values = {str(i): draw(*s) for i, s in enumerate(shapes)}
slopes = {str(i): draw(*s) for i, s in enumerate(shapes)}
def train(steps, names=None):
    optimizer = optim.AdamW(1e-2, weight_decay=0.1)
    weights = {k: lg.array(v) for k, v in values.items()}
    for _ in range(steps):
        weights = optimizer.apply_gradients({k: lg.array(v) for k, v in slopes.items()}, weights)
        if names is None:
            lg.eval(weights, optimizer.state)
        else:
            names += launches(weights, optimizer.state)
    return weights
names = []
got = train(3, names)
with lg.stream(lg.cpu):
    want = train(3)
for k in want:
    np.testing.assert_array_equal(np.array(got[k]), np.array(want[k]))
lg.eval([got])
"""


def test_an_optimizer_updates_its_parameters_in_one_launch(cache):
    program = (
        UPDATES.replace("REPEATS", "1")
        + "print(sorted({n.split('[')[0] for n in names if ' x ' in n}))"
    )
    assert run(program, cache) == "['8 x fused']"


def test_more_of_them_than_fit_into_one_launch(cache):
    program = (
        UPDATES.replace("REPEATS", "9")
        + "print(sorted({n.split('[')[0] for n in names if ' x ' in n}))"
    )
    assert run(program, cache) == "['72 x fused']"
    assert run(program, cache, LEGATO_EMULATOR_NVRTC="13.0") == "['72 x fused']"


def test_while_their_kernel_is_compiled_each_runs_alone(cache, tmp_path):
    program = UPDATES.replace("REPEATS", "2") + "print('right')"
    assert run(program, str(tmp_path), LEGATO_COMPILE="background") == "right"
    assert run(program, cache, LEGATO_COMPILE="never") == "right"
    assert run(program, cache, LEGATO_NVRTC="/nowhere/libnvrtc.so") == "right"
    # A compilation that fails: each has kernels that do not.
    for nth in (1, 2, 3):
        knobs = {"LEGATO_COMPILE": "background", "LEGATO_EMULATOR_FAIL": f"nvrtc:{nth}"}
        assert run(program, str(tmp_path / str(nth)), **knobs) == "right"


def test_layouts_literals_and_alignments(cache):
    program = """
    def both(f):
        got = f()
        names = launches(got)
        with lg.stream(lg.cpu):
            want = f()
            lg.eval(want)
        for g, w in zip(got, want):
            same(g, w)
        return [n for n in names if " x " in n]
    a, v = [draw(5 + i, 8) for i in range(6)], [draw(8) for i in range(6)]
    t = [draw(8, 5 + i) for i in range(6)]
    # Rows and vectors, transposed operands, literals that differ, halves (their casts are programs, too).
    print(len(both(lambda: [lg.exp(lg.array(x)) + lg.array(y) for x, y in zip(a, v)])))
    print(len(both(lambda: [lg.exp(lg.array(x)) * lg.array(y).T for x, y in zip(a, t)])))
    print(len(both(lambda: [lg.exp(lg.array(x)) * (0.5 + i) for i, x in enumerate(a)])))
    print(len(both(lambda: [lg.exp(lg.array(x).astype(lg.float16)) * lg.array(y[:1]).astype(lg.float16)
                            for x, y in zip(a, v)])))
    # One long array, in pieces at odd offsets; and packs where they are allowed.
    long = lg.array(draw(5000))
    lg.eval(long)
    print(len(both(lambda: [lg.tanh(lg.array(np.array(long))[i * 700 : i * 700 + 600 + i]) + 1 for i in range(7)])))
    print(len(both(lambda: [lg.sin(lg.array(x)[::-1, ::2]) - 1 for x in a])))
    print(len(both(lambda: [lg.cos(lg.zeros((0, 3)) + i) for i in range(4)])))
    """
    assert run(program, cache).split() == ["1", "1", "1", "2", "1", "1", "1"]


def test_order_is_kept_where_they_depend_on_each_other(cache):
    program = """
    def graph(seed):
        r = np.random.default_rng(seed)
        unary = [lambda x: lg.tanh(x) + 1, lambda x: lg.exp(x * 0.1), lambda x: lg.abs(x) - 2, lg.sin]
        pool = [lg.array(draw_(r, n)) for n in (4, 4, 6, 6, 8)]
        made = []
        for _ in range(60):
            x = pool[r.integers(len(pool))]
            kind = r.integers(6)
            if kind < 4:
                x = unary[kind](x)
            elif kind == 4:
                x = lg.cumsum(x, axis=0) * 0.5
            else:
                x = lg.sum(x) + pool[r.integers(len(pool))]
            pool.append(x)
            if r.random() < 0.4:
                made.append(x)
        return made
    draw_ = lambda r, n: r.standard_normal(n).astype(np.float32)
    batches = 0
    for seed in range(25):
        got = graph(seed)
        batches += sum(" x " in n for n in launches(got))
        with lg.fusion(False):
            want = graph(seed)
            lg.eval(want)
        for g, w in zip(got, want):
            np.testing.assert_allclose(np.array(g), np.array(w), rtol=1e-5, atol=1e-6)
    print(batches > 20)
    """
    assert run(program, cache, LEGATO_COMPILE="never") == "True"


def test_dying_operands_are_written_over(cache):
    program = """
    from legato._core import _eval_counts as counts
    x = [lg.array(draw(100 + i)) + 0 for i in range(5)]
    lg.eval(x)
    kept = np.array(x[2])
    hold = x[2]
    before = counts()["reused_buffers"]
    y = [lg.exp(v) * 2 for v in x]
    want = [np.array(v) for v in x]
    del x
    lg.eval(y)
    print(counts()["reused_buffers"] - before)
    same(hold, kept)
    for got, v in zip(y, want):
        np.testing.assert_allclose(np.array(got), np.exp(v) * 2, rtol=1e-6)
    """
    assert run(program, cache) == "4"


def test_in_a_recording(cache):
    program = """
    from legato._core import _eval_counts as counts
    import legato.optimizers as optim, legato.nn as nn
    def train(device, steps=12):
        with lg.stream(device):
            lg.random.seed(3)
            model = nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 9), nn.Tanh(), nn.Linear(9, 2))
            optimizer = optim.AdamW(1e-2)
            optimizer.init(model.trainable_parameters())
            state = [model.state, optimizer.state]
            def loss(x, y):
                return lg.mean(lg.square(model(x) - y))
            def step(x, y):
                value, slopes = nn.value_and_grad(model, loss)(x, y)
                optimizer.update(model, slopes)
                return value
            step = lg.compile(step, inputs=state, outputs=state)
            r = np.random.default_rng(1)
            x, y = (lg.array(r.standard_normal((16, n)).astype(np.float32)) for n in (6, 2))
            losses = []
            for _ in range(steps):
                losses.append(float(step(x, y)))
                lg.eval(state)
            return losses
    got, want = train(lg.gpu), train(lg.cpu)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    print(counts()["replays"] > 3)
    """
    assert run(program, cache) == "True"
    assert run(program, cache, LEGATO_COMPILE="background") == "True"


def test_a_wrong_index_is_told_by_those_who_read_it_only(cache):
    program = """
    x = lg.array(draw(9))
    good, bad = lg.take(x, lg.array([1, 2, 3])), lg.take(x, lg.array([1, 99]))
    results = [lg.exp(v) + 1 for v in (good, bad, x)]
    lg.async_eval(results)
    same(results[0], lg.exp(good) + 1)
    same(results[2], lg.exp(x) + 1)
    try:
        np.array(results[1])
    except IndexError as e:
        print("IndexError")
    """
    assert run(program, cache) == "IndexError"
