"""Transposed convolutions, which enlarge. Inputs are (N, spatial..., C), weights (C out, kernel..., C in)."""

from __future__ import annotations

import legato.core as mx
from legato.nn.layers.base import Module
from legato.nn.layers.convolution import _initial_weight, _per_axis


class _ConvTranspose(Module):
    """What the three classes share."""

    def _extra_repr(self) -> str:
        out_channels, *kernel, in_channels = self.weight.shape
        kernel_size = kernel[0] if len(kernel) == 1 else tuple(kernel)
        return (
            f"{in_channels}, {out_channels}, kernel_size={kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, dilation={self.dilation}, output_padding={self.output_padding}, "
            f"bias={'bias' in self}"
        )


class ConvTranspose1d(_ConvTranspose):
    """Enlarges a sequence with learned kernels: the gradient of `Conv1d` with respect to its input.

    Args:
        in_channels: The number of channels C of the input.
        out_channels: The number of channels O of the output.
        kernel_size: The length of the kernels.
        stride: The distance that neighbouring inputs have in the output.
        padding: How much to cut off at both ends.
        dilation: The distance between elements of the kernels.
        output_padding: How much to add at the end.
        bias: Whether to add a bias.

    Parameters: `weight` (O, kernel_size, C) at first uniform in ±1/√(C · kernel_size), and `bias` (O,) at first 0.

    >>> ConvTranspose1d(3, 8, 4, stride=2, padding=1)(mx.zeros((1, 8, 3))).shape
    (1, 16, 8)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        output_padding: int = 0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.weight = _initial_weight(in_channels, out_channels, (kernel_size,))
        if bias:
            self.bias = mx.zeros((out_channels,))
        self.padding = padding
        self.dilation = dilation
        self.stride = stride
        self.output_padding = output_padding

    def __call__(self, x: mx.array) -> mx.array:
        """Maps x (N, L, C) to (N, L out, O)."""
        y = mx.conv_transpose1d(
            x, self["weight"], self.stride, self.padding, self.dilation, self.output_padding
        )
        return y + self["bias"] if "bias" in self else y


class ConvTranspose2d(_ConvTranspose):
    """Enlarges an image with learned kernels: the gradient of `Conv2d` with respect to its input.

    Sizes along the two axes are given as one int or a pair.

    Args:
        in_channels: The number of channels C of the input.
        out_channels: The number of channels O of the output.
        kernel_size: The size of the kernels.
        stride: The distance that neighbouring inputs have in the output.
        padding: How much to cut off on all sides.
        dilation: The distance between elements of the kernels.
        output_padding: How much to add at the end of each axis.
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
        output_padding: int | tuple = 0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        kernel = _per_axis("ConvTranspose2d: kernel_size", kernel_size, 2)
        self.weight = _initial_weight(in_channels, out_channels, kernel)
        if bias:
            self.bias = mx.zeros((out_channels,))
        self.padding = _per_axis("ConvTranspose2d: padding", padding, 2)
        self.stride = _per_axis("ConvTranspose2d: stride", stride, 2)
        self.output_padding = _per_axis("ConvTranspose2d: output_padding", output_padding, 2)
        self.dilation = dilation

    def __call__(self, x: mx.array) -> mx.array:
        """Maps x (N, H, W, C) to (N, H out, W out, O)."""
        y = mx.conv_transpose2d(
            x, self["weight"], self.stride, self.padding, self.dilation, self.output_padding
        )
        return y + self["bias"] if "bias" in self else y


class ConvTranspose3d(_ConvTranspose):
    """Enlarges a volume with learned kernels: the gradient of `Conv3d` with respect to its input.

    Sizes along the three axes are given as one int or three.

    Args:
        in_channels: The number of channels C of the input.
        out_channels: The number of channels O of the output.
        kernel_size: The size of the kernels.
        stride: The distance that neighbouring inputs have in the output.
        padding: How much to cut off on all sides.
        dilation: The distance between elements of the kernels.
        output_padding: How much to add at the end of each axis.
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
        output_padding: int | tuple = 0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        kernel = _per_axis("ConvTranspose3d: kernel_size", kernel_size, 3)
        self.weight = _initial_weight(in_channels, out_channels, kernel)
        if bias:
            self.bias = mx.zeros((out_channels,))
        self.padding = _per_axis("ConvTranspose3d: padding", padding, 3)
        self.stride = _per_axis("ConvTranspose3d: stride", stride, 3)
        self.output_padding = _per_axis("ConvTranspose3d: output_padding", output_padding, 3)
        self.dilation = dilation

    def __call__(self, x: mx.array) -> mx.array:
        """Maps x (N, D, H, W, C) to (N, D out, H out, W out, O)."""
        y = mx.conv_transpose3d(
            x, self["weight"], self.stride, self.padding, self.dilation, self.output_padding
        )
        return y + self["bias"] if "bias" in self else y
