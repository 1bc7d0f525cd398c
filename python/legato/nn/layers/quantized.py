"""Layers whose weights are stored in a few bits, and `quantize`, which swaps them in."""

from __future__ import annotations

import math

import legato.core as mx
from legato.nn.layers.base import Module, check_sizes
from legato.utils import tree_map_with_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# The group size and the number of bits of each mode where the caller leaves them out.
_DEFAULTS = {"affine": (64, 4), "mxfp4": (32, 4), "mxfp8": (32, 8), "nvfp4": (16, 4)}


def _with_defaults(group_size: int | None, bits: int | None, mode: str) -> tuple[int, int]:
    if mode not in _DEFAULTS:
        raise ValueError(f"The quantization mode is {mode!r}, expected one of {list(_DEFAULTS)}.")
    default_group_size, default_bits = _DEFAULTS[mode]
    return (
        default_group_size if group_size is None else group_size,
        default_bits if bits is None else bits,
    )


def quantize(
    model: Module,
    group_size: int | None = None,
    bits: int | None = None,
    *,
    mode: str = "affine",
    quantize_input: bool = False,
    class_predicate: Callable[[str, Module], bool | dict] | None = None,
) -> None:
    """Replaces the modules of a model by their quantized forms.

    Args:
        model: The model, changed in place.
        group_size: How many values share a scale; by default what `mode` says.
        bits: Bits per value; by default what `mode` says.
        mode: "affine", "mxfp4", "mxfp8" or "nvfp4".
        quantize_input: Whether to quantize the inputs of products, too.
        class_predicate: Called with the path and each module that contains no others. False leaves the module, True
            quantizes it, a dict (not empty) does so with these arguments of `to_quantized` instead of those above. By
            default all modules that have `to_quantized`.

    Raises:
        ValueError: if the predicate picks a module that has no `to_quantized`, or a weight can't be divided into
            groups. The model is then unchanged.
    """

    def replace(path: str, module: Module) -> Module:
        if not isinstance(module, Module):
            return module
        if class_predicate is None:
            choice: bool | dict = hasattr(module, "to_quantized")
        else:
            choice = class_predicate(path, module)
        if not choice:
            return module
        if not hasattr(module, "to_quantized"):
            raise ValueError(
                f"quantize: '{path}' is a {type(module).__name__}, which has no to_quantized; let "
                "class_predicate return False for it."
            )
        if isinstance(choice, dict):
            return module.to_quantized(**choice)
        arguments: dict[str, Any] = {"group_size": group_size, "bits": bits, "mode": mode}
        if quantize_input:  # left out otherwise, for modules that don't know it
            arguments["quantize_input"] = True
        return module.to_quantized(**arguments)

    leaves = tree_map_with_path(replace, model.leaf_modules(), is_leaf=Module.is_module)
    model.update_modules(leaves)


class QuantizedEmbedding(Module):
    """An `Embedding` whose table is quantized.

    Args:
        num_embeddings: The number of rows.
        dims: The length of a row, divisible by the group size.
        group_size: How many values share a scale; by default what `mode` says.
        bits: Bits per value; by default what `mode` says.
        mode: "affine", "mxfp4", "mxfp8" or "nvfp4".

    Parameters, all frozen: `weight` (num_embeddings, dims · bits / 32) of uint32, `scales`
    (num_embeddings, dims / group_size) and, in mode "affine", `biases` like them.
    """

    def __init__(
        self,
        num_embeddings: int,
        dims: int,
        group_size: int | None = None,
        bits: int | None = None,
        mode: str = "affine",
    ) -> None:
        super().__init__()
        self.group_size, self.bits = _with_defaults(group_size, bits, mode)
        self.mode = mode
        self.num_embeddings = num_embeddings
        self.dims = dims
        check_sizes("QuantizedEmbedding", num_embeddings=num_embeddings, dims=dims)
        table = mx.random.normal((num_embeddings, dims), scale=math.sqrt(1 / dims))
        self.weight, self.scales, *biases = mx.quantize(table, self.group_size, self.bits, mode)
        if biases:
            self.biases = biases[0]
        self.freeze()

    def _extra_repr(self) -> str:
        return (
            f"{self.num_embeddings}, {self.dims}, group_size={self.group_size}, bits={self.bits}, "
            f"mode={self.mode}"
        )

    def __call__(self, x: mx.array) -> mx.array:
        """Maps indices x (...) to rows (..., dims)."""
        return mx.dequantize(
            self["weight"][x],
            self["scales"][x],
            self["biases"][x] if "biases" in self else None,
            self.group_size,
            self.bits,
            self.mode,
        )

    def as_linear(self, x: mx.array) -> mx.array:
        """Maps x (..., dims) to its products with all rows (..., num_embeddings)."""
        return mx.quantized_matmul(
            x,
            self["weight"],
            self["scales"],
            self.get("biases"),
            True,
            self.group_size,
            self.bits,
            self.mode,
        )

    @classmethod
    def from_embedding(
        cls,
        embedding_layer: Module,
        group_size: int | None = None,
        bits: int | None = None,
        mode: str = "affine",
    ) -> QuantizedEmbedding:
        """Quantizes the table of an `Embedding`."""
        num_embeddings, dims = embedding_layer.weight.shape
        self = cls.__new__(cls)
        Module.__init__(self)
        self.group_size, self.bits = _with_defaults(group_size, bits, mode)
        self.mode = mode
        self.num_embeddings = num_embeddings
        self.dims = dims
        self.weight, self.scales, *biases = mx.quantize(
            embedding_layer.weight, self.group_size, self.bits, mode
        )
        if biases:
            self.biases = biases[0]
        self.freeze()
        return self


class QuantizedLinear(Module):
    """A `Linear` layer whose weight is quantized.

    Args:
        input_dims: Size of the last axis of the input, divisible by the group size.
        output_dims: Size of the last axis of the output.
        bias: Whether to add b.
        group_size: How many values share a scale; by default what `mode` says.
        bits: Bits per value; by default what `mode` says.
        mode: "affine", "mxfp4", "mxfp8" or "nvfp4".

    Parameters, all frozen: `weight` (output_dims, input_dims · bits / 32) of uint32, `scales`
    (output_dims, input_dims / group_size), in mode "affine" `biases` like them, and `bias` (output_dims,).
    """

    def __init__(
        self,
        input_dims: int,
        output_dims: int,
        bias: bool = True,
        group_size: int | None = None,
        bits: int | None = None,
        mode: str = "affine",
    ) -> None:
        super().__init__()
        check_sizes("QuantizedLinear", input_dims=input_dims, output_dims=output_dims)
        limit = math.sqrt(1 / input_dims)
        weight = mx.random.uniform(-limit, limit, (output_dims, input_dims))
        self._adopt(weight, mx.zeros((output_dims,)) if bias else None, group_size, bits, mode)

    def _adopt(
        self,
        weight: mx.array,
        bias: mx.array | None,
        group_size: int | None,
        bits: int | None,
        mode: str,
    ) -> None:
        """Quantizes `weight`, and freezes all."""
        self.group_size, self.bits = _with_defaults(group_size, bits, mode)
        self.mode = mode
        self.weight, self.scales, *biases = mx.quantize(weight, self.group_size, self.bits, mode)
        if biases:
            self.biases = biases[0]
        if bias is not None:
            self.bias = bias
        self.freeze()

    def _extra_repr(self) -> str:
        output_dims, words = self.weight.shape
        return (
            f"input_dims={words * 32 // self.bits}, output_dims={output_dims}, bias={'bias' in self}, "
            f"group_size={self.group_size}, bits={self.bits}, mode={self.mode}"
        )

    def __call__(self, x: mx.array) -> mx.array:
        """Maps x (..., input_dims) to (..., output_dims)."""
        y = mx.quantized_matmul(
            x,
            self["weight"],
            self["scales"],
            self.get("biases"),
            True,
            self.group_size,
            self.bits,
            self.mode,
        )
        return y + self["bias"] if "bias" in self else y

    @classmethod
    def from_linear(
        cls,
        linear_layer: Module,
        group_size: int | None = None,
        bits: int | None = None,
        mode: str = "affine",
    ) -> QuantizedLinear:
        """Quantizes the weight of a `Linear` layer."""
        self = cls.__new__(cls)
        Module.__init__(self)
        self._adopt(linear_layer.weight, linear_layer.get("bias"), group_size, bits, mode)
        return self


class QQLinear(Module):
    """A linear layer without bias that quantizes its input and its weight.

    While training the weight is kept in full, and quantized in each call; `eval()` stores it quantized, and `train()`
    takes that back, with the rounding left in it.

    Args:
        input_dims: Size of the last axis of the input, divisible by the group size.
        output_dims: Size of the last axis of the output.
        group_size: How many values share a scale; by default what `mode` says.
        bits: Bits per value; by default what `mode` says.
        mode: "nvfp4" or "mxfp8".

    Parameters: `weight` (output_dims, input_dims); once quantized (output_dims, input_dims · bits / 32) of uint32, and
    `scales` (output_dims, input_dims / group_size).

    Raises:
        ValueError: for another mode.
    """

    def __init__(
        self,
        input_dims: int,
        output_dims: int,
        group_size: int | None = None,
        bits: int | None = None,
        mode: str = "nvfp4",
    ) -> None:
        super().__init__()
        if mode not in ("nvfp4", "mxfp8"):
            raise ValueError(
                f"QQLinear: mode {mode!r} can't quantize the input, expected 'nvfp4' or 'mxfp8'."
            )
        self.group_size, self.bits = _with_defaults(group_size, bits, mode)
        self.mode = mode
        check_sizes("QQLinear", input_dims=input_dims, output_dims=output_dims)
        limit = math.sqrt(1 / input_dims)
        self.weight = mx.random.uniform(-limit, limit, (output_dims, input_dims))
        self._quantized = False
        self._dtype = self.weight.dtype

    def _extra_repr(self) -> str:
        output_dims, input_dims = self.weight.shape
        if self._quantized:
            input_dims = input_dims * 32 // self.bits
        return (
            f"input_dims={input_dims}, output_dims={output_dims}, group_size={self.group_size}, "
            f"bits={self.bits}, mode={self.mode}"
        )

    def quantize(self) -> None:
        """Stores the weight quantized; does nothing if it is."""
        if not self._quantized:
            self._dtype = self.weight.dtype
            self.weight, self.scales, *_ = mx.quantize(
                self.weight, self.group_size, self.bits, self.mode
            )
            self._quantized = True

    def dequantize(self) -> None:
        """Stores the weight in full, in the dtype it had; does nothing if it is."""
        if self._quantized:
            self.weight = mx.dequantize(
                self.weight,
                self.scales,
                None,
                self.group_size,
                self.bits,
                self.mode,
                dtype=self._dtype,
            )
            del self.scales
            self._quantized = False

    def _set_training_mode(self, mode: bool) -> None:
        super()._set_training_mode(mode)
        if mode:
            self.dequantize()
        else:
            self.quantize()

    def __call__(self, x: mx.array) -> mx.array:
        """Maps x (..., input_dims) to (..., output_dims)."""
        return mx.qqmm(x, self["weight"], self.get("scales"), self.group_size, self.bits, self.mode)

    @classmethod
    def from_linear(
        cls,
        linear_layer: Module,
        group_size: int | None = None,
        bits: int | None = None,
        mode: str = "nvfp4",
    ) -> QQLinear:
        """A layer with the weight of a `Linear` layer without bias.

        Raises:
            ValueError: if that layer has a bias.
        """
        if "bias" in linear_layer:
            raise ValueError("QQLinear: the layer to quantize has a bias, which QQLinear does not.")
        output_dims, input_dims = linear_layer.weight.shape
        self = cls(input_dims, output_dims, group_size, bits, mode)
        self.weight = linear_layer.weight
        self._dtype = self.weight.dtype
        return self
