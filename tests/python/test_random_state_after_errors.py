"""A function that throws inside a transform leaves the thread's random state as it was."""

import contextlib

import pytest

import legato.core as mx


class Stop(Exception):
    pass


def draws_and_throws(x, *rest):
    mx.random.uniform(shape=(2,))
    y = x * mx.random.normal(x.shape)
    mx.random.uniform()
    raise Stop
    return y


@mx.custom_function
def throws_backwards(x):
    return x * mx.random.normal(x.shape)


@throws_backwards.vjp
def _(primals, cotangent, output):
    draws_and_throws(primals)


@throws_backwards.jvp
def _(primals, tangents):
    draws_and_throws(primals)


@throws_backwards.vmap
def _(inputs, axes):
    draws_and_throws(inputs)


STATE = mx.random.state
TRANSFORMS = {
    "grad": mx.grad(draws_and_throws),
    "value_and_grad": mx.value_and_grad(draws_and_throws),
    "vjp": lambda x: mx.vjp(draws_and_throws, [x], [x]),
    "jvp": lambda x: mx.jvp(draws_and_throws, [x], [x]),
    "vmap": mx.vmap(draws_and_throws),
    "checkpoint": mx.checkpoint(draws_and_throws),
    "custom_function": mx.custom_function(draws_and_throws),
    "compile": mx.compile(draws_and_throws),
    "compile with the state": mx.compile(draws_and_throws, inputs=STATE, outputs=STATE),
    "shapeless compile": mx.compile(draws_and_throws, shapeless=True),
    "grad of vmap": mx.grad(lambda x: mx.vmap(draws_and_throws)(x).sum()),
    "compile of grad": mx.compile(mx.grad(draws_and_throws)),
    "a vjp rule": lambda x: mx.grad(lambda x: throws_backwards(x).sum())(x),
    "a jvp rule": lambda x: mx.jvp(throws_backwards, [x], [x]),
    "a vmap rule": lambda x: mx.vmap(throws_backwards)(x),
}


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("computed", [True, False], ids=["words", "an array"])
def test_the_state_is_put_back(name, computed):
    mx.random.seed(7)
    if not computed:
        mx.random.state[0] = mx.random.key(3) + mx.array([0, 1], mx.uint32)
    before = mx.random.state[0]
    for _ in range(2):
        with pytest.raises(Stop):
            TRANSFORMS[name](mx.ones((3,)))
        assert mx.random.state[0].tolist() == before.tolist()


def test_what_was_drawn_stays_drawn_without_an_exception():
    mx.random.seed(7)
    first = mx.random.uniform().item()
    mx.random.seed(7)
    mx.grad(lambda x: x * mx.random.uniform())(mx.array(1.0))
    assert mx.random.uniform().item() != first


def test_an_exception_that_the_function_itself_catches_changes_nothing():
    def f(x):
        with contextlib.suppress(Stop):
            mx.grad(draws_and_throws)(x)
        return x * mx.random.uniform()

    mx.random.seed(7)
    want = mx.random.uniform().item()
    mx.random.seed(7)
    assert mx.value_and_grad(f)(mx.array(1.0))[0].item() == pytest.approx(want)
