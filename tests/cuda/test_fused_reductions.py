"""Reductions that compute what they reduce, on the emulated GPU: which steps are joined, and that results are those of
the steps run one after the other, to the bit."""

from test_emulated import pytestmark, run  # noqa: F401

# Programs and reductions of all kinds; prints what differs between fused and unfused runs, and how many were joined.
SAME = """
from legato import _core
rng = np.random.default_rng(3)
def counts(): return _core._eval_counts()["prologues"]
def bits(a):
    if a.dtype == lg.bfloat16: a = a.view(lg.uint16)
    return np.array(a).tobytes()
def values(f):
    arrays = f()
    lg.eval(*arrays)
    return [bits(a) for a in arrays]
def compare(label, f):
    got = values(f)
    before = _core._set_fusion(False)
    want = values(f)
    _core._set_fusion(before)
    if got != want: print("differs:", label)
def arrays(shape, dtype="float32"):
    a = rng.standard_normal(shape) * 3
    return lg.array(a.astype(dtype)) if dtype != "bfloat16" else lg.array(a.astype("float32")).astype(lg.bfloat16)
"""

KINDS = """
total = 0
for shape in [(6, 40), (300, 8), (5, 7, 24), (33,), (2, 3000), (700, 12)]:
    x, y = arrays(shape), arrays(shape)
    row, column = arrays(shape[-1:]), arrays(shape[:-1] + (1,))
    programs = {
        "square": lambda: x * x,
        "difference": lambda: lg.square(x - y) * 0.5,
        "row": lambda: x * row + 1,
        "column": lambda: lg.exp(x - column),
        "strided": lambda: x[..., ::-1] * 2 + y,
        "offset": lambda: lg.abs(arrays(shape[:-1] + (shape[-1] + 3,))[..., 3:]) + x if False else lg.abs(x) + row[:1],
    }
    axes = [None, -1, 0] + ([(0, 2), 1] if len(shape) == 3 else [])
    for name, program in programs.items():
        for axis in axes:
            before = counts()
            compare((shape, name, axis), lambda: [lg.sum(program(), axis=axis)])
            total += counts() - before
    for reduce in (lg.prod, lg.mean, lg.max, lg.min, lg.var, lg.argmax, lg.argmin):
        for axis in (None, -1, 0):
            before = counts()
            compare((shape, reduce.__name__, axis), lambda: [reduce(x * 0.5 + y, axis=axis)])
            total += counts() - before
    for reduce in (lg.any, lg.all, lg.sum):
        compare((shape, reduce.__name__), lambda: [reduce(x > y, axis=0), reduce(x > 1)])
print(total)
"""


def test_a_reduction_computes_what_it_reduces_with_the_same_bits(cache):
    assert run(SAME + KINDS, cache, LEGATO_COMPILE="wait") == str(6 * 6 * 3 + 6 * 2 + 6 * 7 * 3)


def test_until_it_is_compiled_the_two_run_one_after_the_other(tmp_path):
    few = SAME + KINDS.replace(
        "[(6, 40), (300, 8), (5, 7, 24), (33,), (2, 3000), (700, 12)]", "[(5, 24)]"
    )
    assert run(few, str(tmp_path), LEGATO_COMPILE="background").startswith(tuple("0123456789"))
    assert run(few, str(tmp_path), LEGATO_COMPILE="never") == "0"
    assert run(few, str(tmp_path), LEGATO_NVRTC="/nowhere/libnvrtc.so") == "0"


def test_all_dtypes(cache):
    program = """
    for dtype in ("float16", "bfloat16", "float64"):
        x, y = arrays((9, 48), dtype), arrays((9, 48), dtype)
        for axis in (None, 0, 1):
            compare((dtype, axis), lambda: [lg.sum(x * y, axis=axis), lg.var(lg.exp(x), axis=axis)])
            compare((dtype, axis), lambda: [lg.mean(x.astype(lg.float32) * 2, axis=axis)])
    i = lg.array(rng.integers(-9, 9, (9, 48)).astype(np.int8))
    z = arrays((9, 48)) + 1j * arrays((9, 48))
    for axis in (None, 0, 1):
        compare(axis, lambda: [lg.sum(i * 3, axis=axis), lg.max(i // 2, axis=axis), lg.argmax(i % 5, axis=axis)])
        compare(axis, lambda: [lg.sum(z * z, axis=axis), lg.sum(i.astype(lg.int64) + 1, axis=axis)])
    print("compared")
    """
    assert run(SAME + program.replace("\n    ", "\n"), cache, LEGATO_COMPILE="wait") == "compared"


def test_what_others_see_is_stored_on_the_way(cache):
    program = """
    x, y = arrays((12, 40)), arrays((12, 40))
    def f():
        square = x * x                       # held
        s = lg.sum(square, axis=0)
        both = lg.exp(y) + x                 # read twice: by the sum, and by what divides
        return [s, square, both / lg.sum(both, axis=0, keepdims=True)]
    compare("held", f)
    before = counts()
    lg.eval(*f())
    print(counts() - before)
    """
    assert run(SAME + program.replace("\n    ", "\n"), cache, LEGATO_COMPILE="wait") == "2"


def test_compiled_functions_recordings_and_gradients(cache):
    program = """
    x, w = arrays((16, 40)), arrays((16, 40))
    def loss(w): return lg.mean(lg.square(lg.tanh(x * w) - x)) + lg.sum(lg.abs(w), axis=0).max()
    compare("grad", lambda: list(lg.value_and_grad(loss)(w)))
    f = lg.compile(lg.value_and_grad(loss))
    want = [bits(a) for a in lg.value_and_grad(loss)(w)]
    for k in range(5):
        value, grad = f(w)
        lg.eval(value, grad)
        assert [bits(value), bits(grad)] == want, k
    print(_core._eval_counts()["replays"] > 0, counts() > 4)
    """
    assert run(SAME + program.replace("\n    ", "\n"), cache, LEGATO_COMPILE="wait") == "True True"


def test_the_log_and_explain_name_the_pair(cache):
    program = """
    import io
    x = arrays((16, 40))
    lg.eval(lg.mean(lg.square(x) * 2))
    text = io.StringIO()
    with lg.logging("eval:1", output=text):
        lg.eval(lg.mean(lg.square(x) * 2))
    print(*(line.split()[2] for line in text.getvalue().splitlines()))
    print("fused[square,multiply]+mean" in str(lg.explain(lambda x: lg.mean(lg.square(x) * 2))(x)))
    """
    said = run(SAME + program.replace("\n    ", "\n"), cache, LEGATO_COMPILE="wait")
    assert said.split("\n") == ["fused[square,multiply]+mean", "True"]


def test_a_kernel_that_cannot_be_built_is_no_error(tmp_path):
    program = """
    x = arrays((16, 40))
    for k in range(3):
        compare(k, lambda: [lg.sum(x * x + 1, axis=0)])
    print("compared")
    """
    knobs = {"LEGATO_COMPILE": "wait", "LEGATO_EMULATOR_FAIL": "nvrtc:1"}
    assert run(SAME + program.replace("\n    ", "\n"), str(tmp_path), **knobs) == "compared"


def test_long_reductions_in_parts_and_operands_at_odd_places(cache):
    program = """
    x = arrays((300003,))
    compare("all", lambda: [lg.sum(x * x), lg.max(x[1:] * 2), lg.mean(lg.abs(x[3:-2] - x[5:]))])
    y = arrays((40, 5000))
    compare("few rows", lambda: [lg.sum(y * y, axis=1), lg.argmax(-y, axis=1), lg.sum(y * 2, axis=0)])
    compare("turned", lambda: [lg.sum(y.T * 2, axis=1), lg.sum(y.T * y.T, axis=0), lg.sum(y[:, ::3].T + 1)])
    print("compared")
    """
    assert run(SAME + program.replace("\n    ", "\n"), cache, LEGATO_COMPILE="wait") == "compared"
