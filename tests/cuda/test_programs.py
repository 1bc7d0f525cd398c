"""Fused programs on the emulated GPU: compiled in the background, put together of parts meanwhile, and without a
compiler at all. Whatever way a program runs, its results are the same to the bit."""

import pytest
from test_emulated import pytestmark, run  # noqa: F401

# Every pointwise function of one or two arguments, compared with the CPU bit by bit (a nan is a nan). Functions that
# call the C library may differ by its ULP on a real GPU, but the emulated one has the same library. Functions of halves
# may be rounded to a neighbour (Note [Functions of halves] in scalar_half.h; test_half_functions.py).
FUNCTIONS = """
import sys
rng = np.random.default_rng(0)
unary = '''negative abs sign square reciprocal sqrt rsqrt cbrt floor ceil trunc round isnan isinf isfinite isneginf
    isposinf signbit logical_not bitwise_invert exp exp2 expm1 log log2 log10 log1p sigmoid sin cos tan arcsin arccos
    arctan sinh cosh tanh arcsinh arccosh arctanh erf erfc erfinv lgamma digamma i0e i1e real imag conjugate'''.split()
binary = '''add subtract multiply divide floor_divide remainder fmod power maximum minimum hypot copysign nextafter
    equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor bitwise_and bitwise_or
    bitwise_xor left_shift right_shift logaddexp arctan2 xlogy'''.split()
dtypes = 'bool uint8 int8 uint16 int32 uint64 int64 float16 float32 float64 complex64'.split()

def values(dtype, n=37):
    if dtype.kind == 'b':
        return rng.integers(0, 2, n).astype(bool)
    if dtype.kind in 'iu':
        limits = np.iinfo(dtype)
        a = rng.integers(limits.min, limits.max, n, dtype=dtype, endpoint=True)
        a[:20] = rng.integers(0, 9, 20)
        a[20:24] = [0, limits.max, limits.min, 1]
        return a
    if dtype.kind == 'c':
        return (values(np.dtype('f8')) + 1j * values(np.dtype('f8'))[::-1]).astype(dtype)
    a = rng.standard_normal(n) * rng.choice([1, 10, 100, 1e-3], n)
    a[:9] = [0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 0.5, 2]
    return a.astype(dtype)

def same(got, want):
    if got.dtype != want.dtype or got.shape != want.shape:
        return False
    if got.dtype.kind in 'fc':
        if not np.array_equal(np.isnan(got), np.isnan(want)):
            return False
        got, want = (np.where(np.isnan(a), 0, a) for a in (got, want))
    if got.dtype == np.float16:
        bits = [np.where(a < 0, -1, 1) * (a.view(np.uint16) & 0x7fff).astype(int) for a in (got, want)]
        return np.array_equal(np.signbit(got), np.signbit(want)) and np.abs(bits[0] - bits[1]).max(initial=0) <= 1
    return got.tobytes() == want.tobytes()

checked, wrong = 0, []
for name in dtypes:
    a, b = values(np.dtype(name)), values(np.dtype(name))
    calls = [(f, lambda x, y, f=f: getattr(lg, f)(x)) for f in unary]
    calls += [(f, lambda x, y, f=f: getattr(lg, f)(x, y)) for f in binary]
    calls += [('to ' + t, lambda x, y, t=t: x.astype(getattr(lg, t + '_' if t == 'bool' else t))) for t in dtypes]
    calls += [('where', lambda x, y: lg.where(x != y, x, y))]
    calls += [('broadcast', lambda x, y: lg.maximum(x[:, None], y[None, ::2])) if name != 'complex64' else calls[0]]
    for label, f in calls:
        try:
            with lg.stream(lg.cpu):
                want = np.array(f(lg.array(a), lg.array(b)))
        except (ValueError, TypeError):
            continue                      # not a function of this data type
        got = np.array(f(lg.array(a), lg.array(b)))
        checked += 1
        if not same(got, want):
            wrong.append((label, name))
print(checked > 400, wrong)
"""


def test_without_a_compiler_every_pointwise_function_still_works(tmp_path):
    assert run(FUNCTIONS, str(tmp_path), LEGATO_NVRTC="/nowhere/libnvrtc.so") == "True []"


def test_without_a_compiler_the_rest_works_too(tmp_path):
    program = """
    x = lg.array(np.linspace(-2, 2, 60, dtype=np.float32).reshape(3, 4, 5))
    def f(x):
        y = x.transpose(2, 0, 1).astype(lg.float16) * 2 + x[:, :, 0]
        return lg.sum(lg.exp(y) * lg.tanh(y)) + lg.mean((x + 1j) * (x - 1j)).real
    with lg.stream(lg.cpu):
        want = lg.value_and_grad(f)(x)
        want = [np.array(a) for a in want]
    for got, w in zip(lg.value_and_grad(f)(x), want):
        np.testing.assert_allclose(np.array(got), w, rtol=1e-3, atol=1e-3)
    print("right")
    """
    assert run(program, str(tmp_path), LEGATO_NVRTC="/nowhere/libnvrtc.so") == "right"


CHAINS = """
import zlib
rng = np.random.default_rng(1)
x = lg.array(rng.standard_normal((7, 9)).astype(np.float32))
h, b = x.astype(lg.float16), x.astype(lg.bfloat16)
i = lg.array(rng.integers(-9, 9, (7, 9)).astype(np.int32))
def gelu(v): return v * (1 + lg.erf(v * 0.7071)) / 2
def adam(p, g, m, v):
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g * g
    return p - 1e-3 * m / (lg.sqrt(v) + 1e-8), m, v
def results():
    yield gelu(x), gelu(h), gelu(b)
    yield adam(x, x * 2, x - 1, x * x)
    yield adam(b, (h * 2).astype(lg.float32), x - 1, x * x)
    yield lg.where(x > 0, h, b * 3).astype(lg.float16), (i // 3 + i % 4) * (x > 0), lg.sin(x * 1e5) + lg.cos(h)
    yield x.T[:, ::-1] * 2 + lg.exp(h.T[:, ::-1]), x[:, :1] + b[:1] * i
    yield lg.sqrt(abs(x)) ** 3, (x * 1j + h) * x
    y = x * 2
    yield lg.square(y * y - x), lg.where(x > 0, y, y) * 3
    y = x * 2
    yield y, y + 1, (y + 1) * b
total = 0
for k in range(2):
    for arrays in results():
        lg.eval(*arrays)
        for a in arrays:
            bits = np.array(a.astype(lg.float32) if a.dtype == lg.bfloat16 else a)
            total = zlib.crc32(bits.tobytes(), total)
print(total)
"""


def test_results_are_the_same_to_the_bit_however_a_program_runs(cache):
    want = run(CHAINS, cache, LEGATO_COMPILE="wait")
    assert run(CHAINS, cache, LEGATO_COMPILE="background") == want
    assert run(CHAINS, cache, LEGATO_COMPILE="never") == want
    assert run(CHAINS, cache, LEGATO_NVRTC="/nowhere/libnvrtc.so") == want
    assert run("lg.set_default_device(lg.cpu)\n" + CHAINS, cache) == want


def test_a_program_that_cannot_be_compiled_runs_by_its_parts(tmp_path):
    # Which one is compiled second depends on threads, and complex programs have no parts.
    chains = CHAINS.replace(", (x * 1j + h) * x", "")
    assert chains != CHAINS
    assert run(chains, str(tmp_path / "a"), LEGATO_COMPILE="wait") == run(
        chains, str(tmp_path / "b"), LEGATO_EMULATOR_FAIL="nvrtc:2"
    )


def test_a_program_without_parts_that_cannot_be_compiled_raises_once(tmp_path):
    program = """
    x = lg.array([1 + 2j])
    for k in range(3):
        try:
            print((x * x + 1).item())
        except RuntimeError as e:
            print("told to fail" in str(e))
    """
    said = run(program, str(tmp_path), LEGATO_EMULATOR_FAIL="nvrtc:1")
    assert said.split("\n") == ["True", "(-2+4j)", "(-2+4j)"]


@pytest.mark.parametrize("offset", [0, 1])
def test_a_new_shape_compiles_nothing(offset, tmp_path):
    program = f"""
    import os
    folder = os.environ["LEGATO_CACHE_DIR"]
    def f(x, y): return lg.tanh(x * 2 + y) - y
    def made(*shape): return lg.array(np.ones(shape, np.float32))
    def compiled(): return len([n for n in os.listdir(folder) if n.endswith(".cubin")])
    first = None
    for n in (1, 2, 3, 63, 1000):
        if n == 3: first = compiled()   # by then each way to read the operands has come up
        lg.eval(f(made(n + {offset})[{offset}:], made(n + {offset})[{offset}:]))
        lg.eval(f(made(n, 8), made(8)), f(made(n, 3, 12), made(n, 1, 1)), f(made(2, n, 12), made(n, 12)))
        lg.eval(f(made(n, 7), made(7)), f(made(n, 3, 5), made(n, 1, 1)), f(made(2, 3, n, 2, 3), made(3, 1, 2, 1)))
    print(first > 0, compiled() - first)
    """
    assert run(program, str(tmp_path), LEGATO_COMPILE="wait") == "True 0"


def test_a_process_may_end_while_programs_are_compiled(tmp_path):
    program = """
    x = lg.array([1.0, 2.0, 3.0])
    print((x * 2 + lg.exp(x)).tolist()[0] > 4.7)
    """
    for n in range(8):  # it crashed once in six
        assert run(program, str(tmp_path / str(n)), LEGATO_COMPILE="background") == "True"
