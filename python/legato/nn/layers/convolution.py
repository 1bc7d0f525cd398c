"""Convolutions. Inputs are (N, spatial..., C), weights (C out, kernel..., C in / groups)."""

from __future__ import annotations

import math

import legato.core as mx
from legato.nn.layers.base import Module, check_sizes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _per_axis(name: str, value: Any, axes: int) -> Any:
    """A tuple of an int for every spatial axis, from one for all or a sequence of them."""
    if isinstance(value, int):
        return (value,) * axes
    if isinstance(value, (tuple, list)) and len(value) == axes:
        return tuple(value)
    raise ValueError(f"{name} is {value!r}, expected an integer or a tuple of {axes} integers.")


def _initial_weight(
    in_channels: int, out_channels: int, kernel_size: tuple[int, ...], groups: int = 1
) -> mx.array:
    """The first value of a convolution's weight: uniform in ±1/√(in_channels · kernel positions)."""
    check_sizes(
        "Convolution",
        in_channels=in_channels,
        out_channels=out_channels,
        kernel_size=min(kernel_size),
        groups=groups,
    )
    if in_channels % groups:
        raise ValueError(
            f"The number of input channels ({in_channels}) must be divisible by the number of groups ({groups})."
        )
    if out_channels % groups:
        raise ValueError(
            f"The number of output channels ({out_channels}) must be divisible by the number of groups ({groups})."
        )
    limit = math.sqrt(1 / (in_channels * math.prod(kernel_size)))
    return mx.random.uniform(-limit, limit, (out_channels, *kernel_size, in_channels // groups))


class Conv1d(Module):
    """Convolves a sequence with learned kernels.

    Args:
        in_channels: The number of channels C of the input.
        out_channels: The number of channels O of the output.
        kernel_size: The length of the kernels.
        stride: The distance between positions of the kernels.
        padding: How many zeros to add at both ends.
        dilation: The distance between elements of the kernels.
        groups: In how many parts to divide the channels; each part sees its own only.
        bias: Whether to add a bias.

    Parameters: `weight` (O, kernel_size, C / groups) at first uniform in ±1/√(C · kernel_size), and `bias` (O,)
    at first 0.

    Raises:
        ValueError: if C or O isn't divisible by `groups`.

    >>> Conv1d(3, 8, 5, stride=2, padding=2)(mx.zeros((1, 16, 3))).shape
    (1, 8, 8)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.weight = _initial_weight(in_channels, out_channels, (kernel_size,), groups)
        if bias:
            self.bias = mx.zeros((out_channels,))
        self.padding = padding
        self.dilation = dilation
        self.stride = stride
        self.groups = groups

    def _extra_repr(self) -> str:
        out_channels, kernel_size, in_channels = self.weight.shape
        return (
            f"{in_channels * self.groups}, {out_channels}, kernel_size={kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, dilation={self.dilation}, groups={self.groups}, bias={'bias' in self}"
        )

    def __call__(self, x: mx.array) -> mx.array:
        """Maps x (N, L, C) to (N, L out, O)."""
        y = mx.conv1d(x, self["weight"], self.stride, self.padding, self.dilation, self.groups)
        return y + self["bias"] if "bias" in self else y


class Conv2d(Module):
    """Convolves an image with learned kernels.

    Sizes along the two axes are given as one int or a pair.

    Args:
        in_channels: The number of channels C of the input.
        out_channels: The number of channels O of the output.
        kernel_size: The size of the kernels.
        stride: The distance between positions of the kernels.
        padding: How many zeros to add on all sides.
        dilation: The distance between elements of the kernels.
        groups: In how many parts to divide the channels; each part sees its own only.
        bias: Whether to add a bias.

    Parameters: `weight` (O, *kernel_size, C / groups) at first uniform in ±1/√(C · kernel positions), and `bias`
    (O,) at first 0.

    Raises:
        ValueError: if C or O isn't divisible by `groups`.

    >>> Conv2d(3, 8, 3, padding=1)(mx.zeros((1, 16, 16, 3))).shape
    (1, 16, 16, 8)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple,
        stride: int | tuple = 1,
        padding: int | tuple = 0,
        dilation: int | tuple = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        kernel = _per_axis("Conv2d: kernel_size", kernel_size, 2)
        self.weight = _initial_weight(in_channels, out_channels, kernel, groups)
        if bias:
            self.bias = mx.zeros((out_channels,))
        self.padding = _per_axis("Conv2d: padding", padding, 2)
        self.stride = _per_axis("Conv2d: stride", stride, 2)
        self.dilation = dilation
        self.groups = groups

    def _extra_repr(self) -> str:
        out_channels, *kernel_size, in_channels = self.weight.shape
        return (
            f"{in_channels * self.groups}, {out_channels}, kernel_size={tuple(kernel_size)}, "
            f"stride={self.stride}, padding={self.padding}, dilation={self.dilation}, groups={self.groups}, "
            f"bias={'bias' in self}"
        )

    def __call__(self, x: mx.array) -> mx.array:
        """Maps x (N, H, W, C) to (N, H out, W out, O)."""
        y = mx.conv2d(x, self["weight"], self.stride, self.padding, self.dilation, self.groups)
        return y + self["bias"] if "bias" in self else y


class Conv3d(Module):
    """Convolves a volume with learned kernels.

    Sizes along the three axes are given as one int or three.

    Args:
        in_channels: The number of channels C of the input.
        out_channels: The number of channels O of the output.
        kernel_size: The size of the kernels.
        stride: The distance between positions of the kernels.
        padding: How many zeros to add on all sides.
        dilation: The distance between elements of the kernels.
        bias: Whether to add a bias.

    Parameters: `weight` (O, *kernel_size, C) at first uniform in ±1/√(C · kernel positions), and `bias` (O,) at
    first 0.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple,
        stride: int | tuple = 1,
        padding: int | tuple = 0,
        dilation: int | tuple = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        kernel = _per_axis("Conv3d: kernel_size", kernel_size, 3)
        self.weight = _initial_weight(in_channels, out_channels, kernel)
        if bias:
            self.bias = mx.zeros((out_channels,))
        self.padding = _per_axis("Conv3d: padding", padding, 3)
        self.stride = _per_axis("Conv3d: stride", stride, 3)
        self.dilation = dilation

    def _extra_repr(self) -> str:
        out_channels, *kernel_size, in_channels = self.weight.shape
        return (
            f"{in_channels}, {out_channels}, kernel_size={tuple(kernel_size)}, stride={self.stride}, "
            f"padding={self.padding}, dilation={self.dilation}, bias={'bias' in self}"
        )

    def __call__(self, x: mx.array) -> mx.array:
        """Maps x (N, D, H, W, C) to (N, D out, H out, W out, O)."""
        y = mx.conv3d(x, self["weight"], self.stride, self.padding, self.dilation)
        return y + self["bias"] if "bias" in self else y
