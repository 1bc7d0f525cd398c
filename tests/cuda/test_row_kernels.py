"""The kernels of softmax and of the norms on the emulated GPU: each way in which they cut rows and columns over
threads, against float64."""

import textwrap

import pytest
from test_emulated import pytestmark, run  # noqa: F401

HEAD = """
    rng = np.random.default_rng(5)
    T = getattr(lg, DTYPE)
    unit = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}[DTYPE]
    fine = min(unit, 2.0**-24)               # in which half types compute
    smallest = 6e-8 if DTYPE == "float16" else 0
    def made(*shape):
        a = lg.array(rng.standard_normal(shape).astype(np.float32)).astype(T)
        return a, np.array(a.astype(lg.float64))
    # Right within some roundings of each result, and those of sums of n terms.
    def same(y, want, n=1, what=""):
        y = np.array(y.astype(lg.float64))
        assert y.shape == want.shape, what
        most = max(1.0, np.abs(want).max())
        limit = 4 * unit * np.abs(want) + (16 + n**0.5) * fine * most + smallest
        assert (np.abs(y - want) <= limit).all(), (what, np.abs(y - want).max(), limit.min())
"""

SOFTMAX = """
    lengths = (1, 3, 16, 17, 40, 320, 640, 1001, 2048, 4104, 8200)
    rows = [((n % 7 + 1, n), 1) for n in lengths] + [((2, 33000), 1), ((1, 70001), 1)]
    columns = [((5, 1), 0), ((40, 3), 0), ((2, 70, 24), 1), ((300, 8), 0), ((3, 1030, 5), 1), ((2, 4, 3, 2), 1)]
    for shape, axis in rows + columns:
        (x, a), (g, b) = made(*shape), made(*shape)
        n, what = shape[axis], (shape, axis)
        top = a.max(axis, keepdims=True)
        lse = np.log(np.exp(a - top).sum(axis, keepdims=True)) + top
        p = np.exp(a - lse)
        same(lg.softmax(x, axis=axis), p, n, what)
        same(lg.log_softmax(x, axis=axis), a - lse, n, what)
        same(lg.logsumexp(x, axis=axis, keepdims=True), lse, n, what)
        if unit > fine:
            continue                         # derivatives start from a rounded output
        (d,) = lg.vjp(lambda v: lg.softmax(v, axis=axis), [x], [g])[1]
        same(d, p * (b - (b * p).sum(axis, keepdims=True)), n, what)
        (d,) = lg.vjp(lambda v: lg.log_softmax(v, axis=axis), [x], [g])[1]
        same(d, b - p * b.sum(axis, keepdims=True), n, what)
    alone = made(997, 1)[0]                  # a row of one element: exactly 1, and 0
    for x in (alone, alone * 50):
        assert (np.array(lg.softmax(x, axis=1).astype(lg.float32)) == 1).all()
        assert (np.array(lg.log_softmax(x, axis=1).astype(lg.float32)) == 0).all()
    inf, nan = float("inf"), float("nan")
    x = lg.array([[1.0, -inf, 2.0], [-inf, -inf, -inf], [1.0, inf, 2.0], [1.0, nan, 2.0]]).astype(T)
    for axis, y in ((1, x), (0, lg.contiguous(x.transpose()))):
        p = np.isnan(np.array(lg.softmax(y, axis=axis).astype(lg.float32)))
        print(p.all(axis).tolist(), np.array(lg.logsumexp(y, axis=axis).astype(lg.float32))[1:].tolist())
"""

NORMS = """
    # y and the cotangents of x, weight and bias, with statistics over `axes` of a view of x
    def reference(a, w, b, g, axes, view, centred):
        v = a.reshape(view)
        mean = v.mean(axes, keepdims=True) if centred else 0
        s = 1 / np.sqrt(((v - mean) ** 2).mean(axes, keepdims=True) + 1e-3)
        h, wg = (v - mean) * s, (g * w).reshape(view)
        d = wg - h * (wg * h).mean(axes, keepdims=True)
        if centred:
            d = d - wg.mean(axes, keepdims=True)
        h = h.reshape(a.shape)
        rows = tuple(range(a.ndim - 1))
        return h * w + b, (s * d).reshape(a.shape), (g * h).sum(rows), g.sum(rows)
    def check(f, shape, axes, view, centred=True, offset=0):
        c, positions = shape[-1], int(np.prod(shape[:-1]))
        (x, a), (w, wa), (b, ba), (g, ga) = made(*shape), made(c), made(c), made(*shape)
        if offset:
            x = x + offset
            a = np.array(x.astype(lg.float64))
        y, dx, dw, db = reference(a, wa, ba * centred, ga, axes, view, centred)
        more = (1 + offset) ** 2
        same(f(x, w, b), y, c * more, shape)
        got = lg.vjp(f, [x, w, b], [g])[1]
        same(got[0], dx, c * more, (shape, "x"))
        same(got[1], dw, positions * 16 * more, (shape, "weight"))
        if centred:
            same(got[2], db, positions * 16, (shape, "bias"))
    def layer(x, w, b): return lg.fast.layer_norm(x, w, b, 1e-3)
    def rms(x, w, b): return lg.fast.rms_norm(x, w, 1e-3)
    shapes = [(5, 1), (3, 3), (9, 16), (300, 17), (70, 40), (4, 130), (3, 5, 320), (4, 640), (5, 1001), (3, 4104)]
    for shape in shapes + [(2, 8200), (70, 9001), (1, 33001), (1, 40000)]:
        check(layer, shape, -1, shape)
        check(rms, shape, -1, shape, False)
    def check_group(shape, groups, offset=0):
        def f(x, w, b): return lg.fast.group_norm(x, groups, w, b, 1e-3)
        check(f, shape, (1, 3), (shape[0], -1, groups, shape[-1] // groups), offset=offset)
    check_group((2, 5, 7, 6), 3)
    check_group((3, 8), 2)
    check_group((1, 40, 20), 1)
    check_group((2, 300, 40), 4)
    check_group((2, 33, 320), 32)
    check_group((1, 9, 4200), 1)             # a group of several tiles
    check_group((2, 3, 1009), 1)             # channels that cannot be cut
    check_group((2, 50, 48), 48)
    check_group((1, 700, 16), 2)
    check_group((1, 5, 2560), 4)
    check_group((2, 2100, 40), 4)            # samples that no block holds
    check_group((1, 9000, 16), 2)
    # SiLU is applied as group norm stores its result.
    import legato.nn as nn
    (x, a), (w, wa) = made(2, 33, 40), made(40)
    import legato._core as core
    before = core._eval_counts()["epilogues"]
    y = nn.silu(lg.fast.group_norm(x, 4, w, None, 1e-3))
    lg.eval(y)
    want = reference(a, wa, 0, a, (1, 3), (2, -1, 4, 10), True)[0]
    same(y, want / (1 + np.exp(-want)), 330)
    assert core._eval_counts()["epilogues"] == before + 1
    if DTYPE == "float32":                   # means far from 0: nothing cancels
        check(layer, (4, 1000), -1, (4, 1000), offset=300)
        check_group((1, 700, 16), 2, offset=300)
    nothing = lg.zeros((0, 4))
    def plain(x, w): return lg.fast.layer_norm(x, w, None, 1e-3)
    print(np.array(lg.vjp(plain, [nothing, lg.ones((4,))], [nothing])[1][1]).tolist())
"""


@pytest.fixture
def programs(tmp_path_factory):
    return str(tmp_path_factory.getbasetemp() / "programs")


def run_in(dtype, program, programs):
    return run(f"DTYPE = {dtype!r}\n" + textwrap.dedent(HEAD) + textwrap.dedent(program), programs)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_softmax_of_short_odd_and_long_rows_and_columns(dtype, programs):
    line = "[False, True, True, True] [-inf, inf, nan]"
    assert run_in(dtype, SOFTMAX, programs) == f"{line}\n{line}"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_norms_of_short_odd_and_long_rows_and_their_derivatives(dtype, programs):
    assert run_in(dtype, NORMS, programs) == "[0.0, 0.0, 0.0, 0.0]"
