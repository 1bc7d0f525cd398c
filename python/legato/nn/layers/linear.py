"""Linear layers."""

from __future__ import annotations

import math

import legato.core as mx
from legato.nn.layers.base import Module, check_sizes
from legato.nn.layers.quantized import QQLinear, QuantizedLinear

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Identity(Module):
    """Returns its input; takes any arguments, so that it can stand in for another layer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def __call__(self, x: mx.array) -> mx.array:
        return x


class Linear(Module):
    """Applies y = x Wᵀ + b.

    Args:
        input_dims: Size of the last axis of the input.
        output_dims: Size of the last axis of the output.
        bias: Whether to add b.

    Parameters: `weight` (output_dims, input_dims) and `bias` (output_dims,), both at first uniform in
    ±1/√input_dims.

    >>> Linear(3, 2)(mx.zeros((5, 3))).shape
    (5, 2)
    """

    def __init__(self, input_dims: int, output_dims: int, bias: bool = True) -> None:
        super().__init__()
        check_sizes("Linear", input_dims=input_dims, output_dims=output_dims)
        limit = math.sqrt(1.0 / input_dims)
        self.weight = mx.random.uniform(-limit, limit, (output_dims, input_dims))
        if bias:
            self.bias = mx.random.uniform(-limit, limit, (output_dims,))

    def _extra_repr(self) -> str:
        output_dims, input_dims = self.weight.shape
        return f"input_dims={input_dims}, output_dims={output_dims}, bias={'bias' in self}"

    def __call__(self, x: mx.array) -> mx.array:
        """Maps x (..., input_dims) to (..., output_dims)."""
        if "bias" in self:
            return mx.addmm(self["bias"], x, self["weight"].T)
        return x @ self["weight"].T

    def to_quantized(
        self,
        group_size: int | None = None,
        bits: int | None = None,
        mode: str = "affine",
        quantize_input: bool = False,
    ) -> Module:
        """A quantized layer with the values of this one.

        Args:
            group_size: How many values share a scale; by default what `mode` says.
            bits: Bits per value; by default what `mode` says.
            mode: "affine", "mxfp4", "mxfp8" or "nvfp4".
            quantize_input: Whether to quantize the input of the product, too ("nvfp4" and "mxfp8" only, no bias).

        Raises:
            ValueError: if the mode can't quantize inputs, or `input_dims` isn't divisible by the group size.
        """
        if not quantize_input:
            return QuantizedLinear.from_linear(self, group_size, bits, mode)
        if mode not in ("nvfp4", "mxfp8"):
            raise ValueError(
                f"Linear.to_quantized: mode {mode!r} can't quantize the input, expected 'nvfp4' or 'mxfp8'."
            )
        return QQLinear.from_linear(self, group_size, bits, mode)


class Bilinear(Module):
    """Applies yₖ = x1ᵀ Wₖ x2 + bₖ.

    Args:
        input1_dims: Size of the last axis of the first input.
        input2_dims: Size of the last axis of the second input.
        output_dims: Size of the last axis of the output.
        bias: Whether to add b.

    Parameters: `weight` (output_dims, input2_dims, input1_dims) and `bias` (output_dims,), both at first uniform in
    ±1/√input1_dims.
    """

    def __init__(
        self, input1_dims: int, input2_dims: int, output_dims: int, bias: bool = True
    ) -> None:
        super().__init__()
        check_sizes(
            "Bilinear", input1_dims=input1_dims, input2_dims=input2_dims, output_dims=output_dims
        )
        limit = math.sqrt(1.0 / input1_dims)
        self.weight = mx.random.uniform(-limit, limit, (output_dims, input2_dims, input1_dims))
        if bias:
            self.bias = mx.random.uniform(-limit, limit, (output_dims,))

    def _extra_repr(self) -> str:
        output_dims, input2_dims, input1_dims = self.weight.shape
        return (
            f"input1_dims={input1_dims}, input2_dims={input2_dims}, output_dims={output_dims}, "
            f"bias={'bias' in self}"
        )

    def __call__(self, x1: mx.array, x2: mx.array) -> mx.array:
        """Maps x1 (..., input1_dims) and x2 (..., input2_dims) to (..., output_dims)."""
        output_dims, input2_dims, input1_dims = self.weight.shape
        batch = x1.shape[:-1]
        if x2.shape[:-1] != batch:
            raise ValueError(
                f"Bilinear: the inputs have shapes {tuple(x1.shape)} and {tuple(x2.shape)}, which must agree but for "
                "the last axis."
            )
        x1 = x1.reshape(-1, input1_dims)
        x2 = x2.reshape(-1, 1, input2_dims)
        # First x1 with all of W in one product, then each row with its own x2.
        y = x1 @ self.weight.reshape(output_dims * input2_dims, input1_dims).T
        y = y.reshape(-1, output_dims, input2_dims).swapaxes(-2, -1)
        y = (x2 @ y).reshape(*batch, output_dims)
        return y + self.bias if "bias" in self else y
