"""Tables of vectors looked up by index."""

from __future__ import annotations

import math

import legato.core as mx
from legato.nn.layers.base import Module, check_sizes
from legato.nn.layers.quantized import QuantizedEmbedding


class Embedding(Module):
    """Maps each index to a row of a learned table.

    Args:
        num_embeddings: The number of rows.
        dims: The length of a row.

    Parameters: `weight` (num_embeddings, dims), at first normal with standard deviation 1/√dims.

    >>> Embedding(10, 4)(mx.array([[1, 2, 3]])).shape
    (1, 3, 4)
    """

    def __init__(self, num_embeddings: int, dims: int) -> None:
        super().__init__()
        check_sizes("Embedding", num_embeddings=num_embeddings, dims=dims)
        self.weight = mx.random.normal((num_embeddings, dims), scale=math.sqrt(1 / dims))

    def _extra_repr(self) -> str:
        num_embeddings, dims = self.weight.shape
        return f"{num_embeddings}, {dims}"

    def __call__(self, x: mx.array) -> mx.array:
        """Maps integer indices x (...) to rows (..., dims)."""
        return self["weight"][x]

    def as_linear(self, x: mx.array) -> mx.array:
        """Maps x (..., dims) to its products with all rows (..., num_embeddings), without a bias.

        With it the output layer of a language model can share the table of the input layer.
        """
        return x @ self["weight"].T

    def to_quantized(
        self,
        group_size: int | None = None,
        bits: int | None = None,
        mode: str = "affine",
        quantize_input: bool = False,
    ) -> QuantizedEmbedding:
        """A `QuantizedEmbedding` with the values of this one.

        Raises:
            ValueError: if `quantize_input` is asked for (indices can't be quantized), or `dims` isn't divisible by the
                group size.
        """
        if quantize_input:
            raise ValueError(
                "Embedding.to_quantized: quantize_input is set, but the input is indices."
            )
        return QuantizedEmbedding.from_embedding(self, group_size, bits, mode)
