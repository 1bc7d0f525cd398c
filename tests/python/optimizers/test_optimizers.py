"""Optimizers against their formulas in NumPy, and how their state behaves."""

import copy
import doctest
import importlib
import math

import numpy as np
import pytest

import legato.core as mx
import legato.optimizers as optim
from legato import nn
from legato.utils import tree_flatten, tree_unflatten

RNG = np.random.default_rng(0)
SHAPES = {"matrix": (6, 4), "vector": (4,), "kernel": (2, 3, 5), "wide": (3, 6)}
START = {name: RNG.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
GRADIENTS = [
    {name: RNG.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
    for _ in range(4)
]


def rms(x):
    return np.sqrt(np.mean(np.square(x)))


# Each reference is fn(w, g, state, step, lr) -> new w, with a dict of its own as state.


def sgd(momentum=0.0, weight_decay=0.0, dampening=0.0, nesterov=False):
    def step(w, g, s, t, lr):
        g = g + weight_decay * w
        if momentum:
            s["v"] = momentum * s.get("v", 0) + (1 - dampening) * g
            g = g + momentum * s["v"] if nesterov else s["v"]
        return w - lr * g

    return step


def rmsprop(w, g, s, t, lr):
    s["v"] = 0.9 * s.get("v", 0) + 0.1 * g**2
    return w - lr * g / (np.sqrt(s["v"]) + 1e-8)


def adagrad(w, g, s, t, lr):
    s["v"] = s.get("v", 0) + g**2
    return w - lr * g / (np.sqrt(s["v"]) + 1e-8)


def adadelta(w, g, s, t, lr):
    s["v"] = 0.8 * s.get("v", 0) + 0.2 * g**2
    delta = g * np.sqrt(s.get("u", 0) + 1e-4) / np.sqrt(s["v"] + 1e-4)
    s["u"] = 0.8 * s.get("u", 0) + 0.2 * delta**2
    return w - lr * delta


def adam(weight_decay=0.0, bias_correction=False):
    def step(w, g, s, t, lr):
        s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
        s["v"] = 0.999 * s.get("v", 0) + 0.001 * g**2
        m, v = s["m"], s["v"]
        if bias_correction:
            m, v = m / (1 - 0.9**t), v / (1 - 0.999**t)
        return w * (1 - lr * weight_decay) - lr * m / (np.sqrt(v) + 1e-8)

    return step


def adamax(w, g, s, t, lr):
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["v"] = np.maximum(0.999 * s.get("v", 0), np.abs(g))
    return w - lr * s["m"] / (s["v"] + 1e-8)


def lion(w, g, s, t, lr):
    m = s.get("m", 0)
    s["m"] = 0.99 * m + 0.01 * g
    return w * (1 - lr * 0.1) - lr * np.sign(0.9 * m + 0.1 * g)


def adafactor(beta_1=None, weight_decay=0.0, relative=True, warmup=False, scale=True):
    def step(w, g, s, t, lr):
        if relative:
            lr = min(1e-6 * t if warmup else 1e-2, 1 / math.sqrt(t))
        if scale:
            lr = lr * max(1e-3, rms(w))
        keep = 1 - t**-0.8
        square = g**2 + 1e-30
        if g.ndim >= 2:
            s["r"] = keep * s.get("r", 0) + (1 - keep) * square.mean(-1)
            s["c"] = keep * s.get("c", 0) + (1 - keep) * square.mean(-2)
            v = (s["r"] / s["r"].mean(-1, keepdims=True))[..., None] * s["c"][..., None, :]
        else:
            s["v"] = v = keep * s.get("v", 0) + (1 - keep) * square
        change = g / np.sqrt(v)
        change = lr * change / max(1, rms(change))
        if beta_1:
            s["m"] = change = beta_1 * s.get("m", 0) + (1 - beta_1) * change
        return w * (1 - lr * weight_decay) - change

    return step


def muon(w, g, s, t, lr):
    g = g + 0.01 * w
    s["v"] = 0.95 * s.get("v", 0) + 0.05 * g
    change = 0.05 * g + 0.95 * s["v"]
    if g.ndim < 2:
        return w - lr * change
    x = change.reshape(len(change), -1)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / np.linalg.norm(x)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    x = x.T if tall else x
    return w - lr * max(1, x.shape[0] / x.shape[1]) ** 0.5 * x.reshape(w.shape)


CASES = {
    "SGD": (lambda: optim.SGD(0.1), sgd()),
    "SGD momentum": (
        lambda: optim.SGD(0.1, 0.9, weight_decay=0.1, dampening=0.2),
        sgd(0.9, 0.1, 0.2),
    ),
    "SGD nesterov": (lambda: optim.SGD(0.1, 0.9, nesterov=True), sgd(0.9, nesterov=True)),
    "RMSprop": (lambda: optim.RMSprop(0.1, alpha=0.9), rmsprop),
    "Adagrad": (lambda: optim.Adagrad(0.1), adagrad),
    "AdaDelta": (lambda: optim.AdaDelta(0.1, rho=0.8, eps=1e-4), adadelta),
    "Adam": (lambda: optim.Adam(0.1), adam()),
    "Adam corrected": (
        lambda: optim.Adam(0.1, bias_correction=True),
        adam(bias_correction=True),
    ),
    "AdamW": (lambda: optim.AdamW(0.1, weight_decay=0.1), adam(0.1)),
    "AdamW corrected": (lambda: optim.AdamW(0.1, bias_correction=True), adam(0.01, True)),
    "Adamax": (lambda: optim.Adamax(0.1), adamax),
    "Lion": (lambda: optim.Lion(0.1, weight_decay=0.1), lion),
    "Adafactor": (lambda: optim.Adafactor(), adafactor()),
    "Adafactor with all": (
        lambda: optim.Adafactor(beta_1=0.9, weight_decay=0.1, warmup_init=True),
        adafactor(0.9, 0.1, warmup=True),
    ),
    "Adafactor with a rate": (
        lambda: optim.Adafactor(0.1, relative_step=False, scale_parameter=False),
        adafactor(relative=False, scale=False),
    ),
    "Muon": (lambda: optim.Muon(0.1), muon),
}
STATES = {
    "SGD": ["v"],
    "RMSprop": ["v"],
    "Adagrad": ["v"],
    "AdaDelta": ["v", "u"],
    "Adam": ["m", "v"],
    "AdamW": ["m", "v"],
    "Adamax": ["m", "v"],
    "Lion": ["m"],
    "Muon": ["v"],
}


def arrays(tree):
    return {name: mx.array(value) for name, value in tree.items()}


@pytest.mark.parametrize("case", CASES)
def test_steps_follow_the_formula(case):
    make, reference = CASES[case]
    optimizer = make()
    found = arrays(START)
    expected = {name: w.astype(np.float64) for name, w in START.items()}
    states = {name: {} for name in START}
    for t, gradients in enumerate(GRADIENTS, start=1):
        found = optimizer.apply_gradients(arrays(gradients), found)
        for name, g in gradients.items():
            expected[name] = reference(expected[name], g.astype(np.float64), states[name], t, 0.1)
    assert optimizer.step.item() == len(GRADIENTS)
    for name, w in expected.items():
        np.testing.assert_allclose(np.array(found[name]), w, rtol=2e-4, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("name", STATES)
def test_state_has_the_layout_that_files_rely_on(name):
    optimizer = getattr(optim, name)(0.1)
    optimizer.init({"a": [mx.zeros((2, 3)), {"b": mx.zeros((4,), mx.float16)}]})
    state = dict(tree_flatten(optimizer.state))
    assert state.pop("step").dtype == mx.uint64
    assert state.pop("learning_rate").dtype == mx.float32
    assert {path: (tuple(x.shape), x.dtype) for path, x in state.items()} == {
        **{f"a.0.{key}": ((2, 3), mx.float32) for key in STATES[name]},
        **{f"a.1.b.{key}": ((4,), mx.float16) for key in STATES[name]},
    }
    assert all(not x.any().item() for x in state.values())


def test_state_of_adafactor():
    optimizer = optim.Adafactor(beta_1=0.9)
    optimizer.init({"a": mx.zeros((2, 3, 5)), "b": mx.zeros((4,))})
    assert {path: tuple(x.shape) for path, x in tree_flatten(optimizer.state)} == {
        "step": (),
        "a.exp_avg_sq_row": (2, 3),
        "a.exp_avg_sq_col": (2, 5),
        "a.exp_avg": (2, 3, 5),
        "b.exp_avg_sq": (4,),
        "b.exp_avg": (4,),
    }
    with pytest.raises(AttributeError, match="Adafactor has no learning rate of its own"):
        optimizer.learning_rate  # noqa: B018


def test_training_goes_on_from_a_saved_state():
    first = optim.Adam(0.1)
    w = first.apply_gradients(arrays(GRADIENTS[0]), arrays(START))
    second = optim.Adam(0.5)
    second.state = tree_unflatten(tree_flatten(first.state))
    second.init(w)  # must not start again
    a = first.apply_gradients(arrays(GRADIENTS[1]), w)
    b = second.apply_gradients(arrays(GRADIENTS[1]), w)
    for name in a:
        np.testing.assert_array_equal(np.array(a[name]), np.array(b[name]))
    assert second.step.item() == 2


def test_only_parameters_with_gradients_change():
    optimizer = optim.SGD(0.5)
    new = optimizer.apply_gradients({"a": mx.ones((1,))}, {"a": mx.ones((1,)), "b": mx.ones((1,))})
    assert {name: x.tolist() for name, x in new.items()} == {"a": [0.5]}
    with pytest.raises(ValueError, match="element 'c' that tree 2 lacks"):
        optimizer.apply_gradients({"c": mx.ones((1,))}, {"a": mx.ones((1,))})


def test_parameters_may_be_unfrozen_between_steps():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    optimizer = optim.Adam(0.1)
    model.layers[0].freeze()
    for _ in range(2):
        _, grads = nn.value_and_grad(model, lambda x: model(x).sum())(mx.ones((1, 2)))
        optimizer.update(model, grads)
        model.unfreeze()
    assert "m" in optimizer.state["layers"][0]["weight"]


def test_a_parameter_named_like_the_optimizers_own_values():
    optimizer = optim.SGD(0.1)
    for name in ("step", "learning_rate"):
        with pytest.raises(ValueError, match=f"the parameter '{name}' has the name of a value"):
            optimizer.apply_gradients({name: mx.ones((1,))}, {name: mx.ones((1,))})
    assert optimizer.step.item() == 0
    optimizer.init({"part": {"step": mx.ones((1,))}})


@pytest.mark.parametrize("case", CASES)
def test_half_parameters_stay_half(case):
    optimizer = CASES[case][0]()
    tree = {"a": mx.ones((2, 3), mx.float16), "b": mx.ones((3,), mx.float16)}
    new = optimizer.apply_gradients(tree, tree)
    assert {x.dtype for x in new.values()} == {mx.float16}
    own = [x for path, x in tree_flatten(optimizer.state) if path[:2] in ("a.", "b.")]
    assert {x.dtype for x in own} == {mx.float16}


def test_learning_rate_can_be_read_and_set():
    optimizer = optim.SGD(0.1)
    np.testing.assert_allclose(optimizer.learning_rate.item(), 0.1, rtol=1e-6)
    optimizer.learning_rate = 0.5
    assert optimizer.state["learning_rate"].item() == 0.5
    assert optimizer.learning_rate.dtype == mx.float32
    new = optimizer.apply_gradients({"w": mx.ones((1,))}, {"w": mx.ones((1,))})
    assert new["w"].item() == 0.5


def test_a_schedule_sees_the_number_of_steps_done():
    seen = []
    optimizer = optim.SGD(lambda step: seen.append(step.item()) or 1.0 / (1 + step))
    tree = {"w": mx.zeros((1,))}
    for expected in (1.0, 0.5, 0.25 + 1 / 12):
        optimizer.apply_gradients(tree, tree)
        np.testing.assert_allclose(optimizer.learning_rate.item(), expected, rtol=1e-6)
    assert seen == [0, 0, 1, 2]  # once when made


def test_optimizers_copy():
    optimizer = optim.Adam(optim.cosine_decay(0.1, 10))
    optimizer.apply_gradients(arrays(GRADIENTS[0]), arrays(START))
    twin = copy.deepcopy(optimizer)
    optimizer.apply_gradients(arrays(GRADIENTS[0]), arrays(START))
    assert (twin.step.item(), optimizer.step.item()) == (1, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optim.SGD(0.1, nesterov=True), "Nesterov momentum requires a momentum"),
        (lambda: optim.SGD(0.1, 0.9, dampening=0.1, nesterov=True), "zero dampening"),
        (lambda: optim.RMSprop(0.1, alpha=-1), "RMSprop alpha should be >=0, -1"),
        (lambda: optim.Adagrad(0.1, eps=-1), "Adagrad epsilon should be >=0, -1"),
        (lambda: optim.AdaDelta(0.1, rho=-1), "AdaDelta rho"),
        (lambda: optim.Adam(0.1, betas=[0.9, 1.0]), r"Adam beta2 should be in \[0, 1\), 1.0"),
        (lambda: optim.AdamW(0.1, betas=[-0.1, 0.9]), "AdamW beta1"),
        (lambda: optim.Adam(0.1, betas=[0.9]), r"Adam betas should be two numbers, \[0.9\] was"),
        (lambda: optim.Adamax(0.1, eps=-1), "Adamax epsilon"),
    ],
)
def test_arguments_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_base_class_says_what_is_missing():
    with pytest.raises(NotImplementedError, match="Optimizer does not define init_single"):
        optim.Optimizer().apply_gradients({"w": mx.ones((1,))}, {"w": mx.ones((1,))})
    optimizer = optim.Optimizer({"rate": lambda step: step + 1})
    optimizer.apply_gradients({}, {})
    assert optimizer.state["rate"].item() == 1


# -- several optimizers ---------------------------------------------------------------------


def multi():
    return optim.MultiOptimizer(
        [optim.SGD(0.5), optim.Adam(0.1), optim.SGD(0.25)],
        [lambda path, x: path.startswith("b.0"), lambda path, x: x.ndim == 2],
    )


TREE = {
    "a": mx.ones((2, 2)),
    "b": [mx.ones((1,)), mx.ones((1,)), {"c": mx.ones((1, 1))}],
    "d": {"0": mx.ones((1,))},
    "e": [],
}


def test_multi_optimizer_divides_the_parameters():
    optimizer = multi()
    optimizer.init(TREE)
    states = optimizer.state["states"]
    own = [sorted(p for p, _ in tree_flatten(s) if p[1:2] == ".") for s in states]
    assert own == [
        ["b.0.v"],
        ["a.m", "a.v", "b.2.c.m", "b.2.c.v"],
        ["b.1.v", "d.0.v"],
    ]
    new = optimizer.apply_gradients(TREE, TREE)
    assert [path for path, _ in tree_flatten(new)] == [path for path, _ in tree_flatten(TREE)]
    assert new["b"][0].item() == 0.5
    assert new["b"][1].item() == new["d"]["0"].item() == 0.75
    np.testing.assert_allclose(new["b"][2]["c"].item(), 1 - 0.1 * 0.1 / math.sqrt(1e-3), rtol=1e-4)
    assert optimizer.step.item() == 1


def test_multi_optimizer_updates_a_model():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    before = [np.array(x) for _, x in tree_flatten(model.parameters())]
    _, grads = nn.value_and_grad(model, lambda x: model(x).sum())(mx.ones((1, 2)))
    multi().update(model, grads)
    for old, (path, new) in zip(before, tree_flatten(model.parameters()), strict=True):
        assert not np.array_equal(old, np.array(new)), path


def test_multi_optimizer_learning_rate_and_state():
    optimizer = multi()
    assert optimizer.learning_rate.item() == 0.5
    optimizer.learning_rate = 0.3
    assert {round(o.learning_rate.item(), 6) for o in optimizer.optimizers} == {0.3}
    optimizer.apply_gradients(TREE, TREE)
    other = multi()
    other.state = optimizer.state
    assert other.step.item() == 1
    with pytest.raises(ValueError, match="needs a list 'states' of 3 states"):
        other.state = {"states": []}
    with pytest.raises(ValueError, match="2 optimizers need 1 filters, but 0 were given"):
        optim.MultiOptimizer([optim.SGD(0.1), optim.SGD(0.1)])


# -- clipping, training, docstrings ---------------------------------------------------------


def test_clip_grad_norm():
    grads = {"a": mx.array([3.0]), "b": [mx.array([[4.0]])]}
    clipped, norm = optim.clip_grad_norm(grads, 1.0)
    assert norm.item() == 5.0
    np.testing.assert_allclose([clipped["a"].item(), clipped["b"][0].item()], [0.6, 0.8], 1e-5)
    same, _ = optim.clip_grad_norm(grads, 100.0)
    assert same["a"].item() == 3.0
    assert optim.clip_grad_norm({}, 1.0)[1].item() == 0.0


def test_clip_grad_norm_of_halves_does_not_overflow():
    clipped, norm = optim.clip_grad_norm({"a": mx.full((4,), 300.0, mx.float16)}, 1.0)
    assert norm.item() == 600.0
    assert clipped["a"].dtype == mx.float16
    np.testing.assert_allclose(np.array(clipped["a"]), 0.5, rtol=1e-3)


@pytest.mark.parametrize(
    "make",
    [lambda: optim.Adam(0.02), lambda: optim.SGD(0.1, 0.9), lambda: optim.Muon(0.02)],
)
@pytest.mark.parametrize("compiled", [False, True])
def test_a_small_network_learns(make, compiled):
    mx.random.seed(0)
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer = make()
    optimizer.init(model.trainable_parameters())
    x = mx.random.normal((64, 2))
    y = x[:, :1] * x[:, 1:]
    loss_and_grad = nn.value_and_grad(model, lambda x, y: nn.losses.mse_loss(model(x), y))

    def step(x, y):
        loss, grads = loss_and_grad(x, y)
        optimizer.update(model, grads)
        return loss

    if compiled:
        state = [model.state, optimizer.state]
        step = mx.compile(step, inputs=state, outputs=state)
    first = step(x, y).item()
    for _ in range(150):
        loss = step(x, y)
        mx.eval(loss, model, optimizer.state)
    assert loss.item() < 0.2 * first
    assert optimizer.step.item() == 151


@pytest.mark.parametrize("name", ["optimizers", "schedulers"])
def test_docstrings(name):
    module = importlib.import_module(f"legato.optimizers.{name}")
    assert doctest.testmod(module).failed == 0
