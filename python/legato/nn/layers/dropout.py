"""Layers that zero values at random while training."""

from __future__ import annotations

import legato.core as mx
from legato.nn.layers.base import Module


class Dropout(Module):
    """Zeroes each value with probability p and divides the others by 1 - p; the identity in evaluation mode.

    Args:
        p: The probability, in [0, 1).

    Raises:
        ValueError: for another probability.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"{type(self).__name__}: the probability {p} is not in [0, 1).")
        self.p = p

    def _extra_repr(self) -> str:
        return f"p={self.p}"

    def _drop(self, x: mx.array, mask_shape: list[int]) -> mx.array:
        if self.p == 0 or not self.training:
            return x
        keep = mx.random.bernoulli(1 - self.p, mask_shape)
        return mx.where(keep, x * (1 / (1 - self.p)), 0)

    def __call__(self, x: mx.array) -> mx.array:
        """Maps x (...) to an array of the same shape and, if floating, dtype."""
        return self._drop(x, list(x.shape))


class _ChannelDropout(Dropout):
    """Drops whole channels: one choice for all of the last `_spatial` axes before the channels."""

    _spatial = 2

    def __call__(self, x: mx.array) -> mx.array:
        """Maps x (N, spatial..., C), or (spatial..., C), to an array of the same shape.

        Raises:
            ValueError: for another number of axes.
        """
        if x.ndim not in (self._spatial + 1, self._spatial + 2):
            raise ValueError(
                f"{type(self).__name__}: received input with {x.ndim} dimensions, "
                f"expected {self._spatial + 1} or {self._spatial + 2} dimensions."
            )
        mask_shape = list(x.shape)
        mask_shape[-1 - self._spatial : -1] = [1] * self._spatial
        return self._drop(x, mask_shape)


class Dropout2d(_ChannelDropout):
    """Zeroes each channel of an image with probability p and divides the others by 1 - p.

    Neighbouring pixels resemble each other, so that dropping single values would hide little. The identity in
    evaluation mode. Takes inputs (N, H, W, C) or (H, W, C).

    Args:
        p: The probability, in [0, 1).

    Raises:
        ValueError: for another probability.
    """

    _spatial = 2


class Dropout3d(_ChannelDropout):
    """Zeroes each channel of a volume with probability p and divides the others by 1 - p.

    The identity in evaluation mode. Takes inputs (N, D, H, W, C) or (D, H, W, C).

    Args:
        p: The probability, in [0, 1).

    Raises:
        ValueError: for another probability.
    """

    _spatial = 3
