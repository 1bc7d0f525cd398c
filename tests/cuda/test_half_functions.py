"""Functions of halves, which a GPU computes by approximations (Note [Functions of halves] in scalar_half.h)."""

from pathlib import Path

from test_emulated import pytestmark, run  # noqa: F401

EVERY = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import half_functions
half_functions.main()
"""
# One program, and its parts.
PARTS = """
import zlib
bits = np.arange(65536, dtype=np.uint16)
x = lg.array(bits.view(np.float16))
def f(x):
    y = lg.exp(x) / (1 + lg.tanh(x)) - lg.log(lg.abs(x))
    return y * lg.erf(lg.rsqrt(y) + lg.sigmoid(x)), lg.log1p(lg.expm1(x)).astype(lg.float32)
a, b = f(x)
lg.eval(a, b)
print(zlib.crc32(np.array(a).tobytes()), zlib.crc32(np.array(b).tobytes()))
"""


def test_functions_of_every_half_are_right(cache):
    assert run(EVERY, cache, LEGATO_COMPILE="wait") == "[]"


def test_functions_of_every_half_are_right_without_a_compiler(tmp_path):
    assert run(EVERY, str(tmp_path), LEGATO_NVRTC="/nowhere/libnvrtc.so") == "[]"


def test_functions_of_halves_have_the_same_bits_whole_and_in_parts(cache):
    whole = run(PARTS, cache, LEGATO_COMPILE="wait")
    assert run(PARTS, cache, LEGATO_COMPILE="never") == whole
