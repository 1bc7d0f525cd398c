"""Learning-rate schedules against their formulas."""

import math

import numpy as np
import pytest

import legato.core as mx
import legato.optimizers as optim

STEPS = [0, 1, 3, 4, 5, 10, 1000]
SCHEDULES = {
    "exponential": (optim.exponential_decay(0.1, 0.9), lambda t: 0.1 * 0.9**t),
    "step": (optim.step_decay(0.1, 0.5, 3), lambda t: 0.1 * 0.5 ** (t // 3)),
    "cosine": (
        optim.cosine_decay(0.1, 5, 0.02),
        lambda t: 0.02 + 0.04 * (1 + math.cos(math.pi * min(t, 5) / 5)),
    ),
    "linear": (optim.linear_schedule(0.0, 0.1, 4), lambda t: 0.025 * min(t, 4)),
    "joined": (
        optim.join_schedules(
            [
                optim.linear_schedule(0.0, 0.1, 4),
                optim.exponential_decay(0.1, 0.5),
                optim.exponential_decay(0.01, 2.0),
            ],
            [3, 5],
        ),
        lambda t: 0.025 * t if t < 3 else 0.1 * 0.5 ** (t - 3) if t < 5 else 0.01 * 2.0 ** (t - 5),
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("dtype", [mx.uint64, mx.int32])
def test_schedule(name, dtype):
    schedule, formula = SCHEDULES[name]
    for t in STEPS[:-1] if name == "joined" else STEPS:
        found = schedule(mx.array(t, dtype))
        assert found.shape == ()
        assert found.dtype == mx.float32
        np.testing.assert_allclose(found.item(), formula(t), rtol=1e-5, atol=1e-8)
        np.testing.assert_allclose(float(schedule(t)), formula(t), rtol=1e-5, atol=1e-8)


def test_arguments_that_do_not_fit():
    with pytest.raises(ValueError, match="steps must be greater than 0, but got 0"):
        optim.linear_schedule(0.0, 1.0, 0)
    with pytest.raises(ValueError, match="cosine_decay: decay_steps must be greater than 0"):
        optim.cosine_decay(1.0, 0)
    with pytest.raises(ValueError, match="step_decay: step_size must be greater than 0"):
        optim.step_decay(1.0, 0.5, 0)
    with pytest.raises(ValueError, match="at least 1 schedule"):
        optim.join_schedules([], [])
    with pytest.raises(ValueError, match="received 2 boundaries for 1 schedules, but expected 0"):
        optim.join_schedules([abs], [1, 2])
