"""Initializers: functions that make functions, which take an array and return one of its shape with first values.

>>> import legato.core as mx
>>> constant(2.0)(mx.zeros((2,)))
array([2, 2], dtype=float32)
"""

from __future__ import annotations

import math

import legato.core as mx

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    Initializer = Callable[[mx.array], mx.array]
    GainInitializer = Callable[..., mx.array]


def constant(value: float, dtype: mx.Dtype = mx.float32) -> Initializer:
    """An initializer that gives `value` everywhere."""

    def initializer(a: mx.array) -> mx.array:
        return mx.full(a.shape, value, dtype=dtype)

    return initializer


def normal(mean: float = 0.0, std: float = 1.0, dtype: mx.Dtype = mx.float32) -> Initializer:
    """An initializer that draws from a normal distribution with this mean and standard deviation."""

    def initializer(a: mx.array) -> mx.array:
        return mx.random.normal(shape=a.shape, dtype=dtype, loc=mean, scale=std)

    return initializer


def uniform(low: float = 0.0, high: float = 1.0, dtype: mx.Dtype = mx.float32) -> Initializer:
    """An initializer that draws evenly from [low, high)."""

    def initializer(a: mx.array) -> mx.array:
        return mx.random.uniform(low, high, a.shape, dtype=dtype)

    return initializer


def identity(dtype: mx.Dtype = mx.float32) -> Initializer:
    """An initializer that gives an identity matrix.

    The initializer raises ValueError for an array that is no square matrix.
    """

    def initializer(arr: mx.array) -> mx.array:
        if arr.ndim != 2 or arr.shape[0] != arr.shape[1]:
            raise ValueError(
                f"init.identity: the array must be a square matrix but has shape {tuple(arr.shape)}."
            )
        return mx.eye(arr.shape[0], dtype=dtype)

    return initializer


def _fans(name: str, a: mx.array) -> tuple[int, int]:
    """How many inputs an output depends on, and how many outputs an input, for weights (out, kernel..., in)."""
    if a.ndim < 2:
        raise ValueError(
            f"init.{name}: requires an array of at least 2 dimensions, but its shape is {tuple(a.shape)}."
        )
    positions = math.prod(a.shape[1:-1])
    return a.shape[-1] * positions, a.shape[0] * positions


def glorot_normal(dtype: mx.Dtype = mx.float32) -> GainInitializer:
    """An initializer of Glorot and Bengio, 2010: normal with deviation gain · √(2 / (fan_in + fan_out)).

    The initializer takes `(array, gain=1.0)` and raises ValueError for an array of less than 2 dimensions.
    """

    def initializer(a: mx.array, gain: float = 1.0) -> mx.array:
        fan_in, fan_out = _fans("glorot_normal", a)
        std = gain * math.sqrt(2.0 / (fan_in + fan_out))
        return mx.random.normal(shape=a.shape, dtype=dtype, scale=std)

    return initializer


def glorot_uniform(dtype: mx.Dtype = mx.float32) -> GainInitializer:
    """An initializer of Glorot and Bengio, 2010: uniform in ±gain · √(6 / (fan_in + fan_out)).

    The initializer takes `(array, gain=1.0)` and raises ValueError for an array of less than 2 dimensions.
    """

    def initializer(a: mx.array, gain: float = 1.0) -> mx.array:
        fan_in, fan_out = _fans("glorot_uniform", a)
        limit = gain * math.sqrt(6.0 / (fan_in + fan_out))
        return mx.random.uniform(-limit, limit, a.shape, dtype=dtype)

    return initializer


def _fan(name: str, a: mx.array, mode: str) -> int:
    fan_in, fan_out = _fans(name, a)
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"init.{name}: mode is {mode!r}, expected 'fan_in' or 'fan_out'.")
    return fan_in if mode == "fan_in" else fan_out


def he_normal(dtype: mx.Dtype = mx.float32) -> GainInitializer:
    """An initializer of He et al., 2015: normal with deviation gain / √fan.

    The initializer takes `(array, mode="fan_in", gain=1.0)` with mode "fan_in" or "fan_out", and raises ValueError for
    another mode or an array of less than 2 dimensions.
    """

    def initializer(
        a: mx.array, mode: Literal["fan_in", "fan_out"] = "fan_in", gain: float = 1.0
    ) -> mx.array:
        std = gain / math.sqrt(_fan("he_normal", a, mode))
        return mx.random.normal(shape=a.shape, dtype=dtype, scale=std)

    return initializer


def he_uniform(dtype: mx.Dtype = mx.float32) -> GainInitializer:
    """An initializer of He et al., 2015: uniform in ±gain · √(3 / fan).

    The initializer takes `(array, mode="fan_in", gain=1.0)` with mode "fan_in" or "fan_out", and raises ValueError for
    another mode or an array of less than 2 dimensions.
    """

    def initializer(
        a: mx.array, mode: Literal["fan_in", "fan_out"] = "fan_in", gain: float = 1.0
    ) -> mx.array:
        limit = gain * math.sqrt(3.0 / _fan("he_uniform", a, mode))
        return mx.random.uniform(-limit, limit, a.shape, dtype=dtype)

    return initializer


def sparse(
    sparsity: float, mean: float = 0.0, std: float = 1.0, dtype: mx.Dtype = mx.float32
) -> Initializer:
    """An initializer that draws from a normal distribution, but zeroes a share `sparsity` of each row, rounded up.

    The initializer raises ValueError for an array that is no matrix.
    """

    def initializer(a: mx.array) -> mx.array:
        if a.ndim != 2:
            raise ValueError(
                f"init.sparse: the array must be a matrix but has shape {tuple(a.shape)}."
            )
        zeros = math.ceil(sparsity * a.shape[1])
        ranks = mx.argsort(mx.argsort(mx.random.uniform(shape=a.shape), axis=1), axis=1)
        values = mx.random.normal(shape=a.shape, dtype=dtype, loc=mean, scale=std)
        return mx.where(ranks < zeros, 0, values)

    return initializer


def orthogonal(gain: float = 1.0, dtype: mx.Dtype = mx.float32) -> Initializer:
    """An initializer that gives a random matrix with orthonormal rows or columns (the shorter ones), times `gain`.

    The initializer raises ValueError for an array that is no matrix.
    """

    def initializer(a: mx.array) -> mx.array:
        if a.ndim != 2:
            raise ValueError(
                f"init.orthogonal: the array must be a matrix but has shape {tuple(a.shape)}."
            )
        rows, columns = a.shape
        tall = mx.random.normal((max(rows, columns), min(rows, columns)))
        q, r = mx.linalg.qr(tall, stream=mx.cpu)
        # The signs of R's diagonal are the algorithm's choice; moved into Q, all directions are equally likely.
        q = q * mx.where(mx.diag(r) < 0, -1.0, 1.0)
        return (gain * (q if rows >= columns else q.T)).astype(dtype)

    return initializer
