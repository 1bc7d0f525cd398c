"""Attention and the transformer of Vaswani et al., 2017."""

from __future__ import annotations

import math

import legato.core as mx
from legato.nn.layers.activations import relu
from legato.nn.layers.base import Module, check_sizes
from legato.nn.layers.dropout import Dropout
from legato.nn.layers.linear import Linear
from legato.nn.layers.normalization import LayerNorm
from legato.nn.utils import checkpoint as checkpointed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class MultiHeadAttention(Module):
    """Attention with several heads: softmax(Q Kᵀ / √d + mask) V for each, on learned projections.

    Args:
        dims: The number of features of queries and keys of all heads together.
        num_heads: The number of heads, which divides `dims`.
        query_input_dims: The number of features of the input of the queries; `dims` by default.
        key_input_dims: The same for the keys; `dims` by default.
        value_input_dims: The same for the values; that of the keys by default.
        value_dims: The number of features of the values of all heads together; `dims` by default.
        value_output_dims: The number of features of the output; `dims` by default.
        bias: Whether the projections have biases.

    Parts: the `Linear` layers `query_proj`, `key_proj`, `value_proj` and `out_proj`.

    Raises:
        ValueError: if `dims` or `value_dims` isn't divisible by `num_heads`.
    """

    def __init__(
        self,
        dims: int,
        num_heads: int,
        query_input_dims: int | None = None,
        key_input_dims: int | None = None,
        value_input_dims: int | None = None,
        value_dims: int | None = None,
        value_output_dims: int | None = None,
        bias: bool = False,
    ) -> None:
        super().__init__()
        check_sizes("MultiHeadAttention", dims=dims, num_heads=num_heads)
        if dims % num_heads or (value_dims or dims) % num_heads:
            raise ValueError(
                f"MultiHeadAttention: {dims} features of queries and keys and {value_dims or dims} of values can't be "
                f"divided among {num_heads} heads."
            )
        query_input_dims = query_input_dims or dims
        key_input_dims = key_input_dims or dims
        value_input_dims = value_input_dims or key_input_dims
        value_dims = value_dims or dims
        value_output_dims = value_output_dims or dims

        self.num_heads = num_heads
        self.query_proj = Linear(query_input_dims, dims, bias=bias)
        self.key_proj = Linear(key_input_dims, dims, bias=bias)
        self.value_proj = Linear(value_input_dims, value_dims, bias=bias)
        self.out_proj = Linear(value_dims, value_output_dims, bias=bias)

    def __call__(
        self,
        queries: mx.array,
        keys: mx.array,
        values: mx.array,
        mask: mx.array | str | None = None,
    ) -> mx.array:
        """Attends.

        Args:
            queries: Array (B, L, query_input_dims).
            keys: Array (B, S, key_input_dims).
            values: Array (B, S, value_input_dims).
            mask: Added to the scores, or, if boolean, True where to look; broadcast with (B, heads, L, S). "causal"
                looks at no later position.

        Returns:
            Array (B, L, value_output_dims).
        """

        def heads(x: mx.array) -> mx.array:  # (B, L, heads · d) -> (B, heads, L, d)
            return x.reshape(*x.shape[:-1], self.num_heads, -1).swapaxes(-2, -3)

        q = heads(self.query_proj(queries))
        k = heads(self.key_proj(keys))
        v = heads(self.value_proj(values))
        scale = 1 / math.sqrt(q.shape[-1])
        y = mx.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask=mask)
        y = y.swapaxes(-2, -3)
        return self.out_proj(y.reshape(*y.shape[:-2], -1))

    @staticmethod
    def create_additive_causal_mask(N: int, dtype: mx.Dtype = mx.float32) -> mx.array:
        """A mask (N, N) to add to scores, with the lowest finite value where the key is later than the query.

        >>> MultiHeadAttention.create_additive_causal_mask(3)[1] == 0
        array([True, True, False], dtype=bool)
        """
        positions = mx.arange(N)
        later = positions[:, None] < positions[None]
        return later.astype(dtype) * mx.finfo(dtype).min


class TransformerEncoderLayer(Module):
    """One layer of a transformer encoder: self-attention, then a perceptron, with residuals and layer norms.

    Args:
        dims: The number of features.
        num_heads: The number of attention heads.
        mlp_dims: The number of hidden features of the perceptron; 4 · dims by default.
        dropout: Probability to drop the output of the attention and the hidden features.
        activation: The activation of the perceptron.
        norm_first: Whether to normalize before attention and perceptron, or after the residuals.

    Parts: `attention`, `ln1`, `ln2`, `linear1`, `linear2`.
    """

    def __init__(
        self,
        dims: int,
        num_heads: int,
        mlp_dims: int | None = None,
        dropout: float = 0.0,
        activation: Callable[[Any], Any] = relu,
        norm_first: bool = True,
    ) -> None:
        super().__init__()
        mlp_dims = mlp_dims or dims * 4
        self.attention = MultiHeadAttention(dims, num_heads)
        self.ln1 = LayerNorm(dims)
        self.ln2 = LayerNorm(dims)
        self.linear1 = Linear(dims, mlp_dims)
        self.linear2 = Linear(mlp_dims, dims)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.activation = activation
        self.norm_first = norm_first

    def _attend(self, x: mx.array, mask: mx.array | str | None) -> mx.array:
        return self.dropout1(self.attention(x, x, x, mask))

    def _perceptron(self, x: mx.array) -> mx.array:
        return self.linear2(self.dropout2(self.activation(self.linear1(x))))

    def __call__(self, x: mx.array, mask: mx.array | str | None) -> mx.array:
        """Maps x (B, L, dims) to the same shape; `mask` as in `MultiHeadAttention`."""
        if self.norm_first:
            x = x + self._attend(self.ln1(x), mask)
            return x + self._perceptron(self.ln2(x))
        x = self.ln1(x + self._attend(x, mask))
        return self.ln2(x + self._perceptron(x))


class TransformerEncoder(Module):
    """A stack of `TransformerEncoderLayer`s with a layer norm at the end.

    Args:
        num_layers: The number of layers.
        dims: The number of features.
        num_heads: The number of attention heads.
        mlp_dims: The number of hidden features of the perceptrons; 4 · dims by default.
        dropout: Probability to drop, as in the layers.
        activation: The activation of the perceptrons.
        norm_first: Whether to normalize before attention and perceptron, or after the residuals.
        checkpoint: Whether to compute the layers again for the gradient, instead of keeping what they computed.

    Parts: the list `layers`, and `ln`.
    """

    def __init__(
        self,
        num_layers: int,
        dims: int,
        num_heads: int,
        mlp_dims: int | None = None,
        dropout: float = 0.0,
        activation: Callable[[Any], Any] = relu,
        norm_first: bool = True,
        checkpoint: bool = False,
    ) -> None:
        super().__init__()
        self.layers = [
            TransformerEncoderLayer(dims, num_heads, mlp_dims, dropout, activation, norm_first)
            for _ in range(num_layers)
        ]
        self.ln = LayerNorm(dims)
        self.checkpoint = checkpoint

    def __call__(self, x: mx.array, mask: mx.array | str | None) -> mx.array:
        """Maps x (B, L, dims) to the same shape; `mask` as in `MultiHeadAttention`."""
        for layer in self.layers:
            x = (checkpointed(layer) if self.checkpoint else layer)(x, mask)
        return self.ln(x)


class TransformerDecoderLayer(Module):
    """One layer of a transformer decoder: self-attention, attention to the memory, then a perceptron.

    Args:
        dims: The number of features.
        num_heads: The number of attention heads.
        mlp_dims: The number of hidden features of the perceptron; 4 · dims by default.
        dropout: Probability to drop the outputs of the attentions and the hidden features.
        activation: The activation of the perceptron.
        norm_first: Whether to normalize before attention and perceptron, or after the residuals.

    Parts: `self_attention`, `cross_attention`, `ln1`, `ln2`, `ln3`, `linear1`, `linear2`.
    """

    def __init__(
        self,
        dims: int,
        num_heads: int,
        mlp_dims: int | None = None,
        dropout: float = 0.0,
        activation: Callable[[Any], Any] = relu,
        norm_first: bool = True,
    ) -> None:
        super().__init__()
        mlp_dims = mlp_dims or dims * 4
        self.self_attention = MultiHeadAttention(dims, num_heads)
        self.cross_attention = MultiHeadAttention(dims, num_heads)
        self.ln1 = LayerNorm(dims)
        self.ln2 = LayerNorm(dims)
        self.ln3 = LayerNorm(dims)
        self.linear1 = Linear(dims, mlp_dims)
        self.linear2 = Linear(mlp_dims, dims)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.dropout3 = Dropout(dropout)
        self.activation = activation
        self.norm_first = norm_first

    def _attend(self, x: mx.array, mask: mx.array | str | None) -> mx.array:
        return self.dropout1(self.self_attention(x, x, x, mask))

    def _attend_to(self, x: mx.array, memory: mx.array, mask: mx.array | str | None) -> mx.array:
        return self.dropout2(self.cross_attention(x, memory, memory, mask))

    def _perceptron(self, x: mx.array) -> mx.array:
        return self.linear2(self.dropout3(self.activation(self.linear1(x))))

    def __call__(
        self,
        x: mx.array,
        memory: mx.array,
        x_mask: mx.array | str | None,
        memory_mask: mx.array | str | None,
    ) -> mx.array:
        """Maps x (B, L, dims), with the memory (B, S, dims), to the shape of x."""
        if self.norm_first:
            x = x + self._attend(self.ln1(x), x_mask)
            x = x + self._attend_to(self.ln2(x), memory, memory_mask)
            return x + self._perceptron(self.ln3(x))
        x = self.ln1(x + self._attend(x, x_mask))
        x = self.ln2(x + self._attend_to(x, memory, memory_mask))
        return self.ln3(x + self._perceptron(x))


class TransformerDecoder(Module):
    """A stack of `TransformerDecoderLayer`s with a layer norm at the end.

    Args:
        num_layers: The number of layers.
        dims: The number of features.
        num_heads: The number of attention heads.
        mlp_dims: The number of hidden features of the perceptrons; 4 · dims by default.
        dropout: Probability to drop, as in the layers.
        activation: The activation of the perceptrons.
        norm_first: Whether to normalize before attention and perceptron, or after the residuals.
        checkpoint: Whether to compute the layers again for the gradient, instead of keeping what they computed.

    Parts: the list `layers`, and `ln`.
    """

    def __init__(
        self,
        num_layers: int,
        dims: int,
        num_heads: int,
        mlp_dims: int | None = None,
        dropout: float = 0.0,
        activation: Callable[[Any], Any] = relu,
        norm_first: bool = True,
        checkpoint: bool = False,
    ) -> None:
        super().__init__()
        self.layers = [
            TransformerDecoderLayer(dims, num_heads, mlp_dims, dropout, activation, norm_first)
            for _ in range(num_layers)
        ]
        self.ln = LayerNorm(dims)
        self.checkpoint = checkpoint

    def __call__(
        self,
        x: mx.array,
        memory: mx.array,
        x_mask: mx.array | str | None,
        memory_mask: mx.array | str | None,
    ) -> mx.array:
        """Maps x (B, L, dims), with the memory (B, S, dims), to the shape of x."""
        for layer in self.layers:
            x = (checkpointed(layer) if self.checkpoint else layer)(x, memory, x_mask, memory_mask)
        return self.ln(x)


class Transformer(Module):
    """An encoder and a decoder that attends to its output.

    Args:
        dims: The number of features.
        num_heads: The number of attention heads.
        num_encoder_layers: The number of layers of the encoder.
        num_decoder_layers: The number of layers of the decoder.
        mlp_dims: The number of hidden features of the perceptrons; 4 · dims by default.
        dropout: Probability to drop, as in the layers.
        activation: The activation of the perceptrons.
        custom_encoder: A module in place of the encoder, called as `encoder(src, src_mask)`.
        custom_decoder: A module in place of the decoder, called as `decoder(tgt, memory, tgt_mask, memory_mask)`.
        norm_first: Whether to normalize before attention and perceptron, or after the residuals.
        checkpoint: Whether to compute the layers again for the gradient, instead of keeping what they computed.

    Parts: `encoder` and `decoder`.
    """

    def __init__(
        self,
        dims: int = 512,
        num_heads: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        mlp_dims: int | None = None,
        dropout: float = 0.0,
        activation: Callable[[Any], Any] = relu,
        custom_encoder: Any | None = None,
        custom_decoder: Any | None = None,
        norm_first: bool = True,
        checkpoint: bool = False,
    ) -> None:
        super().__init__()
        # A module without parameters is an empty dict: compare with None.
        self.encoder = (
            custom_encoder
            if custom_encoder is not None
            else TransformerEncoder(
                num_encoder_layers,
                dims,
                num_heads,
                mlp_dims,
                dropout,
                activation,
                norm_first,
                checkpoint,
            )
        )
        self.decoder = (
            custom_decoder
            if custom_decoder is not None
            else TransformerDecoder(
                num_decoder_layers,
                dims,
                num_heads,
                mlp_dims,
                dropout,
                activation,
                norm_first,
                checkpoint,
            )
        )

    def __call__(
        self,
        src: mx.array,
        tgt: mx.array,
        src_mask: mx.array | str | None,
        tgt_mask: mx.array | str | None,
        memory_mask: mx.array | str | None,
    ) -> mx.array:
        """Maps src (B, S, dims) and tgt (B, L, dims) to (B, L, dims)."""
        memory = self.encoder(src, src_mask)
        return self.decoder(tgt, memory, tgt_mask, memory_mask)
