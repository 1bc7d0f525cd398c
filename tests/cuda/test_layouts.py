"""Operands and copies in different orders, at odd sizes and addresses, on the emulated GPU: tiles through shared
memory, columns, and convolutions whose products are summed where their taps lie."""

import pytest
from test_emulated import pytestmark, run  # noqa: F401


@pytest.mark.parametrize("compile", ["wait", "never"])
def test_programs_of_operands_that_lie_across(compile, cache):
    program = """
    rng = np.random.default_rng(1)
    def made(dtype, *shape):
        a = rng.integers(-9, 9, shape).astype(dtype)
        return a, lg.array(a)
    def same(y, want):
        lg.eval(y)
        np.testing.assert_array_equal(np.array(y), want)
    for dtype in (np.float32, np.float16, np.int8, np.float64):
        a, x = made(dtype, 300, 260)
        b, y = made(dtype, 260, 300)
        same(x.T + y, a.T + b)
        same(x.T + x.T * y, a.T + a.T * b)
        same(x[:260, :260].T + x[:260, :260], a[:260, :260].T + a[:260, :260])
        same(x.T[::-1] * 2 + y[:1], a.T[::-1] * dtype(2) + b[:1])          # backwards: element by element
        same(y + x.T[:, :1], b + a.T[:, :1])
        same(x[3:, 5:].T - y[5:, 3:], a[3:, 5:].T - b[5:, 3:])
    a, x = made(np.float32, 5, 130, 7, 70)
    b, y = made(np.float32, 70, 7, 130, 5)
    c, z = made(np.float16, 130, 70)
    for p in ((0, 3, 2, 1), (3, 2, 1, 0), (2, 3, 0, 1), (1, 0, 3, 2)):
        same(x.transpose(*p) * 2, a.transpose(p) * 2)
    same(x + y.T, a + b.T)
    same(x.transpose(0, 2, 1, 3) + z, a.transpose(0, 2, 1, 3) + c)
    same(x.transpose(0, 2, 3, 1) - z.T, a.transpose(0, 2, 3, 1) - c.T)
    print("right")
    """
    assert run(program, cache, LEGATO_COMPILE=compile) == "right"


def test_copies_of_lines_that_begin_anywhere(cache):
    program = """
    rng = np.random.default_rng(2)
    for dtype in (np.int8, np.float16, np.float32, np.float64):
        for shape in ((70, 3, 133), (129, 2, 64), (64, 1, 200), (17, 5, 31)):
            a = rng.integers(-99, 99, shape).astype(dtype)
            x = lg.array(a)
            for cut in (slice(None), slice(1, None), slice(3, -2)):
                y = lg.contiguous(x[cut].transpose(2, 1, 0))
                np.testing.assert_array_equal(np.array(y), a[cut].transpose(2, 1, 0))
                y = lg.contiguous(x[:, :, cut].transpose(2, 1, 0))
                np.testing.assert_array_equal(np.array(y), a[:, :, cut].transpose(2, 1, 0))
    print("right")
    """
    assert run(program, cache) == "right"


def test_reductions_of_few_and_of_many_columns(cache):
    program = """
    rng = np.random.default_rng(3)
    for dtype in (np.float32, np.float16, np.uint8, np.float64, np.complex64):
        for shape in ((40, 33, 20), (3, 1000, 12), (2, 7000, 3), (50, 32, 64), (1, 600, 260)):
            a = rng.integers(0, 9, shape).astype(dtype)
            x = lg.array(a)
            wide = a.astype(np.complex128 if dtype == np.complex64 else np.float64)
            np.testing.assert_allclose(np.array(lg.sum(x, axis=1)), wide.sum(1), rtol=1e-3)
            if dtype != np.complex64:
                np.testing.assert_array_equal(np.array(lg.max(x, axis=1)), a.max(1))
                np.testing.assert_array_equal(np.array(lg.argmax(x, axis=1)), a.argmax(1))
            if dtype in (np.float32, np.float64):
                np.testing.assert_allclose(np.array(lg.var(x, axis=1)), wide.var(1), rtol=1e-5)
    print("right")
    """
    assert run(program, cache) == "right"


@pytest.mark.parametrize("blas", [True, False])
def test_convolutions_with_few_output_channels(blas, cache):
    program = """
    rng = np.random.default_rng(4)
    def made(dtype, *shape): return lg.array(rng.integers(-4, 5, shape) / 8).astype(dtype)
    def check(x, w, **how):
        b, r = made(x.dtype, w.shape[0]), None
        y = lg.conv_general(x, w, **how)
        for f in (lambda x: lg.conv_general(x, w, **how), lambda x: lg.conv_general(x, w, **how) + b,
                  lambda x: y * 0.5 + (lg.conv_general(x, w, **how) + b)):
            got = np.array(f(x).astype(lg.float32))
            with lg.stream(lg.cpu):
                want = np.array(f(x).astype(lg.float32))
            np.testing.assert_allclose(got, want, rtol=1e-2, atol=2e-2)
    for dtype in (lg.float16, lg.bfloat16):
        check(made(dtype, 2, 64, 66, 64), made(dtype, 4, 3, 3, 64), padding=1)
        check(made(dtype, 1, 96, 90, 72), made(dtype, 3, 3, 2, 72), padding=([1, 2], [0, 1]), kernel_dilation=2,
              flip=True)
        check(made(dtype, 1, 8300, 64), made(dtype, 2, 5, 64), padding=2)
    print("right")
    """
    knobs = {} if blas else {"LEGATO_CUBLASLT": "/nowhere", "LEGATO_CUDNN": "/nowhere"}
    assert run(program, cache, **knobs) == "right"


def test_concatenations_at_any_column(cache):
    program = """
    rng = np.random.default_rng(4)
    for dtype in (np.int8, np.float16, np.float32, np.float64):
        a = rng.integers(-9, 9, (37, 96)).astype(dtype)
        x = lg.array(a)
        for at in (1, 7, 16, 33, 95):
            same = lambda y, want: np.testing.assert_array_equal(np.array(y), want)
            same(lg.concatenate([x[:, at:], x[:, :at]], axis=1), np.concatenate([a[:, at:], a[:, :at]], 1))
            parts = [(0, 3), (3, at), (at, at + 1), (90, 96), (at + 1, 96 + 3 - at % 4)]
            cut = [slice(i, max(i, min(j, 96))) for i, j in parts]
            same(lg.concatenate([x[:, c] for c in cut], axis=1), np.concatenate([a[:, c] for c in cut], 1))
            same(lg.concatenate([x[at % 37:], x[:at % 37]]), np.concatenate([a[at % 37:], a[:at % 37]]))
        b = a.reshape(37, 4, 24)
        y = lg.array(b)
        same(lg.concatenate([y[:, 1:, :5], y[:, 1:, 5:]], axis=2), b[:, 1:])
        same(lg.concatenate([y[:, 1:], y[:, :1]], axis=1), np.concatenate([b[:, 1:], b[:, :1]], 1))
        turned = np.concatenate([b[::2, :, 3:], b[::-2, :, :3]], 2)
        same(lg.concatenate([y[::2, :, 3:], y[::-2, :, :3]], axis=2), turned)
        # Of a part that repeats one element over the rows.
        repeated = np.broadcast_to(a[0, :8, None, None], (8, 3, 1))
        one = lg.broadcast_to(x[0, :8, None, None], (8, 3, 1))
        rest = np.arange(8 * 3 * 15).astype(dtype).reshape(8, 3, 15)
        same(lg.concatenate([one, lg.array(rest)], axis=2), np.concatenate([repeated, rest], 2))
    print("right")
    """
    assert run(program, cache) == "right"
