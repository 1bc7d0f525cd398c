"""Learning-rate schedules: functions from the number of steps done, an int or integer array, to a learning rate.

Give one to an optimizer in place of a number: `Adam(learning_rate=cosine_decay(1e-3, 1000))`.
"""

from __future__ import annotations

import math

import legato.core as mx

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def _check_steps(name: str, steps: int) -> None:
    if steps < 1:
        raise ValueError(f"{name} must be greater than 0, but got {steps}.")


def exponential_decay(init: float, decay_rate: float) -> Callable:
    """The schedule init · decay_rate^step.

    Args:
        init: The first value.
        decay_rate: Factor of each step.

    >>> exponential_decay(0.1, 0.5)(mx.array(2))
    array(0.025, dtype=float32)
    """

    def schedule(step: Any) -> Any:
        return init * decay_rate**step

    return schedule


def step_decay(init: float, decay_rate: float, step_size: int) -> Callable:
    """The schedule init · decay_rate^⌊step / step_size⌋.

    Args:
        init: The first value.
        decay_rate: Factor of each `step_size` steps.
        step_size: How many steps to keep a value.

    Raises:
        ValueError: if `step_size` is not positive.

    >>> step_decay(0.1, 0.5, 10)(mx.array(25))
    array(0.025, dtype=float32)
    """
    _check_steps("step_decay: step_size", step_size)

    def schedule(step: Any) -> Any:
        return init * decay_rate ** (step // step_size)

    return schedule


def cosine_decay(init: float, decay_steps: int, end: float = 0.0) -> Callable:
    """The schedule that falls from `init` to `end` along half a cosine.

    Args:
        init: The first value.
        decay_steps: The number of steps until `end` is reached.
        end: The last value.

    Raises:
        ValueError: if `decay_steps` is not positive.

    >>> cosine_decay(0.1, 100)(mx.array(50))
    array(0.05, dtype=float32)
    """
    _check_steps("cosine_decay: decay_steps", decay_steps)

    def schedule(step: Any) -> Any:
        done = mx.minimum(step, decay_steps)
        share = 0.5 * (1.0 + mx.cos(done * (math.pi / decay_steps)))
        return end + share * (init - end)

    return schedule


def linear_schedule(init: float, end: float, steps: int) -> Callable:
    """The schedule that goes from `init` to `end` in equal steps.

    Args:
        init: The first value.
        end: The last value.
        steps: The number of steps until `end` is reached.

    Raises:
        ValueError: if `steps` is not positive.

    >>> linear_schedule(0.0, 1.0, 4)(mx.array(3))
    array(0.75, dtype=float32)
    """
    _check_steps("linear_schedule: steps", steps)

    def schedule(step: Any) -> Any:
        return mx.minimum(step, steps) * ((end - init) / steps) + init

    return schedule


def join_schedules(schedules: list[Callable], boundaries: list[int]) -> Callable:
    """The schedule that follows one after the other, each beginning with its own step 0.

    Args:
        schedules: The schedules.
        boundaries: The steps at which the second and each further schedule begins.

    Raises:
        ValueError: if there is no schedule, or the number of boundaries is not one less.

    >>> warm_up = linear_schedule(0.0, 0.1, 10)
    >>> join_schedules([warm_up, cosine_decay(0.1, 100)], [10])(mx.array(5))
    array(0.05, dtype=float32)
    """
    if not schedules:
        raise ValueError("join_schedules: must provide at least 1 schedule to join.")
    if len(boundaries) != len(schedules) - 1:
        raise ValueError(
            f"join_schedules: received {len(boundaries)} boundaries for {len(schedules)} schedules, "
            f"but expected {len(schedules) - 1}."
        )

    def schedule(step: Any) -> Any:
        value = schedules[0](step)
        for boundary, following in zip(boundaries, schedules[1:], strict=True):
            # Steps are unsigned: keep them from wrapping below zero.
            own_step = mx.maximum(step, boundary) - boundary
            value = mx.where(step < boundary, value, following(own_step))
        return value

    return schedule
