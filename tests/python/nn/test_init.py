"""Initializers: values, ranges and moments."""

import math

import numpy as np
import pytest

import legato.core as mx
from legato import nn

SHAPE = (64, 3, 3, 32)  # 288 inputs, 576 outputs
BIG = mx.zeros(SHAPE)
needs_qr = pytest.mark.skipif(
    not hasattr(getattr(mx, "linalg", None), "qr"), reason="orthogonal needs mx.linalg.qr"
)


@pytest.fixture(autouse=True)
def seed():
    mx.random.seed(0)


@pytest.mark.parametrize(
    ("initializer", "options", "mean", "std"),
    [
        (nn.init.normal(1.0, 2.0), {}, 1.0, 2.0),
        (nn.init.uniform(1.0, 3.0), {}, 2.0, 2 / math.sqrt(12)),
        (nn.init.glorot_normal(), {}, 0.0, math.sqrt(2 / (288 + 576))),
        (nn.init.glorot_normal(), {"gain": 3.0}, 0.0, 3 * math.sqrt(2 / (288 + 576))),
        (nn.init.glorot_uniform(), {}, 0.0, math.sqrt(2 / (288 + 576))),
        (nn.init.he_normal(), {}, 0.0, math.sqrt(1 / 288)),
        (nn.init.he_normal(), {"mode": "fan_out", "gain": 2.0}, 0.0, 2 * math.sqrt(1 / 576)),
        (nn.init.he_uniform(), {}, 0.0, math.sqrt(1 / 288)),
        (nn.init.he_uniform(), {"mode": "fan_out"}, 0.0, math.sqrt(1 / 576)),
    ],
)
def test_moments(initializer, options, mean, std):
    values = np.array(initializer(BIG, **options))
    assert values.shape == SHAPE
    assert values.dtype == np.float32
    tolerance = 5 * std / math.sqrt(values.size)
    np.testing.assert_allclose(values.mean(), mean, atol=tolerance)
    np.testing.assert_allclose(values.std(), std, rtol=0.02)


def test_uniform_stays_in_its_range():
    values = np.array(nn.init.glorot_uniform()(BIG))
    limit = math.sqrt(6 / (288 + 576))
    assert np.abs(values).max() <= limit
    assert np.abs(values).max() > 0.99 * limit


def test_constant_and_identity():
    assert nn.init.constant(3.0)(mx.zeros((2,))).tolist() == [3.0, 3.0]
    assert nn.init.identity()(mx.zeros((2, 2))).tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_sparse_zeroes_the_same_number_in_each_row():
    values = np.array(nn.init.sparse(0.33, mean=5.0)(mx.zeros((50, 10))))
    assert ((values == 0).sum(1) == 4).all()
    assert len(np.unique((values == 0).sum(0))) > 1
    np.testing.assert_allclose(values[values != 0].mean(), 5.0, atol=0.3)


@needs_qr
@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5)])
def test_orthogonal(shape):
    q = np.array(nn.init.orthogonal(gain=2.0)(mx.zeros(shape)))
    assert q.shape == shape
    gram = q @ q.T if shape[0] <= shape[1] else q.T @ q
    np.testing.assert_allclose(gram, 4 * np.eye(min(shape)), atol=1e-5)


@pytest.mark.parametrize(
    "make", [nn.init.constant, nn.init.normal, nn.init.uniform, nn.init.glorot_normal]
)
def test_dtype(make):
    initializer = (
        make(1.0, dtype=mx.float16) if make is nn.init.constant else make(dtype=mx.float16)
    )
    assert initializer(mx.zeros((2, 2))).dtype == mx.float16


@pytest.mark.parametrize(
    ("initializer", "shape", "options", "message"),
    [
        (nn.init.identity(), (3, 2), {}, r"square matrix but has shape \(3, 2\)"),
        (nn.init.glorot_normal(), (3,), {}, "at least 2 dimensions"),
        (nn.init.he_uniform(), (3,), {}, "at least 2 dimensions"),
        (nn.init.he_normal(), (3, 2), {"mode": "fan"}, "mode is 'fan', expected 'fan_in'"),
        (nn.init.sparse(0.5), (3,), {}, "must be a matrix"),
        (nn.init.orthogonal(), (3, 3, 3), {}, "must be a matrix"),
    ],
)
def test_what_does_not_fit(initializer, shape, options, message):
    with pytest.raises(ValueError, match=message):
        initializer(mx.zeros(shape), **options)
