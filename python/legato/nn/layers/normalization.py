"""Layers that shift and scale to mean 0 and variance 1. Channels are last."""

from __future__ import annotations

import legato.core as mx
from legato.nn.layers.base import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class InstanceNorm(Module):
    """Normalizes each channel of each sample over the spatial axes: (x - mean) / √(var + eps) · weight + bias.

    Args:
        dims: The number of channels C.
        eps: Added to the variance.
        affine: Whether to learn weight and bias.

    Parameters, if affine: `weight` (dims,) at first 1 and `bias` (dims,) at first 0.
    """

    def __init__(self, dims: int, eps: float = 1e-5, affine: bool = False) -> None:
        super().__init__()
        if affine:
            self.weight = mx.ones((dims,))
            self.bias = mx.zeros((dims,))
        self.dims = dims
        self.eps = eps

    def _extra_repr(self) -> str:
        return f"{self.dims}, eps={self.eps}, affine={'weight' in self}"

    def __call__(self, x: mx.array) -> mx.array:
        """Maps x (N, spatial..., C) to an array of the same shape.

        Raises:
            ValueError: if x has no spatial axes, or another number of channels.
        """
        if x.ndim < 3:
            raise ValueError(
                "InstanceNorm: expects inputs with at least 3 dimensions (N, ..., C) "
                f"but the input has {x.ndim} dimensions."
            )
        _check_channels(self, x, self.dims)
        return mx.fast.group_norm(x, self.dims, self.get("weight"), self.get("bias"), self.eps)


class LayerNorm(Module):
    """Normalizes over the last axis: (x - mean) / √(var + eps) · weight + bias.

    Args:
        dims: The size of the last axis.
        eps: Added to the variance.
        affine: Whether to learn a weight and, unless `bias` is False, a bias.
        bias: Whether to learn a bias.

    Parameters, if affine: `weight` (dims,) at first 1 and `bias` (dims,) at first 0.

    >>> LayerNorm(2)(mx.array([[1.0, 3.0]]))
    array([[-0.999995, 0.999995]], dtype=float32)
    """

    def __init__(
        self, dims: int, eps: float = 1e-5, affine: bool = True, bias: bool = True
    ) -> None:
        super().__init__()
        if affine:
            self.weight = mx.ones((dims,))
            if bias:
                self.bias = mx.zeros((dims,))
        self.eps = eps
        self.dims = dims

    def _extra_repr(self) -> str:
        return f"{self.dims}, eps={self.eps}, affine={'weight' in self}"

    def __call__(self, x: mx.array) -> mx.array:
        """Maps x (..., dims) to an array of the same shape."""
        _check_channels(self, x, self.dims)
        return mx.fast.layer_norm(x, self.get("weight"), self.get("bias"), self.eps)


class RMSNorm(Module):
    """Divides by the root mean square over the last axis: x / √(mean(x²) + eps) · weight.

    Args:
        dims: The size of the last axis.
        eps: Added to the mean square.

    Parameters: `weight` (dims,), at first 1.
    """

    def __init__(self, dims: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = mx.ones((dims,))
        self.eps = eps

    def _extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, eps={self.eps}"

    def __call__(self, x: mx.array) -> mx.array:
        """Maps x (..., dims) to an array of the same shape."""
        return mx.fast.rms_norm(x, self["weight"], self.eps)


class GroupNorm(Module):
    """Normalizes groups of channels of each sample over their channels and the spatial axes.

    Args:
        num_groups: The number of groups.
        dims: The number of channels C, divisible by `num_groups`.
        eps: Added to the variance.
        affine: Whether to learn a weight and a bias for each channel.
        pytorch_compatible: Whether channels that follow each other make a group, as in PyTorch. Otherwise channel c
            belongs to group c mod num_groups, as in MLX.

    Parameters, if affine: `weight` (dims,) at first 1 and `bias` (dims,) at first 0.

    Raises:
        ValueError: if `dims` isn't divisible by `num_groups`.
    """

    def __init__(
        self,
        num_groups: int,
        dims: int,
        eps: float = 1e-5,
        affine: bool = True,
        pytorch_compatible: bool = False,
    ) -> None:
        super().__init__()
        if num_groups < 1 or dims % num_groups:
            raise ValueError(
                f"GroupNorm: {dims} channels can't be divided into {num_groups} groups."
            )
        if affine:
            self.bias = mx.zeros((dims,))
            self.weight = mx.ones((dims,))
        self.num_groups = num_groups
        self.dims = dims
        self.eps = eps
        self.pytorch_compatible = pytorch_compatible

    def _extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.dims}, eps={self.eps}, affine={'weight' in self}, "
            f"pytorch_compatible={self.pytorch_compatible}"
        )

    def __call__(self, x: mx.array) -> mx.array:
        """Maps x (N, spatial..., C) to an array of the same shape.

        Raises:
            ValueError: if x has another number of channels.
        """
        _check_channels(self, x, self.dims)
        weight, bias = self.get("weight"), self.get("bias")
        if self.pytorch_compatible:
            return mx.fast.group_norm(x, self.num_groups, weight, bias, self.eps)

        # With groups of c mod num_groups, the channels of a group are further positions of one channel.
        folded = x.reshape(x.shape[0], -1, self.num_groups)
        y = mx.fast.group_norm(folded, self.num_groups, None, None, self.eps).reshape(x.shape)
        return y if weight is None else weight * y + bias


class BatchNorm(Module):
    """Normalizes each channel over all other axes: (x - mean) / √(var + eps) · weight + bias.

    While training, mean and variance are those of the batch, and running averages of them are kept; in evaluation mode
    these are used. They are parameters, always frozen.

    Args:
        num_features: The number of channels C.
        eps: Added to the variance.
        momentum: The share of each batch in the running averages.
        affine: Whether to learn weight and bias.
        track_running_stats: Whether to keep running averages; otherwise the batch's are always used.

    Parameters: `weight` (num_features,) at first 1 and `bias` (num_features,) at first 0, if affine; `running_mean`
    (num_features,) at first 0 and `running_var` (num_features,) at first 1, if tracked.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.track_running_stats = track_running_stats
        if affine:
            self.weight = mx.ones((num_features,))
            self.bias = mx.zeros((num_features,))
        if track_running_stats:
            self.running_mean = mx.zeros((num_features,))
            self.running_var = mx.ones((num_features,))
            self.freeze(keys=["running_mean", "running_var"], recurse=False)

    def unfreeze(self, *args: Any, **kwargs: Any) -> Module:
        """Unfreezes all but the running averages."""
        super().unfreeze(*args, **kwargs)
        return self.freeze(keys=["running_mean", "running_var"], recurse=False)

    def _extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={'weight' in self}, "
            f"track_running_stats={self.track_running_stats}"
        )

    def __call__(self, x: mx.array) -> mx.array:
        """Maps x (N, ..., C) to an array of the same shape.

        Raises:
            ValueError: if x has less than two axes, or another number of channels.
        """
        if x.ndim < 2:
            raise ValueError(
                f"BatchNorm: expected input with at least 2 dimensions (N, ..., C), but got {x.ndim}."
            )
        _check_channels(self, x, self.num_features)
        if self.training or not self.track_running_stats:
            axes = list(range(x.ndim - 1))
            half = x.dtype in (mx.float16, mx.bfloat16)
            wide = x.astype(mx.float32) if half else x
            mean, var = mx.mean(wide, axis=axes), mx.var(wide, axis=axes)
            if self.track_running_stats:
                self._track(mean, var, x.size // x.shape[-1])
        else:
            mean, var = self["running_mean"], self["running_var"]
            half = False

        scale = mx.rsqrt(var + self.eps)
        if "weight" in self:
            scale = scale * self["weight"]
        y = (x - mean) * scale
        if "bias" in self:
            y = y + self["bias"]
        return (
            y.astype(mx.result_type(x, self["bias"]) if "bias" in self else x.dtype) if half else y
        )

    def _track(self, mean: mx.array, var: mx.array, count: int) -> None:
        """Moves the running averages towards the values of a batch of `count` positions."""
        unbiased = var * (count / max(count - 1, 1))
        for name, batch in (("running_mean", mean), ("running_var", unbiased)):
            old = self[name]
            new = (1 - self.momentum) * old + self.momentum * batch
            self[name] = new.astype(old.dtype)


def _check_channels(module: Module, x: mx.array, channels: int) -> None:
    if x.ndim == 0 or x.shape[-1] != channels:
        raise ValueError(
            f"{type(module).__name__}: expected {channels} channels on the last axis, "
            f"but the input has shape {tuple(x.shape)}."
        )
