"""Resizing along the spatial axes. Inputs are (N, spatial..., C)."""

from __future__ import annotations

import math

import legato.core as mx
from legato.nn.layers.base import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal


def _triangle(t: mx.array) -> mx.array:
    """The filter of linear interpolation, of half width 1."""
    return mx.maximum(1 - mx.abs(t), 0)


def _cubic(a: float) -> Callable[[mx.array], mx.array]:
    """The cubic convolution filter of Keys, 1981, of half width 2, with slope `a` at 1."""

    def filter_fn(t: mx.array) -> mx.array:
        t = mx.abs(t)
        near = ((a + 2) * t - (a + 3)) * t * t + 1
        far = (((t - 5) * t + 8) * t - 4) * a
        return mx.where(t <= 1, near, mx.where(t < 2, far, 0.0))

    return filter_fn


def _resize_axis(
    x: mx.array,
    axis: int,
    scale: float,
    filter_fn: Callable[[mx.array], mx.array],
    half_width: int,
    align_corners: bool,
    antialias: bool,
) -> mx.array:
    """Resamples one axis: each output is a weighted sum of the inputs around its place."""
    size = x.shape[axis]
    count = int(scale * size)
    # `places` are positions of the outputs among the inputs, `step` the distance between two of them. What the output
    # lacks of scale · size is missing on both sides alike.
    if align_corners:
        step = (size - 1) / (count - 1) if count > 1 else 0.0
        places = mx.arange(count) * step
    else:
        step = 1 / scale
        places = (mx.arange(count) - (count - 1) / 2) * step + (size - 1) / 2
    stretch = max(step, 1.0) if antialias else 1.0
    support = half_width * stretch
    first = mx.floor(places - support) + 1
    taps = math.ceil(2 * support)

    indices = first[None] + mx.arange(taps)[:, None]  # (taps, count)
    weights = filter_fn((indices - places[None]) / stretch)
    if antialias:  # what lies outside does not count; otherwise the edge is repeated
        weights = mx.where((indices >= 0) & (indices < size), weights, 0.0)
        weights = weights / mx.sum(weights, axis=0, keepdims=True)
    indices = mx.minimum(mx.maximum(indices, 0), size - 1).astype(mx.int32)

    along = [1] * x.ndim
    along[axis] = count
    terms = [mx.take(x, indices[k], axis=axis) * weights[k].reshape(along) for k in range(taps)]
    return sum(terms[1:], terms[0])


def _scales(x: mx.array, scale_factor: float | tuple) -> tuple[float, ...]:
    """A scale for every spatial axis of x."""
    axes = x.ndim - 2
    if axes <= 0:
        raise ValueError(
            "Upsample: the input should have at least 1 spatial dimension which means it should be at least 3D, "
            f"but {x.ndim}D was provided."
        )
    scales = (
        tuple(scale_factor) if isinstance(scale_factor, (tuple, list)) else (scale_factor,) * axes
    )
    if len(scales) != axes:
        raise ValueError(
            f"Upsample: one scale per spatial dimension is required, but scale_factor={scales} and the number of "
            f"spatial dimensions is {axes}."
        )
    for axis, scale in enumerate(scales):
        if not 1 <= scale * x.shape[axis + 1] < math.inf:
            raise ValueError(
                f"Upsample: the scale {scale} of spatial axis {axis} of size {x.shape[axis + 1]} gives no positive, "
                "finite size."
            )
    return scales


def upsample_nearest(x: mx.array, scale_factor: tuple) -> mx.array:
    """Resizes by repeating the nearest value.

    Args:
        x: Array (N, spatial..., C).
        scale_factor: Output size over input size for each spatial axis, or one for all.

    >>> upsample_nearest(mx.array([[[1.0], [2.0]]]), 2).flatten()
    array([1, 1, 2, 2], dtype=float32)
    """
    for axis, scale in enumerate(_scales(x, scale_factor), start=1):
        if scale == 1:
            continue
        if float(scale).is_integer():
            x = mx.repeat(x, int(scale), axis=axis)
        else:
            size = x.shape[axis]
            count = int(scale * size)
            if scale > 1:
                indices = mx.round((mx.arange(count) + 0.5) * (size / count) - 0.5)
                indices = mx.minimum(mx.maximum(indices, 0), size - 1).astype(mx.int32)
            else:  # each output stands for a range of inputs and takes the first
                indices = mx.arange(count) * size // count
            x = mx.take(x, indices, axis=axis)
    return x


def _resize(
    x: mx.array,
    scale_factor: tuple,
    filter_fn: Callable[[mx.array], mx.array],
    half_width: int,
    align_corners: bool,
    antialias: bool,
) -> mx.array:
    if align_corners and antialias:
        raise ValueError(
            "Upsample: antialias is not supported with align_corners; choose one of them."
        )
    y = x
    for axis, scale in enumerate(_scales(x, scale_factor), start=1):
        if scale != 1:
            y = _resize_axis(y, axis, scale, filter_fn, half_width, align_corners, antialias)
    return y.astype(x.dtype) if mx.issubdtype(x.dtype, mx.inexact) else y


def upsample_linear(
    x: mx.array, scale_factor: tuple, align_corners: bool = False, antialias: bool = False
) -> mx.array:
    """Resizes by linear interpolation along each spatial axis.

    Args:
        x: Array (N, spatial..., C).
        scale_factor: Output size over input size for each spatial axis, or one for all.
        align_corners: Whether the centres of the corner values stay in place, instead of the outer edges.
        antialias: Whether to widen the filter where sizes shrink; not with `align_corners`.

    Raises:
        ValueError: if both are asked for, or scales do not fit the shape of x.
    """
    return _resize(x, scale_factor, _triangle, 1, align_corners, antialias)


def upsample_cubic(
    x: mx.array, scale_factor: tuple, align_corners: bool = False, antialias: bool = False
) -> mx.array:
    """Resizes by cubic convolution along each spatial axis.

    Args:
        x: Array (N, spatial..., C).
        scale_factor: Output size over input size for each spatial axis, or one for all.
        align_corners: Whether the centres of the corner values stay in place, instead of the outer edges.
        antialias: Whether to widen the filter where sizes shrink; not with `align_corners`.

    Raises:
        ValueError: if both are asked for, or scales do not fit the shape of x.
    """
    filter_fn = _cubic(-0.5 if antialias else -0.75)
    return _resize(x, scale_factor, filter_fn, 2, align_corners, antialias)


class Upsample(Module):
    """Resizes along the spatial axes.

    Args:
        scale_factor: Output size over input size, one for all spatial axes or one for each.
        mode: "nearest" repeats values, "linear" and "cubic" interpolate.
        align_corners: Whether the centres of the corner values stay in place, instead of the outer edges ("linear" and
            "cubic").
        antialias: Whether to widen the filter where sizes shrink ("linear" and "cubic").

    Raises:
        ValueError: for another mode.

    >>> Upsample(2)(mx.zeros((1, 4, 4, 3))).shape
    (1, 8, 8, 3)
    """

    def __init__(
        self,
        scale_factor: float | tuple,
        mode: Literal["nearest", "linear", "cubic"] = "nearest",
        align_corners: bool = False,
        antialias: bool = False,
    ) -> None:
        super().__init__()
        if mode not in ("nearest", "linear", "cubic"):
            raise ValueError(
                f"Upsample: mode is {mode!r}, expected 'nearest', 'linear' or 'cubic'."
            )
        if isinstance(scale_factor, (tuple, list)):
            self.scale_factor: float | tuple = tuple(map(float, scale_factor))
        else:
            self.scale_factor = float(scale_factor)
        self.mode = mode
        self.align_corners = align_corners
        self.antialias = antialias

    def _extra_repr(self) -> str:
        return f"scale_factor={self.scale_factor}, mode={self.mode!r}, align_corners={self.align_corners}"

    def __call__(self, x: mx.array) -> mx.array:
        """Maps x (N, spatial..., C) to an array with spatial sizes ⌊scale · size⌋.

        Raises:
            ValueError: if x has no spatial axes, or another number of them than there are scales.
        """
        scales = _scales(x, self.scale_factor)
        if self.mode == "nearest":
            return upsample_nearest(x, scales)
        resize = upsample_linear if self.mode == "linear" else upsample_cubic
        return resize(x, scales, self.align_corners, self.antialias)
