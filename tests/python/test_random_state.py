"""random.state: the thread's key as an object in trees, and randomness in transformed functions."""

import threading

import numpy as np
import pytest

import legato.core as mx


def draw(n=3):
    return mx.random.uniform(shape=[n])


def test_seed_repeats_the_numbers():
    mx.random.seed(7)
    first = [draw().tolist() for _ in range(3)]
    mx.random.seed(7)
    assert [draw().tolist() for _ in range(3)] == first
    assert first[0] != first[1]
    mx.random.seed(2**64 - 1)
    with pytest.raises(TypeError, match="seed"):
        mx.random.seed("x")


def test_state_is_a_sequence_of_one_key():
    mx.random.seed(3)
    state = mx.random.state
    assert len(state) == 1
    assert state[0].tolist() == [0, 3]
    key = state[0]
    first = draw().tolist()
    assert state[0].tolist() != key.tolist()
    state[0] = key
    assert draw().tolist() == first
    assert [k.dtype for k in state] == [mx.uint32]
    with pytest.raises(IndexError):
        state[1]
    with pytest.raises(ValueError, match="key"):
        state[0] = mx.array([1.0])


def test_each_thread_has_its_own_state():
    mx.random.seed(1)
    expected = draw().tolist()
    mx.random.seed(1)
    other = []

    def work():
        mx.random.seed(1)
        other.append(draw().tolist())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert other == [expected]
    assert draw().tolist() == expected


def test_compiled_functions_are_random_if_the_state_is_listed():
    def f(x):
        return x + draw()

    mx.random.seed(5)
    expected = [f(mx.zeros((3,))).tolist() for _ in range(3)]
    c = mx.compile(f, inputs=mx.random.state, outputs=mx.random.state)
    mx.random.seed(5)
    assert [c(mx.zeros((3,))).tolist() for _ in range(3)] == expected
    mx.random.seed(5)
    listed = mx.compile(f, inputs=[{"r": mx.random.state}], outputs=[{"r": mx.random.state}])
    assert [listed(mx.zeros((3,))).tolist() for _ in range(3)] == expected
    frozen = mx.compile(f)
    assert frozen(mx.zeros((3,))).tolist() == frozen(mx.zeros((3,))).tolist()


def test_an_exception_in_a_compiled_function_restores_the_state():
    def f(x):
        draw()
        raise KeyError(x)

    mx.random.seed(5)
    before = mx.random.state[0].tolist()
    with pytest.raises(KeyError):
        mx.compile(f, inputs=mx.random.state, outputs=mx.random.state)(mx.array(1.0))
    assert mx.random.state[0].tolist() == before
    assert np.all(np.array(draw()) < 1)


def test_a_training_step_with_dropout_compiles():
    w = {"w": mx.array([2.0, 3.0])}
    state = [w, mx.random.state]

    def loss(p, x):
        return (p["w"] * x * mx.random.bernoulli(0.5, [2])).sum()

    def step(x):
        value, grads = mx.value_and_grad(loss)(w, x)
        w["w"] = w["w"] - 0.1 * grads["w"]
        return value

    mx.random.seed(9)
    c = mx.compile(step, inputs=state, outputs=state)
    compiled = [(c(mx.ones((2,))).item(), w["w"].tolist()) for _ in range(5)]
    w["w"] = mx.array([2.0, 3.0])
    mx.random.seed(9)
    eager = [(step(mx.ones((2,))).item(), w["w"].tolist()) for _ in range(5)]
    assert compiled == eager
