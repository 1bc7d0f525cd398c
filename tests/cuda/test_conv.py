"""Legato's own convolutions in float32 on the emulated GPU, beside the CPU's: tiles, few channels, what is added behind
them; and group norm whose samples are small enough for a block."""

from test_emulated import pytestmark, run  # noqa: F401

HEAD = """
rng = np.random.default_rng(0)
draw = lambda *shape: rng.standard_normal(shape).astype(np.float32)
def names(f):
    with lg.profile() as p:
        lg.eval(f())
    return [s["name"] for s in p.steps]
def both(f, *given, rtol=2e-4):
    got = f(*(lg.array(a) for a in given))
    lg.eval(got)
    with lg.stream(lg.cpu):
        want = f(*(lg.array(a) for a in given))
        lg.eval(want)
    for g, w in zip(got, want):
        g, w = np.array(g), np.array(w)
        assert g.shape == w.shape
        np.testing.assert_allclose(g, w, rtol=rtol, atol=rtol * max(1, np.abs(w).max()))
"""


def test_few_and_many_channels_with_all_gradients(cache):
    program = (
        HEAD
        + """
def case(n, side, c, o, k=3, groups=1, **how):
    x, w = draw(n, side, side + 1, c), draw(o, k, k, c // groups)
    f = lambda x, w: lg.conv_general(x, w, groups=groups, **how)
    y = f(lg.array(x), lg.array(w))
    g = draw(*y.shape)
    def all_of(x, w, g):
        out, slopes = lg.vjp(f, [x, w], [g])
        return [*out, *slopes]
    both(all_of, x, w, g)
case(3, 5, 1, 8, padding=1)
case(2, 6, 8, 1, padding=1)
case(2, 6, 32, 3, padding=1)
case(3, 5, 3, 6, stride=2, padding=1)
case(2, 7, 4, 4, padding=1, kernel_dilation=2)
case(5, 6, 16, 20, padding=1)
case(9, 4, 64, 64, padding=1)
case(4, 9, 32, 68, stride=2, padding=1)
case(2, 5, 20, 132, padding=1, input_dilation=2)
case(2, 5, 24, 36, padding=1, flip=True)
case(3, 6, 16, 24, groups=2, padding=1)
case(3, 6, 8, 12, groups=4, padding=1)
case(2, 6, 1, 4, padding=1, flip=True)
case(2, 5, 48, 16, k=1)
print("right")
"""
    )
    assert run(program, cache, LEGATO_CUDNN="/nowhere/libcudnn.so") == "right"
    assert run(program, cache) == "right"


def test_a_bias_and_a_residual_are_added_by_the_convolution(cache):
    program = (
        HEAD
        + """
def case(n, side, c, o, residual, joined=True):
    x, w, b, r = draw(n, side, side, c), draw(o, 3, 3, c), draw(o), draw(n, side, side, o)
    def f(x, w, b, r):
        y = lg.conv2d(x, w, padding=1) + b
        return [y + r if residual else y]
    both(f, x, w, b, r)
    arrays = [lg.array(a) for a in (x, w, b, r)]
    ran = names(lambda: f(*arrays))
    assert any(n.startswith("conv+") for n in ran), ran
for residual in (False, True):
    case(3, 5, 1, 8, residual)
    case(2, 6, 8, 1, residual)
    case(5, 6, 16, 20, residual)
    case(9, 4, 64, 64, residual)
    case(2, 5, 3, 6, residual)  # no kernel adds here: declined
print("right")
"""
    )
    assert run(program, cache, LEGATO_COMPILE="wait") == "right"


def test_group_norm_of_small_samples_with_its_gradients(cache):
    program = (
        HEAD
        + """
def case(n, side, c, groups, dtype=lg.float32, rtol=2e-4):
    x, w, b, g = draw(n, side, side, c) + 3, draw(c), draw(c), draw(n, side, side, c)
    def f(x, w, b):
        import legato.nn as nn
        norm = nn.GroupNorm(groups, c, pytorch_compatible=True)
        norm.weight, norm.bias = w, b
        return norm(x)
    def all_of(x, w, b, g):
        x, w, b, g = (a.astype(dtype) for a in (x, w, b, g))
        out, slopes = lg.vjp(f, [x, w, b], [g])
        return [a.astype(lg.float32) for a in [*out, *slopes]]
    both(all_of, x, w, b, g, rtol=rtol)
case(3, 4, 8, 2)
case(40, 4, 32, 8)
case(300, 2, 16, 4)
case(70, 3, 24, 3)
case(2, 8, 32, 8)
case(33, 5, 48, 12)
case(40, 4, 64, 8, lg.float16, 2e-2)
case(9, 16, 32, 4)
print("right")
"""
    )
    assert run(program, cache, LEGATO_COMPILE="wait") == "right"
