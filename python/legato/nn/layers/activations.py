"""Activation functions, and the modules that hold them.

Every function works elementwise on arrays of any shape unless it has an `axis`, keeps floating dtypes, and is
differentiable. They are written in elementary operations: the evaluator fuses each into one pass.
"""

from __future__ import annotations

import math

import legato.core as mx
from legato.nn.layers.base import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SELU_ALPHA = 1.6732632423543772  # Klambauer et al., 2017: mean 0 and variance 1 are a fixed point
_SELU_SCALE = 1.0507009873554805


def sigmoid(x: mx.array) -> mx.array:
    """The logistic function 1 / (1 + exp(-x)).

    >>> sigmoid(mx.array([0.0]))
    array([0.5], dtype=float32)
    """
    return mx.sigmoid(x)


def relu(x: mx.array) -> mx.array:
    """The rectifier max(x, 0).

    >>> relu(mx.array([-1.0, 2.0]))
    array([0, 2], dtype=float32)
    """
    return mx.maximum(x, 0)


def relu2(x: mx.array) -> mx.array:
    """The squared rectifier max(x, 0)²."""
    return mx.square(mx.maximum(x, 0))


def relu6(x: mx.array) -> mx.array:
    """The rectifier cut off at six, min(max(x, 0), 6)."""
    return mx.minimum(mx.maximum(x, 0), 6.0)


def leaky_relu(x: mx.array, negative_slope: float = 0.01) -> mx.array:
    """The rectifier with a slope on the negative side: x if x > 0, else negative_slope · x."""
    return mx.maximum(negative_slope * x, x)


def log_softmax(x: mx.array, axis: int = -1) -> mx.array:
    """The logarithm of the softmax over `axis`, x - logsumexp(x)."""
    return mx.log_softmax(x, axis)


def softmax(x: mx.array, axis: int = -1) -> mx.array:
    """The softmax exp(x) / sum(exp(x)) over `axis`.

    >>> softmax(mx.array([1.0, 1.0]))
    array([0.5, 0.5], dtype=float32)
    """
    return mx.softmax(x, axis=axis)


def softmin(x: mx.array, axis: int = -1) -> mx.array:
    """The softmax of -x over `axis`."""
    return mx.softmax(-x, axis=axis)


def _negative_exponential(x: mx.array, alpha: float) -> mx.array:
    """alpha · (exp(x) - 1) where x < 0, else 0; the gradient is finite for large x, too."""
    return alpha * mx.expm1(mx.minimum(x, 0))


def elu(x: mx.array, alpha: float = 1.0) -> mx.array:
    """The exponential linear unit: x if x > 0, else alpha · (exp(x) - 1)."""
    return mx.where(x > 0, x, _negative_exponential(x, alpha))


def celu(x: mx.array, alpha: float = 1.0) -> mx.array:
    """The continuously differentiable ELU, max(x, 0) + min(0, alpha · (exp(x / alpha) - 1))."""
    return mx.maximum(x, 0) + _negative_exponential(x / alpha, alpha)


def selu(x: mx.array) -> mx.array:
    """The scaled ELU with the constants that keep mean 0 and variance 1 through layers."""
    return _SELU_SCALE * elu(x, _SELU_ALPHA)


def softplus(x: mx.array) -> mx.array:
    """A smooth rectifier, log(1 + exp(x))."""
    return mx.logaddexp(x, 0)


def softsign(x: mx.array) -> mx.array:
    """The function x / (1 + |x|)."""
    return x / (1 + mx.abs(x))


def softshrink(x: mx.array, lambd: float = 0.5) -> mx.array:
    """Moves x towards zero by `lambd`: x - lambd if x > lambd, x + lambd if x < -lambd, else 0."""
    return mx.where(mx.abs(x) > lambd, x - mx.sign(x) * lambd, 0)


def hard_shrink(x: mx.array, lambd: float = 0.5) -> mx.array:
    """Zeroes what is small: x if |x| > lambd, else 0."""
    return mx.where(mx.abs(x) > lambd, x, 0)


def silu(x: mx.array) -> mx.array:
    """The sigmoid linear unit x · sigmoid(x), also known as swish.

    >>> silu(mx.array([0.0]))
    array([0], dtype=float32)
    """
    return x * mx.sigmoid(x)


def log_sigmoid(x: mx.array) -> mx.array:
    """The logarithm of the sigmoid, -log(1 + exp(-x))."""
    return -softplus(-x)


def gelu(x: mx.array) -> mx.array:
    """The Gaussian error linear unit x · Φ(x), with the distribution function Φ of the normal distribution."""
    return x * (1 + mx.erf(x / math.sqrt(2))) / 2


def gelu_approx(x: mx.array) -> mx.array:
    """The GELU by its tanh approximation, x / 2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))."""
    return 0.5 * x * (1 + mx.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def gelu_fast_approx(x: mx.array) -> mx.array:
    """The GELU by its sigmoid approximation, x · sigmoid(1.702 x); off by 0.02 at most."""
    return x * mx.sigmoid(1.702 * x)


def glu(x: mx.array, axis: int = -1) -> mx.array:
    """The gated linear unit a · sigmoid(b) of the halves a and b of x.

    Args:
        x: Array whose size along `axis` is even.
        axis: The axis to halve.

    Raises:
        ValueError: if the size is odd.
    """
    a, b = mx.split(x, 2, axis=axis)
    return a * mx.sigmoid(b)


def step(x: mx.array, threshold: float = 0.0) -> mx.array:
    """The step function: 1 if x >= threshold, else 0, as int32. Its gradient is zero."""
    return mx.where(x >= threshold, 1, 0)


def prelu(x: mx.array, alpha: mx.array) -> mx.array:
    """The rectifier with learned slopes on the negative side, max(x, 0) + alpha · min(x, 0).

    Args:
        x: Array (..., C).
        alpha: Slopes, broadcast with x: (C,) or (1,). Differentiable.
    """
    return mx.maximum(x, 0) + alpha * mx.minimum(x, 0)


def mish(x: mx.array) -> mx.array:
    """The function x · tanh(softplus(x)) of Misra, 2019."""
    return x * mx.tanh(softplus(x))


def hardswish(x: mx.array) -> mx.array:
    """A piecewise approximation of swish, x · min(max(x + 3, 0), 6) / 6."""
    return x * relu6(x + 3) / 6


def hard_tanh(x: mx.array, min_val: float = -1.0, max_val: float = 1.0) -> mx.array:
    """Cuts x off at both ends, min(max(x, min_val), max_val)."""
    return mx.minimum(mx.maximum(x, min_val), max_val)


def tanh(x: mx.array) -> mx.array:
    """The hyperbolic tangent."""
    return mx.tanh(x)


class Sigmoid(Module):
    """The module of `sigmoid`."""

    def __call__(self, x: mx.array) -> mx.array:
        return sigmoid(x)


class ReLU(Module):
    """The module of `relu`."""

    def __call__(self, x: mx.array) -> mx.array:
        return relu(x)


class ReLU2(Module):
    """The module of `relu2`."""

    def __call__(self, x: mx.array) -> mx.array:
        return relu2(x)


class ReLU6(Module):
    """The module of `relu6`."""

    def __call__(self, x: mx.array) -> mx.array:
        return relu6(x)


class Mish(Module):
    """The module of `mish`."""

    def __call__(self, x: mx.array) -> mx.array:
        return mish(x)


class SiLU(Module):
    """The module of `silu`."""

    def __call__(self, x: mx.array) -> mx.array:
        return silu(x)


class SELU(Module):
    """The module of `selu`."""

    def __call__(self, x: mx.array) -> mx.array:
        return selu(x)


class Softmax(Module):
    """The module of `softmax` over the last axis."""

    def __call__(self, x: mx.array) -> mx.array:
        return softmax(x)


class Softmin(Module):
    """The module of `softmin` over the last axis."""

    def __call__(self, x: mx.array) -> mx.array:
        return softmin(x)


class LogSoftmax(Module):
    """The module of `log_softmax` over the last axis."""

    def __call__(self, x: mx.array) -> mx.array:
        return log_softmax(x)


class LogSigmoid(Module):
    """The module of `log_sigmoid`."""

    def __call__(self, x: mx.array) -> mx.array:
        return log_sigmoid(x)


class Softplus(Module):
    """The module of `softplus`."""

    def __call__(self, x: mx.array) -> mx.array:
        return softplus(x)


class Softsign(Module):
    """The module of `softsign`."""

    def __call__(self, x: mx.array) -> mx.array:
        return softsign(x)


class Tanh(Module):
    """The module of `tanh`."""

    def __call__(self, x: mx.array) -> mx.array:
        return tanh(x)


class HardTanh(Module):
    """The module of `hard_tanh` between -1 and 1."""

    def __call__(self, x: mx.array) -> mx.array:
        return hard_tanh(x)


class Hardswish(Module):
    """The module of `hardswish`."""

    def __call__(self, x: mx.array) -> mx.array:
        return hardswish(x)


class LeakyReLU(Module):
    """The module of `leaky_relu`.

    Args:
        negative_slope: The slope on the negative side.
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self._negative_slope = negative_slope

    def __call__(self, x: mx.array) -> mx.array:
        return leaky_relu(x, self._negative_slope)


class ELU(Module):
    """The module of `elu`.

    Args:
        alpha: The limit on the negative side is -alpha.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self._alpha = alpha

    def __call__(self, x: mx.array) -> mx.array:
        return elu(x, self._alpha)


class CELU(Module):
    """The module of `celu`.

    Args:
        alpha: The limit on the negative side is -alpha.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self._alpha = alpha

    def __call__(self, x: mx.array) -> mx.array:
        return celu(x, self._alpha)


class Softshrink(Module):
    """The module of `softshrink`.

    Args:
        lambd: How far to move towards zero.
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def __call__(self, x: mx.array) -> mx.array:
        return softshrink(x, self.lambd)


class HardShrink(Module):
    """The module of `hard_shrink`.

    Args:
        lambd: Up to which size to give zero.
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def __call__(self, x: mx.array) -> mx.array:
        return hard_shrink(x, self.lambd)


class Step(Module):
    """The module of `step`.

    Args:
        threshold: From which value on to give 1.
    """

    def __init__(self, threshold: float = 0.0) -> None:
        super().__init__()
        self.threshold = threshold

    def __call__(self, x: mx.array) -> mx.array:
        return step(x, self.threshold)


class GLU(Module):
    """The module of `glu`.

    Args:
        axis: The axis to halve.
    """

    def __init__(self, axis: int = -1) -> None:
        super().__init__()
        self.axis = axis

    def __call__(self, x: mx.array) -> Any:
        return glu(x, self.axis)


class PReLU(Module):
    """The rectifier with learned slopes on the negative side, `prelu`.

    Args:
        num_parameters: The number of slopes: 1, or the size of the last axis of the input.
        init: Their first value.

    Parameters: `weight` (num_parameters,).
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        super().__init__()
        self.weight = mx.full((num_parameters,), init)

    def __call__(self, x: mx.array) -> mx.array:
        return prelu(x, self.weight)


class GELU(Module):
    """The Gaussian error linear unit, exact or approximate.

    Args:
        approx: "none" for `gelu`, "precise" or "tanh" for `gelu_approx`, "fast" for `gelu_fast_approx`.

    Raises:
        ValueError: for any other value.
    """

    def __init__(self, approx: str = "none") -> None:
        super().__init__()
        known = {
            "none": gelu,
            "precise": gelu_approx,
            "tanh": gelu_approx,
            "fast": gelu_fast_approx,
        }
        if approx not in known:
            raise ValueError(f"GELU: approx is {approx!r}, expected one of {list(known)}.")
        self._approx = approx
        self._function = known[approx]

    def __call__(self, x: mx.array) -> mx.array:
        return self._function(x)
