"""Ways to tell a transformer where its inputs stand."""

from __future__ import annotations

import math

import legato.core as mx
from legato.nn.layers.base import Module, check_sizes


class RoPE(Module):
    """Rotates pairs of features by angles proportional to the position (Su et al., 2021).

    Args:
        dims: How many features to rotate, an even number; features beyond stay as they are.
        traditional: Whether neighbours make a pair (2i, 2i + 1), as in the paper; otherwise (i, i + dims / 2).
        base: Pair i turns by base^(-2i / dims) a position.
        scale: Factor of the positions.
    """

    def __init__(
        self, dims: int, traditional: bool = False, base: float = 10000, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.dims = dims
        self.traditional = traditional
        self.base = base
        self.scale = scale

    def _extra_repr(self) -> str:
        return f"{self.dims}, traditional={self.traditional}"

    def __call__(self, x: mx.array, offset: int | mx.array = 0) -> mx.array:
        """Rotates x (..., L, D) with D >= dims, whose positions along L begin at `offset`."""
        return mx.fast.rope(
            x,
            self.dims,
            traditional=self.traditional,
            base=self.base,
            scale=self.scale,
            offset=offset,
        )


class SinusoidalPositionalEncoding(Module):
    """Encodes positions by sines and cosines of frequencies in geometric progression (Vaswani et al., 2017).

    Args:
        dims: The size of the encoding, half of it sines, half cosines.
        min_freq: The smallest frequency, in radians a position.
        max_freq: The largest frequency.
        scale: Factor of the result; √(2 / dims) by default.
        cos_first: Whether cosines come before sines.
        full_turns: Whether frequencies are in turns a position instead of radians.
    """

    def __init__(
        self,
        dims: int,
        min_freq: float = 0.0001,
        max_freq: float = 1,
        scale: float | None = None,
        cos_first: bool = False,
        full_turns: bool = False,
    ) -> None:
        super().__init__()
        if dims < 2:
            raise ValueError(f"SinusoidalPositionalEncoding: dims is {dims}, expected 2 or more.")
        half = dims // 2
        # From the largest frequency to the smallest.
        place = 1 - mx.arange(0, half) / max(half - 1, 1)
        low, high = math.log(min_freq), math.log(max_freq)
        frequencies = mx.exp(place * (high - low) + low)
        if full_turns:
            frequencies = frequencies * (2 * math.pi)
        self._sigmas = frequencies
        self.scale = math.sqrt(2 / dims) if scale is None else scale
        self.cos_first = cos_first

    def __call__(self, x: mx.array) -> mx.array:
        """Maps positions x (...) to encodings (..., dims)."""
        angles = x[..., None] * self._sigmas
        parts = [mx.sin(angles), mx.cos(angles)]
        if self.cos_first:
            parts.reverse()
        y = mx.concatenate(parts, axis=-1)
        return y if self.scale == 1 else y * self.scale


class ALiBi(Module):
    """Adds to attention scores a penalty proportional to the distance (Press et al., 2021)."""

    @staticmethod
    def create_alibi_matrix(
        q_sequence_length: int,
        k_sequence_length: int,
        num_heads: int,
        offset: int = 0,
        dtype: mx.Dtype = mx.float32,
    ) -> mx.array:
        """The penalties (1, num_heads, q_sequence_length - offset, k_sequence_length), none positive.

        Args:
            q_sequence_length: One past the position of the last query.
            k_sequence_length: The number of keys.
            num_heads: The number of heads, each with a slope of its own.
            offset: The position of the first query.
            dtype: The dtype of the result.
        """
        queries = mx.arange(offset, q_sequence_length)
        keys = mx.arange(0, k_sequence_length)
        distance = mx.abs(queries[:, None] - keys[None, :])[None, None]
        slope = ALiBi.create_alibi_slope(num_heads, dtype)
        return -(distance.astype(dtype) * slope)

    @staticmethod
    def create_alibi_slope(num_heads: int, dtype: mx.Dtype = mx.float32) -> mx.array:
        """The slopes of the heads, as (num_heads, 1, 1).

        For a power of two they are 2^(-8 h / num_heads), h = 1, 2, ...; otherwise those for the next lower power of
        two, and then every other one of those for the next higher.

        >>> ALiBi.create_alibi_slope(3).flatten()
        array([0.0625, 0.00390625, 0.25], dtype=float32)
        """
        check_sizes("ALiBi", num_heads=num_heads)
        power = 2 ** int(math.log2(num_heads))
        slopes = [2 ** (-8 * h / power) for h in range(1, power + 1)]
        slopes += [2 ** (-4 * h / power) for h in range(1, 2 * (num_heads - power), 2)]
        return mx.array(slopes, dtype=dtype)[:, None, None]

    def __call__(
        self, attention_scores: mx.array, offset: int = 0, mask: mx.array | None = None
    ) -> mx.array:
        """Adds the penalties, and `mask` if given, to scores (B, heads, L, S) of queries that begin at `offset`."""
        _, heads, queries, keys = attention_scores.shape
        bias = self.create_alibi_matrix(
            queries + offset, keys, heads, offset, attention_scores.dtype
        )
        if mask is not None:
            bias = bias + mask
        return attention_scores + bias
