"""Row programs that pick an element of each row by an index, on the emulated GPU: a loss that is written out reads its
logits once. Results are those of the steps run one after the other, to the bit."""

from test_emulated import pytestmark, run  # noqa: F401
from test_fused_reductions import SAME
from test_row_programs import NORMS

PICKS = """
def nll(x, t):
    return lg.logsumexp(x, axis=-1, keepdims=True) - lg.take_along_axis(x, t, axis=-1)
def nll_by_parts(x, t):  # picks what is made, not what lies in memory
    shifted = x - lg.max(x, axis=-1, keepdims=True)
    scores = shifted - lg.log(lg.sum(lg.exp(shifted), axis=-1, keepdims=True))
    return -lg.take_along_axis(scores, t, axis=-1)
def two(x, t):
    best = lg.take_along_axis(x, lg.zeros_like(t), axis=-1)
    return lg.max(x, axis=-1, keepdims=True) - lg.take_along_axis(x, t, axis=-1) + best
LOSSES = [nll, nll_by_parts, two]
def indices(shape, dtype="int32"):
    n = int(np.prod(shape[:-1]))
    i = (np.arange(n) * 37 + 5) % shape[-1]
    if np.dtype(dtype).kind == "i": i = i - (np.arange(n) % 3 == 0) * shape[-1]  # from the end
    return lg.array(i.reshape(*shape[:-1], 1).astype(dtype))
def message(f):
    try: lg.eval(f())
    except IndexError as e: return str(e)
"""


def picks(text):
    return SAME + NORMS + PICKS + text.replace("\n    ", "\n")


def test_one_kernel_with_the_same_bits(cache):
    program = """
    # A part of a warp, a warp, several warps and a block a row; rows in part there; groups that share a row.
    for shape in [(5, 64), (3, 4, 136), (2, 1024), (9, 2048), (300, 48), (2, 4096), (3, 1040)]:
        x = arrays(shape)
        for dtype in ("int32", "int64", "uint8", "uint64", "int16"):
            if dtype == "uint8" and shape[-1] > 256: continue
            t = indices(shape, dtype)
            for f in LOSSES:
                compare((shape, dtype, f.__name__), lambda: [f(x, t)])
                before = rows_run()
                lg.eval(f(x, t))
                if rows_run() - before != 1: print(shape, dtype, f.__name__, rows_run() - before)
    print("compared")
    """
    assert run(picks(program), cache, LEGATO_COMPILE="wait") == "compared"


def test_an_index_that_the_rows_give_themselves(cache):
    program = """
    def best(x):  # of what lies in memory, and of what is made
        e = lg.exp(x - lg.max(x, axis=-1, keepdims=True))
        share = lg.take_along_axis(e, lg.argmax(e, axis=-1, keepdims=True), axis=-1) / lg.sum(e, axis=-1, keepdims=True)
        return share, lg.take_along_axis(x, lg.argmin(x, axis=-1, keepdims=True), axis=-1)
    for shape in [(5, 64), (3, 2048), (2, 1040)]:
        x = arrays(shape)
        compare(shape, lambda: list(best(x)))
        a, before, made = np.array(x), rows_run(), best(x)
        lg.eval(*made)
        share = 1 / np.exp(a - a.max(-1, keepdims=True)).sum(-1, keepdims=True)
        got, least = (np.array(y) for y in made)
        print(rows_run() - before, np.allclose(got, share), (least == a.min(-1, keepdims=True)).all())
    """
    assert run(picks(program), cache, LEGATO_COMPILE="wait").splitlines() == ["1 True True"] * 3


def test_values_are_those_of_numpy(cache):
    program = """
    for shape in [(6, 96), (3, 2048)]:
        x, t = arrays(shape), indices(shape)
        a, i = np.array(x).astype(np.float64), np.array(t)
        want = np.log(np.exp(a).sum(-1, keepdims=True)) - np.take_along_axis(a, i, -1)
        for f in (nll, nll_by_parts):
            print(np.abs(np.array(f(x, t)) - want).max() < 1e-5)
    """
    assert run(picks(program), cache, LEGATO_COMPILE="wait").split() == ["True"] * 4


def test_all_dtypes(cache):
    program = """
    import zlib
    before = rows_run()
    for dtype in ("float16", "bfloat16", "float64"):
        for shape in [(6, 96), (3, 2048), (5, 1040)]:
            x, t = arrays(shape, dtype), indices(shape)
            for f in LOSSES: print(zlib.crc32(*values(lambda: [f(x, t)])))
    print(rows_run() - before)
    """
    fused = run(picks(program), cache, LEGATO_COMPILE="wait").splitlines()
    apart = run(picks(program), cache, LEGATO_COMPILE="never").splitlines()
    assert (fused[-1], apart[-1]) == ("27", "0")
    assert fused[:-1] == apart[:-1]


def test_an_index_out_of_range_is_told_by_what_depends_on_it(cache):
    program = """
    x = arrays((6, 64))
    for bad in (64, -65, 1 << 40):
        t = np.zeros((6, 1), np.int64)
        t[4] = bad
        t = lg.array(t)
        before = rows_run()
        for f in LOSSES: print(message(lambda: f(x, t)), rows_run() - before)
    huge = lg.array(np.full((6, 1), 2**64 - 1, np.uint64))
    print(message(lambda: nll(x, huge)))
    # What does not come of the index is there all the same.
    total = lg.logsumexp(x, axis=-1, keepdims=True)
    loss = total - lg.take_along_axis(x, t, axis=-1)
    print(message(lambda: loss), np.isfinite(np.array(total)).all())
    print(message(lambda: nll(x, lg.zeros((6, 1), lg.int32))))
    """
    out = run(picks(program), cache, LEGATO_COMPILE="wait").splitlines()
    said = "take_along_axis: index {} is out of range for axis 1 of size 64"
    want = [f"{said.format(bad)} {k}" for bad in (64, -65, 1 << 40) for k in (1, 2, 3)]
    assert out[:9] == want
    assert out[9:] == [said.format(2**64 - 1), f"{said.format(1 << 40)} True", "None"]


def test_layouts_and_sizes_that_run_otherwise(cache):
    program = """
    x, t, long = arrays((12, 130)), indices((12, 64)), arrays((2, 40960))
    for f in LOSSES:
        compare((f.__name__, "every second row"), lambda: [f(x[::2, :128], t[::2])])
        compare((f.__name__, "odd start"), lambda: [f(x[:, 1:129], t)])
        compare((f.__name__, "odd length"), lambda: [f(x[:, :127], t)])
        compare((f.__name__, "backwards"), lambda: [f(x[:, 127::-1], t[::-1])])
        compare((f.__name__, "one index for all"), lambda: [f(x[:, :128], lg.broadcast_to(t[3:4], (12, 1)))])
        compare((f.__name__, "a row of indices"), lambda: [f(x[:, :128], lg.array(np.arange(12) * 7)[:, None])])
        compare((f.__name__, "long"), lambda: [f(long, indices((2, 40960)))])
        print(f(x[:0, :128], t[:0]).shape)
    def along(x, t): return lg.logsumexp(x, axis=-1, keepdims=True) - lg.take_along_axis(x, t, axis=-1)
    many = lg.concatenate([t, t], axis=1)
    compare("two a row", lambda: [along(x[:, :128], many)])
    first = lg.array(np.zeros((1, 128), np.int32))
    compare("the other axis", lambda: [lg.max(x[:, :128], axis=0) - lg.take_along_axis(x[:, :128], first, axis=0)])
    print("compared")
    """
    out = run(picks(program), cache, LEGATO_COMPILE="wait").splitlines()
    assert out == ["(0, 1)"] * 3 + ["compared"]


def test_gradients_vmap_compiled_functions_and_replays(cache):
    program = """
    x, t = arrays((16, 128)), indices((16, 128))
    step = lg.value_and_grad(lambda x: lg.mean(nll(x, t)))
    compare("gradient", lambda: list(step(x)))
    a, i = np.array(x).astype(np.float64), np.array(t) % 128
    p = np.exp(a - a.max(-1, keepdims=True))
    want = (p / p.sum(-1, keepdims=True) - (np.arange(128) == i)) / 16
    print(np.abs(np.array(step(x)[1]) - want).max() < 1e-7)
    each = lg.vmap(lambda x, t: nll(x, t))
    y, u = arrays((3, 5, 64)), indices((3, 5, 64))
    compare("vmap", lambda: [each(y, u)])
    compare("vmap of an index", lambda: [lg.vmap(lambda x, t: nll(x[None], t[None]))(x, t)])
    f = lg.compile(step)
    want = [bits(a) for a in step(x)]
    for k in range(5):
        got = f(x)
        lg.eval(*got)
        assert [bits(a) for a in got] == want, k
    print(_core._eval_counts()["replays"] > 0)
    """
    assert run(picks(program), cache, LEGATO_COMPILE="wait").split() == ["True", "True"]


def test_a_replay_tells_of_its_own_indices(cache):
    program = """
    x, good = arrays((16, 128)), indices((16, 128))
    bad = lg.array(np.full((16, 1), 128, np.int32))
    f = lg.compile(lambda x, t: lg.mean(nll(x, t)))
    want = float(f(x, good))
    for k in range(4): assert float(f(x, good)) == want
    for k in range(4): print(message(lambda: f(x, bad)))
    assert float(f(x, good)) == want
    """
    out = run(picks(program), cache, LEGATO_COMPILE="wait").splitlines()
    assert out == ["take_along_axis: index 128 is out of range for axis 1 of size 128"] * 4
