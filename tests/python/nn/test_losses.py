"""Losses against NumPy."""

import numpy as np
import pytest

import legato.core as mx
from legato import nn

RNG = np.random.default_rng(0)
A, B, C = (RNG.normal(size=(4, 5)).astype(np.float32) for _ in range(3))
SIGNS = np.sign(B)
LABELS = np.array([0, 1, 4, 2])


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


PROBABILITIES = np.exp(log_softmax(B))
LOG_COSH = np.log(np.cosh((A - B).astype(np.float64)))
D = np.abs(A - B)


def norm(x, p=2.0):
    return (np.abs(x) ** p).sum(-1) ** (1 / p)


CASES = {
    "l1": ("l1_loss", (A, B), {}, D, "mean"),
    "mse": ("mse_loss", (A, B), {}, D**2, "mean"),
    "smooth_l1": (
        "smooth_l1_loss",
        (A, B),
        {"beta": 0.7},
        np.where(D < 0.7, D**2 / 1.4, D - 0.35),
        "mean",
    ),
    "huber": (
        "huber_loss",
        (A, B),
        {"delta": 0.4},
        np.where(D <= 0.4, D**2 / 2, 0.4 * (D - 0.2)),
        "none",
    ),
    "log_cosh": ("log_cosh_loss", (A, B), {}, LOG_COSH, "none"),
    "hinge": ("hinge_loss", (A, SIGNS), {}, np.maximum(1 - A * SIGNS, 0), "none"),
    "nll": ("nll_loss", (A, LABELS), {}, -A[np.arange(4), LABELS], "none"),
    "kl_div": ("kl_div_loss", (A, B), {}, (np.exp(B) * (B - A)).sum(-1), "none"),
    "gaussian_nll": (
        "gaussian_nll_loss",
        (A, B, np.abs(C)),
        {},
        0.5 * (np.log(np.abs(C)) + D**2 / np.abs(C)),
        "mean",
    ),
    "gaussian_nll full": (
        "gaussian_nll_loss",
        (A, B, 0 * C),
        {"full": True, "eps": 0.5},
        0.5 * (np.log(0.5) + D**2 / 0.5 + np.log(2 * np.pi)),
        "mean",
    ),
    "cosine": (
        "cosine_similarity_loss",
        (A, B),
        {},
        (A * B).sum(1) / (norm(A) * norm(B)),
        "none",
    ),
    "margin_ranking": (
        "margin_ranking_loss",
        (A, B, SIGNS),
        {"margin": 0.3},
        np.maximum(-SIGNS * (A - B) + 0.3, 0),
        "none",
    ),
    "triplet": (
        "triplet_loss",
        (A, B, C),
        {"eps": 0.0},
        np.maximum(norm(A - B) - norm(A - C) + 1, 0),
        "none",
    ),
    "triplet p=3": (
        "triplet_loss",
        (A, B, C),
        {"eps": 0.0, "p": 3, "margin": 0.5},
        np.maximum(norm(A - B, 3) - norm(A - C, 3) + 0.5, 0),
        "none",
    ),
    "cross_entropy": (
        "cross_entropy",
        (A, LABELS),
        {},
        -log_softmax(A)[np.arange(4), LABELS],
        "none",
    ),
    "cross_entropy of probabilities": (
        "cross_entropy",
        (A, PROBABILITIES),
        {},
        -(PROBABILITIES * log_softmax(A)).sum(-1),
        "none",
    ),
    "cross_entropy smoothed": (
        "cross_entropy",
        (A, LABELS),
        {"label_smoothing": 0.1},
        -0.9 * log_softmax(A)[np.arange(4), LABELS] - 0.1 * log_softmax(A).mean(-1),
        "none",
    ),
    "cross_entropy weighted": (
        "cross_entropy",
        (A, LABELS),
        {"weights": C[:, 0]},
        -C[:, 0] * log_softmax(A)[np.arange(4), LABELS],
        "none",
    ),
    "bce": (
        "binary_cross_entropy",
        (A, sigmoid(B)),
        {},
        np.logaddexp(0, A) - A * sigmoid(B),
        "mean",
    ),
    "bce weighted": (
        "binary_cross_entropy",
        (A, sigmoid(B)),
        {"weights": C},
        C * (np.logaddexp(0, A) - A * sigmoid(B)),
        "mean",
    ),
    "bce of probabilities": (
        "binary_cross_entropy",
        (sigmoid(A), sigmoid(B)),
        {"with_logits": False},
        np.logaddexp(0, A) - A * sigmoid(B),
        "mean",
    ),
}


def call(name, arrays, options, **more):
    options = {k: mx.array(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    return getattr(nn.losses, name)(*map(mx.array, arrays), **options, **more)


@pytest.mark.parametrize("case", CASES)
def test_loss(case):
    name, arrays, options, expected, default = CASES[case]
    reduced = {"none": expected, "mean": expected.mean(), "sum": expected.sum()}
    for reduction, value in reduced.items():
        found = call(name, arrays, options, reduction=reduction)
        assert found.dtype == mx.float32
        np.testing.assert_allclose(np.array(found), value, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(
        np.array(call(name, arrays, options)), reduced[default], rtol=2e-5, atol=2e-6
    )
    with pytest.raises(ValueError, match="Invalid reduction 'max'"):
        call(name, arrays, options, reduction="max")


@pytest.mark.parametrize("probabilities", [False, True])
def test_cross_entropy_over_another_axis(probabilities):
    targets = PROBABILITIES.T if probabilities else LABELS
    found = nn.losses.cross_entropy(mx.array(A.T), mx.array(targets), axis=0)
    targets = PROBABILITIES if probabilities else LABELS
    expected = nn.losses.cross_entropy(mx.array(A), mx.array(targets))
    np.testing.assert_allclose(np.array(found), np.array(expected), rtol=1e-6)


def test_cross_entropy_of_large_logits():
    logits = mx.array([[1000.0, 0.0, -1000.0]])
    assert nn.losses.cross_entropy(logits, mx.array([0])).item() == 0.0
    assert nn.losses.cross_entropy(logits, mx.array([[0.0, 1.0, 0.0]])).item() == 1000.0


@pytest.mark.parametrize(
    ("targets", "options", "message"),
    [
        (np.array([0, 1, 2]), {}, r"Targets shape \(3,\) does not match logits shape \(4, 5\)"),
        (np.ones((4, 3)), {}, r"Targets shape \(4, 3\)"),
        (np.ones(4, np.float32), {}, "class indices must be integers"),
        (LABELS, {"weights": mx.ones((3,))}, r"Weights with shape \(3,\) do not match"),
        (LABELS, {"label_smoothing": 1.0}, r"must be in \[0, 1\), got 1.0"),
    ],
)
def test_cross_entropy_explains_what_does_not_fit(targets, options, message):
    with pytest.raises(ValueError, match=message):
        nn.losses.cross_entropy(mx.array(A), mx.array(targets), **options)


@pytest.mark.parametrize(
    "name",
    ["l1_loss", "mse_loss", "smooth_l1_loss", "binary_cross_entropy", "margin_ranking_loss"],
)
def test_shapes_must_agree(name):
    arrays = [mx.zeros((2, 3)), mx.zeros((3,))]
    if name == "margin_ranking_loss":
        arrays.append(mx.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"of shape \(3,\) do not match the .* of shape \(2, 3\)"):
        getattr(nn.losses, name)(*arrays)


def test_certain_probabilities_have_finite_losses_and_gradients():
    p, t = mx.array([0.0, 1.0, 0.0, 1.0]), mx.array([0.0, 1.0, 1.0, 0.0])

    def loss(p):
        return nn.losses.binary_cross_entropy(p, t, with_logits=False, reduction="sum")

    assert loss(p).item() == 200.0
    assert np.isfinite(np.array(mx.grad(loss)(p))).all()
