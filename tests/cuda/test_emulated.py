"""The CUDA backend on an emulated GPU (tests/cuda/emulator): the plugin as it is shipped, over a driver and a
run-time compiler that need no hardware. Each test runs in a process of its own, because a process loads one driver."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("LEGATO_BUILD_DIR", ROOT / "build" / "release"))
EMULATOR = BUILD / "lib" / "libcuda_emulator.so"
PLUGIN = BUILD / "lib" / "liblegato_cuda.so"

pytestmark = pytest.mark.skipif(
    not (EMULATOR.exists() and PLUGIN.exists()),
    reason="the CUDA backend was not built (LEGATO_CUDA=ON, needs nvcc)",
)


def run(program, cache, **knobs):
    """Runs a program that begins with the GPU as default device; returns what it printed."""
    env = {
        **os.environ,
        "LEGATO_CUDA_DRIVER": str(EMULATOR),
        "LEGATO_NVRTC": str(EMULATOR),
        "LEGATO_CUBLASLT": str(EMULATOR),
        "LEGATO_CUDNN": str(EMULATOR),
        "LEGATO_CACHE_DIR": cache,
        **{name: str(value) for name, value in knobs.items()},
    }
    head = "import legato.core as lg, numpy as np\nlg.set_default_device(lg.gpu)\n"
    done = subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(program)],
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_programs_views_copies_and_reductions(cache):
    program = """
    a = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    x = lg.array(a)
    def same(y, want): np.testing.assert_allclose(np.array(y), want, rtol=1e-6)
    same((x + 1) * 2, (a + 1) * 2)
    same(lg.exp(x.transpose(2, 0, 1) / 60) + x[:, :, 0], np.exp(a.transpose(2, 0, 1) / 60) + a[:, :, 0])
    same(x[::-1, :, ::2] * x[:, :1, :1], a[::-1, :, ::2] * a[:, :1, :1])
    same(lg.contiguous(x.transpose(1, 2, 0)), a.transpose(1, 2, 0))
    same(lg.concatenate([x, x * 2], axis=1), np.concatenate([a, a * 2], axis=1))
    for axis in (0, 1, 2, (0, 2), (1, 2), None):
        same(lg.sum(x, axis=axis), a.sum(axis=axis))
        same(lg.max(x, axis=axis), a.max(axis=axis))
        same(lg.mean(x.astype(lg.float16), axis=axis), a.mean(axis=axis).astype(np.float16))
    same(x.astype(lg.int8) // 7, a.astype(np.int8) // 7)
    print("right")
    """
    assert run(program, cache) == "right"


def test_large_copies_and_reductions_in_parts(cache):
    program = """
    a = np.random.default_rng(0).integers(-9, 9, (70, 90, 33)).astype(np.int32)
    x = lg.array(a)
    def same(y, want): np.testing.assert_array_equal(np.array(y), want)
    same(lg.contiguous(x.transpose(2, 1, 0)), a.transpose(2, 1, 0))
    same(lg.contiguous(x.transpose(0, 2, 1)), a.transpose(0, 2, 1))
    same(lg.sum(x), a.sum())
    same(lg.sum(x, axis=(0, 1)), a.sum(axis=(0, 1)))
    same(lg.min(x, axis=0), a.min(axis=0))
    b = np.arange(1 << 19, dtype=np.int32)
    same(lg.sum(lg.array(b) % 7), (b % 7).sum())
    print("right")
    """
    assert run(program, cache) == "right"


def test_gather_scatter_and_indices_out_of_range(cache):
    program = """
    rng = np.random.default_rng(1)
    a = rng.standard_normal((50, 6, 8)).astype(np.float32)
    i = rng.integers(-50, 50, (7, 3))
    x, at = lg.array(a), lg.array(i.astype(np.int32))
    def same(y, want): np.testing.assert_allclose(np.array(y), want, rtol=1e-6)
    same(lg.take(x, at, axis=0), a[i])
    same(x[at, :, at % 8], a[i, :, i % 8])
    j = rng.integers(0, 6, (50, 2, 8))
    same(lg.take_along_axis(x, lg.array(j.astype(np.uint8)), axis=1), np.take_along_axis(a, j, axis=1))
    want = a.copy()
    np.add.at(want, i.ravel(), 1.5)
    same(x.at[at.reshape(-1)].add(1.5), want)
    y = lg.array(a)
    y[at] = 3
    want = a.copy()
    want[i] = 3
    same(y, want)
    y[1:40:3, :, 2] = x[1:40:3, :, 5]
    want[1:40:3, :, 2] = a[1:40:3, :, 5]
    same(y, want)
    bad = lg.take(x, lg.array([0, 50]), axis=0)
    lg.async_eval(bad)                       # the kernel has been launched, and nobody has asked
    later = bad * 2 + 1
    for read in (lambda: np.array(bad), lambda: np.array(later), lambda: lg.eval(later), lambda: np.array(later + 1)):
        try:
            read()
        except IndexError as e:
            assert "index 50 is out of range for axis 0 of size 50" in str(e), e
        else:
            raise AssertionError("an index out of range was not reported")
    same(x + 1, a + 1)
    print("right")
    """
    assert run(program, cache) == "right"


def test_softmax_and_norms(cache):
    program = """
    rng = np.random.default_rng(2)
    for shape in ((5, 7), (3, 40, 4), (2, 3000)):
        a = rng.standard_normal(shape).astype(np.float32) * 5
        x = lg.array(a)
        for axis in range(len(shape)):
            e = np.exp(a - a.max(axis=axis, keepdims=True))
            s = e.sum(axis=axis, keepdims=True)
            np.testing.assert_allclose(np.array(lg.softmax(x, axis=axis)), e / s, rtol=2e-6, atol=1e-9)
            np.testing.assert_allclose(np.array(lg.logsumexp(x, axis=axis, keepdims=True)),
                                       np.log(s) + a.max(axis=axis, keepdims=True), rtol=1e-5, atol=1e-6)
        w = rng.standard_normal(shape[-1]).astype(np.float32)
        want = (a - a.mean(-1, keepdims=True)) / np.sqrt(a.var(-1, keepdims=True) + 1e-5) * w
        np.testing.assert_allclose(np.array(lg.fast.layer_norm(x, lg.array(w), None, 1e-5)), want, rtol=2e-4, atol=1e-5)
    print("right")
    """
    assert run(program, cache) == "right"


@pytest.mark.parametrize("blas", [True, False])
def test_products_of_all_layouts(blas, cache):
    program = """
    rng = np.random.default_rng(3)
    def made(*shape): return rng.integers(-4, 5, shape).astype(np.float32)
    for dtype in (np.float32, np.float16, np.float64, np.complex64, np.int32):
        for a, b in (((5, 7), (7, 3)), ((2, 5, 7), (7, 3)), ((2, 5, 7), (2, 7, 3)), ((4, 1, 5, 7), (2, 7, 3)),
                     ((1, 7), (7, 3)), ((5, 7), (7, 1)), ((5, 1), (1, 3)), ((40, 50), (50, 45))):
            p, q = made(*a).astype(dtype), made(*b).astype(dtype)
            x, y = lg.array(p), lg.array(q)
            xt = lg.contiguous(x.swapaxes(-1, -2)).swapaxes(-1, -2)
            yt = lg.contiguous(y.swapaxes(-1, -2)).swapaxes(-1, -2)
            for u, v in ((x, y), (xt, y), (x, yt), (xt, yt), (x[..., ::-1], y[..., ::-1, :])):
                np.testing.assert_array_equal(np.array(u @ v), p @ q)
            if dtype != np.int32:
                c = made(b[-1]).astype(dtype)
                sum = lg.addmm(lg.array(c), x, yt, alpha=2, beta=3)
                np.testing.assert_array_equal(np.array(sum), 3 * c + 2 * (p @ q))
    print("right")
    """
    knobs = {} if blas else {"LEGATO_CUBLASLT": "/nowhere"}
    assert run(program, cache, **knobs) == "right"


CONVOLUTIONS = """
    rng = np.random.default_rng(5)
    def each(v, n): return (v,) * n if isinstance(v, int) else v
    def check(x_shape, w_shape, dtype=lg.float32, rtol=1e-5, low=0, high=0, **attrs):
        n = len(x_shape) - 2
        attrs = {"stride": 1, "padding": (each(low, n), each(high, n)), **attrs}
        def made(shape, d): return lg.array(rng.integers(-4, 5, shape) / 4).astype(d)
        x, w = made(x_shape, dtype), made(w_shape, dtype)
        def f(x, w): return lg.conv_general(x, w, **attrs)
        dy = made(f(x, w).shape, dtype)
        def values(a, b, c):
            (y,), (dx, dw) = lg.vjp(f, [a, b], [c])
            return [np.array(v.astype(lg.float64)) for v in (y, dx, dw)]
        got = values(x, w, dy)
        with lg.stream(lg.cpu):
            want = values(*(v.astype(lg.float64) for v in (x, w, dy)))
        for a, b in zip(got, want):
            np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(b).max())
    """


@pytest.mark.parametrize("dnn", [True, False])
def test_convolutions_of_all_kinds(dnn, cache):
    program = """
    for dtype, rtol in ((lg.float32, 1e-5), (lg.float64, 1e-12), (lg.float16, 2e-3), (lg.bfloat16, 1e-2)):
        check((2, 9, 4), (6, 3, 4), dtype, rtol, low=1, high=1)
        check((2, 9, 8, 20), (24, 3, 3, 10), dtype, rtol, low=1, high=2, stride=(1, 2), groups=2, flip=True)
    check((1, 12, 12, 9), (10, 3, 3, 9), low=(0, 1), high=(1, 2), stride=2, kernel_dilation=(1, 2))
    check((2, 6, 5, 9), (10, 4, 3, 9), low=2, high=3, input_dilation=(2, 3), flip=True)    # transposed
    check((2, 6, 5, 12), (10, 4, 3, 6), low=2, high=2, input_dilation=2, groups=2)
    check((2, 6, 9, 12), (10, 3, 3, 12), low=-1, high=(1, -2))                             # cuts
    check((2, 6, 7, 12), (10, 3, 2, 12), low=1, stride=2, input_dilation=3)                # neither of both
    check((2, 6, 6, 12), (24, 3, 3, 1), low=1, high=1, groups=12)
    check((1, 3, 4, 5, 10), (9, 2, 2, 3, 10), low=(1, 0, 1), high=1, stride=(1, 2, 1))
    check((1, 2, 3, 4, 10), (9, 2, 2, 2, 10), low=1, high=1, input_dilation=(1, 2, 1), flip=True)
    check((1, 1, 1, 600), (12, 1, 1, 600))                                                 # sums in parts
    check((3, 20, 20, 9), (8, 3, 3, 9))
    for channels, low in ((32, 0), (64, 1), (132, 0)):                                     # four at a time
        check((2, 9, 7, 20), (channels, 3, 3, 20), low=low, high=1, stride=(1, 2))
        check((2, 5, 5, channels), (24, 3, 3, channels // 2), low=low, high=1, groups=2, flip=True)
    check((1, 3, 3, 320), (36, 3, 3, 320), low=1, high=1)
    check((5, 17, 9, 4), (132, 3, 2, 4), kernel_dilation=2)
    assert lg.conv2d(lg.zeros((0, 5, 5, 8)), lg.zeros((4, 3, 3, 8))).shape == (0, 3, 3, 4)
    empty = lg.conv2d(lg.zeros((1, 5, 5, 0)), lg.zeros((4, 3, 3, 0)))
    np.testing.assert_array_equal(np.array(empty), np.zeros((1, 3, 3, 4)))
    print("right")
    """
    knobs = {} if dnn else {"LEGATO_CUDNN": "/nowhere"}
    assert run(CONVOLUTIONS + program, cache, **knobs) == "right"


def test_cudnn_takes_the_convolutions_that_it_can(cache):
    """Its first engines are passed over: they round float32, are not deterministic, fail or want too much memory."""
    program = """
    import os
    def engines(*args, **kwargs):
        read, write = os.pipe()
        kept = os.dup(2)
        os.dup2(write, 2)
        check(*args, **kwargs)
        os.dup2(kept, 2)
        os.close(write)
        with os.fdopen(read) as file:
            return [int(line.split()[-1]) for line in file if line.startswith("cuDNN")]
    half = (lg.float16, 2e-3)
    assert engines((2, 6, 5, 9), (10, 4, 3, 9), *half, low=1, high=2) == [4, 4, 4]
    assert engines((2, 9, 4), (6, 3, 4), *half, low=2, stride=2, flip=True) == [4, 4, 4]
    assert engines((2, 6, 5, 9), (10, 4, 3, 9), *half, low=2, high=3, input_dilation=(2, 3), flip=True) == [4, 4, 4]
    assert engines((2, 6, 7, 12), (10, 3, 2, 12), *half, low=1, stride=2, input_dilation=3) == []
    assert engines((2, 6, 5, 9), (10, 4, 3, 9), lg.float64, 1e-12) == []
    assert engines((2, 6, 5, 9), (10, 4, 3, 9), low=1, high=2) == []             # too small for its float32
    with lg.allow_tf32():
        assert engines((2, 6, 5, 9), (10, 4, 3, 9), low=1, high=2) == [0, 0, 0]
    # An offset that is not a multiple of 16 bytes: the plan is one for such pointers.
    x = lg.array(rng.integers(-4, 5, (3, 5, 5, 3)) / 4).astype(lg.float16)
    w = lg.array(rng.integers(-4, 5, (3, 3, 3, 3)) / 4).astype(lg.float16)
    lg.eval(x)
    y = np.array(lg.conv2d(x[1:], w[1:]))
    with lg.stream(lg.cpu):
        np.testing.assert_array_equal(y, np.array(lg.conv2d(x[1:], w[1:])))
    print("right")
    """
    assert run(CONVOLUTIONS + program, cache, LEGATO_EMULATOR_LOG=1) == "right"


def test_attention_with_its_derivative(cache):
    program = """
    rng = np.random.default_rng(0)
    def check(dtype, shape, keys, value_width, kv_heads, **kw):
        batch, heads, queries, width = shape
        def some(n, heads, width):  # as it comes out of a projection
            a = lg.array(rng.standard_normal((batch, n, heads, width)).astype(np.float32))
            return a.astype(dtype).swapaxes(1, 2)
        q, k = some(queries, heads, width), some(keys, kv_heads, width)
        v, g = some(keys, kv_heads, value_width), some(queries, heads, value_width)
        attend = lambda q, k, v: lg.fast.scaled_dot_product_attention(q, k, v, **kw)
        found = []
        for device in lg.cpu, lg.gpu:
            lg.set_default_device(device)
            y, grads = lg.vjp(attend, [q, k, v], [g])
            found.append([np.array(a.astype(lg.float32)) for a in y + grads])
        tol = {lg.float32: 1e-5, lg.float16: 4e-3, lg.bfloat16: 3e-2}[dtype]
        for a, b in zip(*found):
            assert abs(a - b).max() <= tol * max(1, abs(a).max()), (dtype, shape, keys, kw)
    some_rows = lg.array(rng.random((70, 1)) > 0.2)  # the other queries look nowhere
    for dtype in lg.float16, lg.bfloat16:
        added = lg.array(rng.standard_normal(66)).astype(dtype)
        kept = lg.array(rng.random((2, 1, 1, 50)) > 0.4) & some_rows
        check(dtype, (1, 4, 70, 40), 77, 40, 2, scale=0.2)
        check(dtype, (1, 1, 130, 24), 66, 20, 1, scale=0.2, mask="causal")
        check(dtype, (1, 2, 70, 30), 50, 7, 1, scale=-0.2, mask="causal")
        check(dtype, (2, 2, 70, 64), 50, 64, 1, scale=0.1, mask=kept)
        check(dtype, (1, 2, 40, 100), 66, 128, 2, scale=0.1, mask=added)
        check(dtype, (1, 1, 40, 200), 33, 256, 1, scale=0.1)
    check(lg.float32, (2, 4, 16, 32), 16, 32, 2, scale=0.2)
    check(lg.float32, (1, 2, 9, 5), 13, 6, 1, scale=0.2, mask="causal")
    print("right")
    """
    assert run(program, cache) == "right"


def test_attention_bound_where_no_derivative_was_in_sight_has_the_same_one(cache):
    program = """
    rng = np.random.default_rng(3)
    q, k, v, g = (lg.array(rng.standard_normal((1, 2, n, 40))).astype(lg.float16) for n in (70, 50, 50, 70))
    attend = lambda q, k, v: lg.fast.scaled_dot_product_attention(q, k, v, scale=0.2)
    before = lg.compile(attend)
    lg.eval(before(q, k, v))  # captured for no derivative, so that the sums of rows are not kept
    for a, b in zip(lg.vjp(attend, [q, k, v], [g])[1], lg.vjp(before, [q, k, v], [g])[1]):
        np.testing.assert_array_equal(np.array(a), np.array(b))
    print("right")
    """
    assert run(program, cache) == "right"


def test_attention_writes_in_the_order_of_its_queries(cache):
    program = """
    from legato._core import _eval_counts as counts
    x = lg.array(np.ones((2, 70, 3, 32), np.float16)).swapaxes(1, 2)
    lg.eval(x)
    before = counts()
    y = lg.fast.scaled_dot_product_attention(x, x, x, scale=0.2)
    lg.eval(y.swapaxes(1, 2).reshape(2, 70, 96))  # the heads are joined without a copy
    after = counts()
    print(*(after[name] - before[name] for name in ("kernels", "layout_copies")))
    """
    assert run(program, cache) == "1 0"


@pytest.mark.parametrize("blas", [True, False])
def test_products_apply_what_follows_them(blas, cache):
    program = """
    import legato.nn as nn
    rng = np.random.default_rng(7)
    def made(*shape): return rng.integers(-8, 9, shape).astype(np.float32) / 8
    for size in (24, 150):                                # by own tiles, by cuBLASLt
        x, w, b, r = made(size, 140), made(130, 140), made(130), made(size, 130)
        for dtype, tol in ((lg.float32, 1e-6), (lg.float16, 1e-3), (lg.bfloat16, 8e-3)):
            X, W, B, R = (lg.array(v).astype(dtype) for v in (x, w, b, r))
            lg.eval(X, W, B, R)
            follow = {
                "nothing": lambda y: y,
                "gelu": nn.gelu_approx,
                "residual": lambda y: y + R,
                "scale": lambda y: R - y * 0.5,
                "activation by itself": nn.silu,
                "cast": lambda y: y.astype(lg.float32),
                "column": lambda y: y + R[:, :1],
                "transposed": lambda y: y + lg.contiguous(R.T).T,
                "offset": lambda y: y + lg.concatenate([B, B])[1:131],
            }
            for name, f in follow.items():
                for product in (lambda: lg.addmm(B, X, W.T), lambda: X @ W.T, lambda: X @ W.T + B):
                    y = f(product())
                    lg.eval(y)
                    with lg.fusion(False):
                        want = f(product())
                        lg.eval(want)
                    assert y.dtype == want.dtype
                    y, want = (np.array(v.astype(lg.float32)) for v in (y, want))
                    np.testing.assert_allclose(y, want, rtol=tol, atol=tol * 8, err_msg=f"{name} {dtype}")
    print("right")
    """
    knobs = {} if blas else {"LEGATO_CUBLASLT": "/nowhere"}
    assert run(program, cache, **knobs) == "right"


def test_a_product_and_what_it_applies_are_one_step(cache):
    program = """
    import io, legato.nn as nn
    x, w, b = (lg.array(np.ones(s, np.float16)) for s in ((200, 140), (150, 140), (150,)))
    text = io.StringIO()
    with lg.logging("eval:1", output=text):
        lg.eval(nn.gelu_approx(lg.addmm(b, x, w.T)))
        y = x @ w.T                                       # held: it is stored
        lg.eval(y * 2)
    print(*(line.split()[2].split("[")[0] for line in text.getvalue().splitlines()))
    """
    assert run(program, cache) == "addmm+fused matmul multiply"


def test_operands_at_odd_places_and_batches_that_do_not_merge(cache):
    program = """
    rng = np.random.default_rng(8)
    for dtype in (lg.bfloat16, lg.float16, lg.float32):
        flat = lg.array(rng.integers(-3, 4, 300 * 200 + 8).astype(np.float32)).astype(dtype)
        for off in (1, 2, 4):
            a, b = flat[off : off + 30000].reshape(150, 200), flat[off + 3 : off + 3 + 32000].reshape(200, 160)
            want = np.array(a.astype(lg.float32)) @ np.array(b.astype(lg.float32))
            np.testing.assert_allclose(np.array((a @ b).astype(lg.float32)), want, rtol=8e-3)
    for sa, sb in (((4, 1, 15, 140), (2, 140, 13)), ((3, 2, 15, 140), (140, 13)), ((2, 3, 1, 140), (140, 13)),
                   ((7, 2, 1, 5, 140), (7, 1, 3, 140, 9)), ((6, 5, 40, 130), (6, 5, 130, 30))):
        a, b = rng.integers(-3, 4, sa).astype(np.float32), rng.integers(-3, 4, sb).astype(np.float32)
        for dtype in (lg.float32, lg.int32, lg.complex64):
            x, y = lg.array(a).astype(dtype), lg.array(b).astype(dtype)
            turned = lg.contiguous(x.swapaxes(0, 1)).swapaxes(0, 1)
            for u in (x, turned, x[..., ::-1], x[::-1]):
                want = np.array(u.astype(lg.float32)) @ b
                np.testing.assert_array_equal(np.array((u @ y).astype(lg.float32)), want)
    print("right")
    """
    assert run(program, cache) == "right"


def test_chosen_products_on_the_device(cache):
    program = """
    rng = np.random.default_rng(9)
    def made(*shape): return rng.integers(-4, 5, shape).astype(np.float32)
    x, w = made(6, 40, 64), made(4, 64, 48)
    left, right = np.array([0, 5, 5, 1, -1, 2, 3]), np.array([3, 3, 0, 0, -4, 2, 1])
    rows, at = made(70, 1, 64), rng.integers(0, 4, 70)
    a, b = made(50, 90), made(90, 70)
    ends = np.array([[0, 10], [10, 90], [5, 5], [40, 77]])
    for dtype in (lg.float32, lg.float16, lg.int16, lg.complex64):
        def of(v): return lg.array(v).astype(dtype)
        def same(y, want): np.testing.assert_array_equal(np.array(y.astype(lg.float32)), want)
        same(lg.gather_mm(of(x), of(w), lg.array(left), lg.array(right)), x[left] @ w[right])
        same(lg.gather_mm(of(rows), of(w), None, lg.array(at)), rows @ w[at])
        same(lg.gather_mm(of(rows), of(w), None, lg.array(np.sort(at))), rows @ w[np.sort(at)])
        wt = lg.contiguous(of(w).swapaxes(1, 2)).swapaxes(1, 2)
        same(lg.gather_mm(of(x)[:, ::2], wt, lg.array(left[::-1])[::-1], lg.array(right)), x[left][:, ::2] @ w[right])
        same(lg.segmented_mm(of(a), of(b), lg.array(ends)), np.stack([a[:, s:e] @ b[s:e] for s, e in ends]))
    for wrong, text in ((lambda: lg.gather_mm(lg.array(x), lg.array(w), None, lg.array([0, 9, 1, 0, 0, 0])),
                         "rhs_indices[1] is 9, but there are 4 matrices"),
                        (lambda: lg.segmented_mm(lg.array(a), lg.array(b), lg.array([[0, 4], [3, 95]])),
                         "segment 1 is from 3 to 95")):
        try:
            np.array(wrong())
        except IndexError as e:
            assert text in str(e), e
        else:
            raise AssertionError("an index out of range was not reported")
    print("right")
    """
    assert run(program, cache) == "right"


def test_cudnn_adds_what_follows_a_convolution(cache):
    program = """
    import legato.nn as nn
    from legato import _core
    def made(*shape): return lg.array(rng.standard_normal(shape) / 4).astype(lg.float16)
    x, w, b, residual, time = made(2, 5, 6, 9), made(8, 3, 3, 9), made(8), made(2, 5, 6, 8), made(2, 1, 1, 8)
    lg.eval(x, w, b, residual, time)
    def conv(x): return lg.conv2d(x, w, padding=1)
    def epilogues(f):
        before = _core._eval_counts()["epilogues"]
        got = np.array(f(x))
        with lg.stream(lg.cpu):
            np.testing.assert_allclose(got, np.array(f(x)), rtol=4e-3, atol=4e-3)
        return _core._eval_counts()["epilogues"] - before
    assert epilogues(lambda x: conv(x) + b) == 1
    assert epilogues(lambda x: residual + (conv(x) + b)) == 1
    assert epilogues(lambda x: conv(x) + residual) == 0
    assert epilogues(lambda x: conv(x) + b + time) == 0
    assert epilogues(lambda x: nn.silu(conv(x) + b)) == 0
    assert epilogues(lambda x: lg.conv2d(x, w[:, :1, :1]) + b + residual) == 0
    print("right")
    """
    assert run(CONVOLUTIONS + program, cache) == "right"
    assert (
        run(CONVOLUTIONS + program.replace("== 1", "== 0"), cache, LEGATO_CUDNN="/nowhere")
        == "right"
    )


def test_scans_and_pools(cache):
    program = """
    rng = np.random.default_rng(4)
    for shape in ((3, 700), (700, 40), (2, 33, 3)):
        a = rng.integers(-3, 4, shape)
        for dtype in (np.int32, np.float32, np.int8):
            x = lg.array(a.astype(dtype))
            for axis in range(len(shape)):
                want = np.cumsum(a.astype(dtype), axis=axis, dtype=dtype)
                np.testing.assert_array_equal(np.array(lg.cumsum(x, axis=axis)), want)
                back = np.flip(np.cumsum(np.flip(a.astype(dtype), axis), axis=axis, dtype=dtype), axis)
                np.testing.assert_array_equal(np.array(lg.cumsum(x, axis=axis, reverse=True)), back)
    import legato.nn as nn
    x = lg.array(rng.standard_normal((2, 9, 8, 5)).astype(np.float32))
    for layer in (nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2, 1)):
        def loss(v): return lg.sum(layer(v) ** 2)
        value, grad = lg.value_and_grad(loss)(x)
        value, grad = value.item(), np.array(grad)
        with lg.stream(lg.cpu):
            on_cpu, grad_cpu = lg.value_and_grad(loss)(x)
            np.testing.assert_allclose(value, on_cpu.item(), rtol=1e-5)
            np.testing.assert_allclose(grad, np.array(grad_cpu), rtol=1e-4, atol=1e-5)
    print("right")
    """
    assert run(program, cache) == "right"


@pytest.mark.skipif(
    os.environ.get("LEGATO_TEST_FULL", "") in ("", "0"), reason="minutes; ./dev test --full --cuda"
)
@pytest.mark.parametrize("mode", ["eager", "vmap", "vjp", "compiled"])
def test_case_engine_on_the_emulated_gpu(mode, cache):
    families = sorted(p.parent.name for p in (ROOT / "legato" / "ops").glob("*/*.cuda.cpp"))
    env = {
        **os.environ,
        "LEGATO_CUDA_DRIVER": str(EMULATOR),
        "LEGATO_NVRTC": str(EMULATOR),
        "LEGATO_CUBLASLT": str(EMULATOR),
        "LEGATO_CUDNN": str(EMULATOR),
        "LEGATO_CACHE_DIR": cache,
    }
    command = [
        sys.executable,
        "tests/engine",
        *families,
        "--mode",
        mode,
        "--device",
        "gpu",
        "--quiet",
    ]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_cpu_and_gpu_in_one_graph(cache):
    program = """
    x = lg.array([3.0, 1.0, 2.0])
    y = lg.sort(x * 2)                       # on the CPU where the GPU has no kernel
    z = lg.add(y, 1, stream=lg.cpu)
    print(np.array(z * x).tolist())
    """
    assert run(program, cache) == "[9.0, 5.0, 14.0]"


def test_running_out_of_memory_is_an_error_and_the_next_operation_works(cache):
    program = """
    x = lg.zeros((1 << 20,)) + 1
    lg.eval(x)
    try:
        lg.eval(lg.zeros((1 << 28,)) + x[0])
    except MemoryError as e:
        assert "out of memory on cuda 0" in str(e), e
    else:
        raise AssertionError("no MemoryError")
    print(lg.sum(x).item())
    """
    assert run(program, cache, LEGATO_EMULATOR_MEMORY=64 << 20) == "1048576.0"


@pytest.mark.parametrize("fail", ["alloc:3", "launch:2", "nvrtc:1"])
def test_an_injected_failure_raises_and_leaves_the_device_usable(fail, tmp_path):
    program = """
    x = lg.array([1.0, 2.0, 3.0])
    failed = 0
    for k in range(4):
        try:
            y = (x + k) * 2
            lg.eval(y)
            z = lg.sum(y)
            assert z.item() == 2 * (6 + 3 * k), z
        except (MemoryError, RuntimeError):
            failed += 1
    print(failed)
    """
    # An allocation that fails is tried again after the cache has been given back; a program that cannot be compiled
    # runs by its parts.
    assert run(program, str(tmp_path / "c"), LEGATO_EMULATOR_FAIL=fail) == (
        "1" if fail.startswith("launch") else "0"
    )


def test_a_cache_folder_that_cannot_be_written_is_no_error(tmp_path):
    taken = tmp_path / "file"
    taken.write_text("not a folder")
    program = "print((lg.array([1.0]) * 2 + 1).item())"
    assert run(program, str(taken), LEGATO_COMPILE="wait") == "3.0"


def test_a_damaged_cache_file_is_compiled_again(tmp_path):
    folder = tmp_path / "c"
    # Two functions: one alone is compiled with the library.
    program = "print((lg.array([1.0, 2.0]) * 3 + 1).tolist())"
    assert run(program, str(folder), LEGATO_COMPILE="wait") == "[4.0, 7.0]"
    files = list(folder.glob("*.cubin"))
    assert files
    for file in files:
        data = bytearray(file.read_bytes())
        data[-20] ^= 0xFF
        file.write_bytes(data)
    assert run(program, str(folder), LEGATO_COMPILE="wait") == "[4.0, 7.0]"


@pytest.mark.parametrize(
    ("knobs", "reason"),
    [
        ({"LEGATO_CUDA_DRIVER": "/nowhere/libcuda.so"}, "could not be loaded"),
        ({"LEGATO_EMULATOR_NO_DEVICE": 1}, "finds no GPU"),
        ({"LEGATO_EMULATOR_VERSION": 11040}, "too old: it is made for CUDA 11.4"),
    ],
)
def test_what_hinders_the_gpu_is_a_sentence(knobs, reason, cache):
    env = {
        **os.environ,
        "LEGATO_CUDA_DRIVER": str(EMULATOR),
        **{k: str(v) for k, v in knobs.items()},
    }
    program = """
import legato as lg
print(lg.is_available(lg.gpu), lg.device_count(lg.gpu), (lg.array([1.0]) + 1).item())
try:
    lg.set_default_device(lg.gpu)
except ValueError as e:
    print(e)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("False 0 2.0")
    assert reason in done.stdout


def test_a_forked_child_is_told_not_to_use_the_gpu(cache):
    program = """
    import os
    x = lg.array([1.0]) + 1
    lg.eval(x)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            lg.eval(lg.array([1.0]) * 3)
            text = "no error"
        except RuntimeError as e:
            text = str(e)
        os.write(write, text.encode())
        os._exit(0)
    os.waitpid(pid, 0)
    print("forked child" in os.read(read, 1000).decode())
    """
    assert run(program, cache) == "True"


def test_a_watched_step_is_waited_for(cache):
    program = """
    import legato
    a = lg.random.normal((128, 128, 64))
    lg.eval(a)
    with legato.profile() as watched:
        lg.eval(lg.softmax(a, axis=1))
    step, = [s for s in watched.steps if s["name"] == "softmax"]
    print((step["end_ns"] - step["begin_ns"]) / 1000)
    """
    # A launch takes microseconds; a million exponentials take the emulator milliseconds.
    assert float(run(program, cache)) > 1000
