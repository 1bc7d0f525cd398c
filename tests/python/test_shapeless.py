"""Functions compiled for one shape and called with others: what reads a size reads it again."""

import numpy as np
import pytest

import legato.core as mx

RNG = np.random.default_rng(0)


def draw(*shape):
    return mx.array(RNG.standard_normal(shape).astype(np.float32))


def attention(q, k, v):
    return mx.fast.scaled_dot_product_attention(q, k, v, scale=0.5, mask="causal").sum()


FUNCTIONS = {
    "broadcasting sums": (lambda x, b: mx.sum((x + b) ** 2), [(3, 5), (5,)], [(7, 4), (4,)]),
    "matmul, softmax": (
        lambda x, w: mx.sum(mx.softmax(x @ w, axis=-1) ** 2),
        [(3, 5), (5, 4)],
        [(6, 2), (2, 9)],
    ),
    "conv": (
        lambda x, w: mx.sum(mx.conv2d(x, w) ** 2),
        [(1, 6, 6, 2), (3, 2, 2, 2)],
        [(2, 9, 7, 2), (4, 3, 3, 2)],
    ),
    "norm and mean": (
        lambda x, w: mx.mean(mx.fast.rms_norm(x, w, 1e-5) * x),
        [(3, 5), (5,)],
        [(2, 8), (8,)],
    ),
    "indices": (lambda x, y: mx.sum(x[::2, None] * y[-1]), [(6, 3), (2, 3)], [(9, 4), (5, 4)]),
    "concatenate, roll": (
        lambda x, y: mx.sum(mx.roll(mx.concatenate([x, y]), 1) * mx.arange(1.0, 2.0, 1.0)),
        [(3, 2), (4, 2)],
        [(5, 3), (1, 3)],
    ),
    "attention": (
        lambda q, k: attention(q, k, k),
        [(1, 2, 3, 4), (1, 2, 5, 4)],
        [(2, 2, 6, 4), (2, 2, 7, 4)],
    ),
    "sort, max": (lambda x, y: mx.sum(mx.sort(x) * mx.max(y)), [(5,), (3,)], [(8,), (6,)]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    "transform",
    [
        lambda f: lambda x, y: [f(x, y)],
        lambda f: mx.grad(f, argnums=(0, 1)),
        lambda f: lambda x, y: mx.vjp(f, [x, y], [mx.array(2.0)])[1],
        lambda f: lambda x, y: mx.jvp(f, [x, y], [mx.ones_like(x), y * 2])[1],
        lambda f: mx.grad(lambda x, y: mx.sum(mx.grad(f)(x, y) ** 2), argnums=(0, 1)),
        lambda f: mx.grad(mx.checkpoint(f), argnums=(0, 1)),
        lambda f: lambda x, y: mx.compile(f)(x, y),
        lambda f: lambda x, y: mx.vmap(f, in_axes=(0, None))(mx.stack([x, x * 2]), y),
        lambda f: lambda x, y: mx.vmap(mx.grad(f), in_axes=(None, 0))(x, mx.stack([y, y, -y])),
    ],
    ids=[
        "call",
        "grad",
        "vjp",
        "jvp",
        "second derivative",
        "checkpoint",
        "compiled inside",
        "vmap",
        "vmap of grad",
    ],
)
def test_transforms_inside_a_shapeless_function(name, transform):
    f, first, second = FUNCTIONS[name]
    direct = transform(f)
    compiled = mx.compile(direct, shapeless=True)
    for shapes in (first, second, first, second):
        inputs = [draw(*s) for s in shapes]
        want, got = direct(*inputs), compiled(*inputs)
        want = want if isinstance(want, (list, tuple)) else [want]
        got = got if isinstance(got, (list, tuple)) else [got]
        for w, g in zip(want, got, strict=True):
            assert g.shape == w.shape
            np.testing.assert_allclose(np.array(g), np.array(w), rtol=2e-4, atol=2e-5)


def test_a_custom_function_inside_a_shapeless_one():
    @mx.custom_function
    def double(x):
        return mx.concatenate([x, x])

    @double.vjp
    def double_vjp(primals, cotangent, output):
        return mx.ones_like(primals) * 3

    f = mx.compile(lambda x: mx.grad(lambda x: double(x).sum())(x), shapeless=True)
    assert f(mx.zeros(2)).tolist() == [3, 3]
    assert f(mx.zeros(4)).tolist() == [3] * 4
    g = mx.compile(lambda x: double(x), shapeless=True)
    assert g(mx.zeros(2)).shape == (4,)
    assert g(mx.zeros(5)).shape == (10,)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: mx.random.bernoulli(x),
        lambda x: mx.random.categorical(x),
        lambda x: mx.random.permutation(x),
        lambda x: mx.random.truncated_normal(x, 2.0),
    ],
)
def test_random_numbers_of_the_shape_of_an_input(f):
    state = mx.random.state
    compiled = mx.compile(f, shapeless=True, inputs=state, outputs=state)
    for n in (3, 7, 3):
        x = mx.full((2, n), 0.5)
        mx.random.seed(n)
        want = f(x).tolist()
        mx.random.seed(n)
        assert compiled(x).tolist() == want


def test_a_target_shape_that_the_caller_wrote_stays():
    f = mx.compile(lambda x: mx.reshape(x, (3, 5)), shapeless=True)
    assert f(mx.zeros((3, 5))).shape == (3, 5)
    assert f(mx.zeros((15, 1))).shape == (3, 5)
    with pytest.raises(ValueError, match="reshape"):
        f(mx.zeros((4, 5)))
    g = mx.compile(lambda x: mx.broadcast_to(x, (3, 5)), shapeless=True)
    assert g(mx.zeros((3, 5))).shape == (3, 5)
    assert g(mx.zeros((1, 5))).shape == (3, 5)


def test_places_to_cut_stay():
    f = mx.compile(lambda x: mx.split(x, [1, 2]), shapeless=True)
    assert [p.shape for p in f(mx.zeros(4))] == [(1,), (1,), (2,)]
    assert [p.shape for p in f(mx.zeros(9))] == [(1,), (1,), (7,)]


READERS = {
    "a factor": lambda x: x * x.shape[0],
    "a mean by hand": lambda x: x.sum() / x.size,
    "len": lambda x: x * len(x),
    "a new array": lambda x: mx.zeros(x.shape) + 1,
    "a range": lambda x: mx.arange(x.shape[0]),
    "a branch": lambda x: x * 2 if x.shape[0] > 3 else x * 10,
    "a reshape": lambda x: mx.reshape(x, (x.shape[0] * x.shape[1],)),
    "a slice": lambda x: x[x.shape[0] // 2 :],
    "rows": lambda x: sum((row for row in x), mx.zeros(x.shape[1:])),
    "a size of what is thrown away": lambda x: x.sum() * mx.concatenate([x, x]).shape[0],
    "inside grad": mx.grad(lambda x: (x * x).sum() * x.shape[0]),
    "inside vmap": mx.vmap(lambda row: row * row.shape[0]),
    "inside a compiled function": mx.compile(lambda x: x * x.shape[0]),
    "inside a shapeless one": mx.compile(lambda x: x * x.shape[0], shapeless=True),
    "inside checkpoint": lambda x: mx.checkpoint(lambda y: y * y.shape[1])(x),
    "random numbers": lambda x: x + 0 * mx.random.normal(x.shape),
}


@pytest.mark.parametrize("name", READERS)
def test_a_size_that_python_reads_is_right_for_other_shapes(name):
    f = READERS[name]
    compiled = mx.compile(f, shapeless=True)
    for shape in ((3, 4), (5, 4), (4, 6), (3, 4), (5, 4)):
        x = draw(*shape)
        want, got = f(x), compiled(x)
        assert got.shape == want.shape
        np.testing.assert_allclose(np.array(got), np.array(want), rtol=2e-4, atol=2e-5)


def test_a_function_runs_again_only_for_sizes_that_it_read():
    runs = []

    def f(x, y):
        runs.append(x.shape)
        return x.sum() / x.size + y.sum()

    compiled = mx.compile(f, shapeless=True)
    for n in (2, 3, 2, 3):
        for m in (4, 5, 6):
            compiled(mx.ones(n), mx.ones(m))
    assert runs == [(2,), (3,)]


def test_sizes_read_of_constants_and_of_other_threads_arrays_do_not_count():
    table = mx.ones((4, 2))
    runs = []

    def f(x):
        runs.append(len(table))
        return x * len(table)

    compiled = mx.compile(f, shapeless=True)
    for n in (2, 3, 5):
        assert compiled(mx.ones(n)).tolist() == [4] * n
    assert runs == [4]
