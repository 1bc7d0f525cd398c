"""Row programs on the emulated GPU: programs and reductions over the same rows as one kernel, which reads each row
once. Results are those of the steps run one after the other, to the bit."""

import pytest
from test_emulated import pytestmark, run  # noqa: F401
from test_fused_reductions import SAME

NORMS = """
EPS = 1e-5
def rows_run(): return _core._eval_counts()["row_programs"]
def layer_norm(x, w, b):
    mean = lg.mean(x, -1, keepdims=True)
    centred = x - mean
    var = lg.mean(centred * centred, -1, keepdims=True)
    return centred / lg.sqrt(var + EPS) * w + b
def rms_norm(x, w, b):
    return x * lg.rsqrt(lg.mean(lg.square(x), axis=-1, keepdims=True) + EPS) * w
def softmax(x, w, b):
    e = lg.exp(x - lg.max(x, axis=-1, keepdims=True))
    return e / lg.sum(e, axis=-1, keepdims=True)
def log_softmax(x, w, b):
    shifted = x - lg.max(x, axis=-1, keepdims=True)
    return shifted - lg.log(lg.sum(lg.exp(shifted), axis=-1, keepdims=True))
def standardised(x, w, b):
    return (x - lg.mean(x, axis=-1)[..., None]) * lg.rsqrt(lg.var(x, axis=-1) + EPS)[..., None]
def statistics(x, w, b):
    return lg.stack([lg.max(x, axis=-1), lg.sum(x * x, axis=-1), lg.mean(lg.abs(x), axis=-1)])
def much_at_once(x, w, b):
    shifted = x - lg.max(x, axis=-1, keepdims=True)
    e = lg.exp(shifted)
    share = e / lg.sum(e, axis=-1, keepdims=True)
    return shifted * lg.mean(share * x, axis=-1, keepdims=True) + e * share + x
def log_softmax_by_parts(x, w, b):
    return x - lg.logsumexp(x, axis=-1, keepdims=True)
FUNCTIONS = [much_at_once, log_softmax_by_parts, layer_norm, rms_norm, softmax, log_softmax, standardised]
"""


def script(text):
    return SAME + NORMS + text.replace("\n    ", "\n")


def test_norms_written_out_are_one_kernel_with_the_same_bits(cache):
    program = """
    for shape in [(5, 64), (3, 4, 136), (2, 1024), (9, 2048), (300, 48)]:
        x, w, b = arrays(shape), arrays(shape[-1:]), arrays(shape[-1:])
        for f in FUNCTIONS:
            compare((shape, f.__name__), lambda: [f(x, w, b)])
            before = _core._eval_counts()
            lg.eval(f(x, w, b))
            after = _core._eval_counts()
            made = [after[k] - before[k] for k in ("row_programs", "kernels", "programs")]
            if made != [1, 1, 0]: print(shape, f.__name__, made)
        compare((shape, "statistics"), lambda: [statistics(x, w, b)])
    print("compared")
    """
    assert run(script(program), cache, LEGATO_COMPILE="wait") == "compared"


def test_all_dtypes(cache):
    # Steps alone round halves that lie between functions of one program, so they are no reference.
    program = """
    import zlib
    before = rows_run()
    for dtype in ("float16", "bfloat16", "float64"):
        x, w, b = (arrays(s, dtype) for s in ((6, 96), (96,), (96,)))
        long, many = arrays((3, 2048), dtype), arrays((5, 1040), dtype)
        for f in FUNCTIONS:
            print(zlib.crc32(*values(lambda: [f(x, w, b)])))
        for f in (much_at_once, log_softmax, softmax, log_softmax_by_parts):
            print(zlib.crc32(*values(lambda: [f(long, w, b)])))
            print(zlib.crc32(*values(lambda: [f(many, w, b)])))
        print(zlib.crc32(*values(lambda: [layer_norm(x.astype(lg.float32), w, b).astype(x.dtype)])))
    print(rows_run() - before)
    """
    fused = run(script(program), cache, LEGATO_COMPILE="wait").splitlines()
    apart = run(script(program), cache, LEGATO_COMPILE="never").splitlines()
    assert (fused[-1], apart[-1]) == ("48", "0")
    assert fused[:-1] == apart[:-1]


def test_strides_and_rows_that_do_not_fit(cache):
    program = """
    turned, long = arrays((12, 64)), arrays((2, 40960))
    x, w, b = arrays((12, 130)), arrays((128,)), arrays((128,))
    for f in FUNCTIONS:
        compare((f.__name__, "every second row"), lambda: [f(x[::2, :128], w, b)])
        compare((f.__name__, "odd start"), lambda: [f(x[:, 1:129], w, b)])
        compare((f.__name__, "turned"), lambda: [f(turned.T, w[:12], b[:12])])
        compare((f.__name__, "backwards"), lambda: [f(x[:, 127::-1], w, b)])
        compare((f.__name__, "odd length"), lambda: [f(x[:, :127], w[:127], b[:127])])
        compare((f.__name__, "long"), lambda: [f(long, long[0], long[1])])
    print("compared")
    """
    assert run(script(program), cache, LEGATO_COMPILE="wait") == "compared"


def test_what_is_held_is_stored(cache):
    program = """
    x, w, b = arrays((7, 128)), arrays((128,)), arrays((128,))
    def f():
        mean = lg.mean(x, -1, keepdims=True)
        centred = x - mean
        var = lg.mean(centred * centred, -1)
        y = centred / lg.sqrt(var + EPS)[:, None]
        return [mean, centred, var, y]
    before = rows_run()
    compare("held", f)
    print(rows_run() - before)
    """
    assert run(script(program), cache, LEGATO_COMPILE="wait") == "1"


def test_gradients_compiled_functions_and_replays(cache):
    program = """
    x, w, b = arrays((16, 128)), arrays((128,)), arrays((128,))
    def loss(x, w, b):
        y = layer_norm(x, w, b)
        return lg.mean(lg.square(softmax(y, w, b) - x))
    step = lg.value_and_grad(loss, argnums=(0, 1, 2))
    def results(f):
        value, grads = f(x, w, b)
        return [value, *grads]
    before = rows_run()
    compare("gradient", lambda: results(step))
    print(rows_run() - before >= 2)
    f = lg.compile(step)
    want = [bits(a) for a in results(step)]
    for k in range(5):
        got = results(f)
        lg.eval(*got)
        assert [bits(a) for a in got] == want, k
    print(_core._eval_counts()["replays"] > 0)
    """
    assert run(script(program), cache, LEGATO_COMPILE="wait").split() == ["True", "True"]


@pytest.mark.parametrize(
    "knobs",
    [
        {"LEGATO_COMPILE": "background"},
        {"LEGATO_COMPILE": "never"},
        {"LEGATO_NVRTC": "/nowhere/libnvrtc.so"},
    ],
)
def test_until_the_kernel_is_there_the_steps_run_apart(knobs, tmp_path):
    program = """
    x, w, b = arrays((6, 64)), arrays((64,)), arrays((64,))
    for k in range(3):
        for f in FUNCTIONS:
            compare(f.__name__, lambda: [f(x, w, b)])
    print("compared")
    """
    assert run(script(program), str(tmp_path), **knobs) == "compared"


def test_the_log_names_the_steps(cache):
    program = """
    import io
    x, w, b = arrays((16, 64)), arrays((64,)), arrays((64,))
    text = io.StringIO()
    with lg.logging("eval:1", output=text):
        lg.eval(softmax(x, w, b))
    print(*(line.split()[2] for line in text.getvalue().splitlines()))
    """
    said = run(script(program), cache, LEGATO_COMPILE="wait")
    assert said == "rows[max,fused[subtract,exp],sum,divide]"
