"""Pooling: the maximum or the mean of windows. Inputs are (N, spatial..., C)."""

from __future__ import annotations

import legato.core as mx
from legato.nn.layers.base import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def _windows(x: mx.array, kernel: tuple[int, ...], stride: tuple[int, ...]) -> mx.array:
    """Views x (N, spatial..., C) as (N, windows..., kernel..., C)."""
    batch, *spatial, channels = x.shape
    counts = [(size - k) // s + 1 for size, k, s in zip(spatial, kernel, stride, strict=True)]
    axes = len(kernel)
    if kernel == stride:
        # Windows that touch: cut off what fills none, and divide each axis in two.
        x = x[(slice(None), *(slice(0, n * k) for n, k in zip(counts, kernel, strict=True)))]
        x = x.reshape(
            batch, *(size for pair in zip(counts, kernel, strict=True) for size in pair), channels
        )
        order = [*range(1, 2 * axes, 2), *range(2, 2 * axes + 1, 2)]
        return x.transpose(0, *order, 2 * axes + 1)
    steps = [channels]
    for size in reversed(spatial):
        steps.insert(0, steps[0] * size)
    batch_step, *axis_steps = steps
    return mx.as_strided(
        x,
        (batch, *counts, *kernel, channels),
        (
            batch_step,
            *(s * step for s, step in zip(stride, axis_steps, strict=True)),
            *axis_steps,
            1,
        ),
    )


class _Pool(Module):
    """Reduces windows along the spatial axes."""

    _reduce: Callable[..., mx.array]
    _fill: float

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, *, axes: int
    ) -> None:
        super().__init__()
        name = type(self).__name__
        kernel = self._sizes(f"{name}: kernel_size", kernel_size, axes, 1)
        self._kernel_size = kernel
        self._stride = kernel if stride is None else self._sizes(f"{name}: stride", stride, axes, 1)
        self._padding = self._sizes(f"{name}: padding", 0 if padding is None else padding, axes, 0)

    @staticmethod
    def _sizes(name: str, value: Any, axes: int, least: int) -> tuple[int, ...]:
        """An int of at least `least` for every axis."""
        sizes = (value,) * axes if isinstance(value, int) else value
        if (
            not isinstance(sizes, (tuple, list))
            or len(sizes) != axes
            or not all(isinstance(size, int) and size >= least for size in sizes)
        ):
            raise ValueError(
                f"{name} is {value!r}, expected an integer or a tuple of {axes} integers, at least {least}."
            )
        return tuple(sizes)

    def _extra_repr(self) -> str:
        return f"kernel_size={self._kernel_size}, stride={self._stride}, padding={self._padding}"

    def __call__(self, x: mx.array) -> mx.array:
        """Maps x (N, spatial..., C) to (N, windows..., C).

        Raises:
            ValueError: if x has another number of axes, or is smaller than a window.
        """
        kernel, stride, padding = self._kernel_size, self._stride, self._padding
        axes = len(kernel)
        if x.ndim != axes + 2:
            raise ValueError(
                f"{type(self).__name__}: expected {axes + 2} dimensions (N, spatial..., C), "
                f"but the input has shape {tuple(x.shape)}."
            )
        if any(size + 2 * p < k for size, p, k in zip(x.shape[1:-1], padding, kernel, strict=True)):
            raise ValueError(
                f"{type(self).__name__}: the windows {kernel} are larger than the input of shape "
                f"{tuple(x.shape)} with padding {padding}."
            )
        if any(padding):
            widths = [(0, 0), *((p, p) for p in padding), (0, 0)]
            x = mx.pad(x, widths, constant_values=self._fill)
        windows = _windows(x, kernel, stride)
        return type(self)._reduce(windows, axis=list(range(axes + 1, 2 * axes + 1)))


class _MaxPool(_Pool):
    _reduce = staticmethod(mx.max)
    _fill = -float("inf")


class _AvgPool(_Pool):
    _reduce = staticmethod(mx.mean)
    _fill = 0.0


class MaxPool1d(_MaxPool):
    """The maximum of each window of a sequence.

    Args:
        kernel_size: The length of the windows.
        stride: The distance between windows; their length by default.
        padding: How much to add at both ends, of -inf.

    >>> MaxPool1d(2)(mx.array([[[1.0], [4.0], [3.0], [2.0]]])).tolist()
    [[[4.0], [3.0]]]
    """

    def __init__(
        self,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] | None = None,
        padding: int | tuple[int] = 0,
    ) -> None:
        super().__init__(kernel_size, stride, padding, axes=1)


class AvgPool1d(_AvgPool):
    """The mean of each window of a sequence.

    Args:
        kernel_size: The length of the windows.
        stride: The distance between windows; their length by default.
        padding: How much to add at both ends, of zeros, which count.

    >>> AvgPool1d(2)(mx.array([[[1.0], [4.0], [3.0], [2.0]]])).tolist()
    [[[2.5], [2.5]]]
    """

    def __init__(
        self,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] | None = None,
        padding: int | tuple[int] = 0,
    ) -> None:
        super().__init__(kernel_size, stride, padding, axes=1)


class MaxPool2d(_MaxPool):
    """The maximum of each window of an image. Sizes along the two axes are given as one int or a pair.

    Args:
        kernel_size: The size of the windows.
        stride: The distance between windows; their size by default.
        padding: How much to add on all sides, of -inf.
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] | None = 0,
    ) -> None:
        super().__init__(kernel_size, stride, padding, axes=2)


class AvgPool2d(_AvgPool):
    """The mean of each window of an image. Sizes along the two axes are given as one int or a pair.

    Args:
        kernel_size: The size of the windows.
        stride: The distance between windows; their size by default.
        padding: How much to add on all sides, of zeros, which count.
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: int | tuple[int, int] | None = 0,
    ) -> None:
        super().__init__(kernel_size, stride, padding, axes=2)


class MaxPool3d(_MaxPool):
    """The maximum of each window of a volume. Sizes along the three axes are given as one int or three.

    Args:
        kernel_size: The size of the windows.
        stride: The distance between windows; their size by default.
        padding: How much to add on all sides, of -inf.
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int, int],
        stride: int | tuple[int, int, int] | None = None,
        padding: int | tuple[int, int, int] | None = 0,
    ) -> None:
        super().__init__(kernel_size, stride, padding, axes=3)


class AvgPool3d(_AvgPool):
    """The mean of each window of a volume. Sizes along the three axes are given as one int or three.

    Args:
        kernel_size: The size of the windows.
        stride: The distance between windows; their size by default.
        padding: How much to add on all sides, of zeros, which count.
    """

    def __init__(
        self,
        kernel_size: int | tuple[int, int, int],
        stride: int | tuple[int, int, int] | None = None,
        padding: int | tuple[int, int, int] | None = 0,
    ) -> None:
        super().__init__(kernel_size, stride, padding, axes=3)
