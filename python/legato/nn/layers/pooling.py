"""Pooling: the maximum or the mean of windows. Inputs are (N, spatial..., C)."""

from __future__ import annotations

import legato.core as mx
from legato.nn.layers.base import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Pool(Module):
    """Reduces windows along the spatial axes."""

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
        kernel, padding = self._kernel_size, self._padding
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
        if any(p >= k for p, k in zip(padding, kernel, strict=True)):
            # Windows that see nothing but padding: only then must it be there.
            widths = [(0, 0), *((p, p) for p in padding), (0, 0)]
            x = mx.pad(x, widths, constant_values=self._fill)
            padding = (0,) * axes
        return self._reduce(x, padding)

    def _reduce(self, x: mx.array, padding: tuple[int, ...]) -> mx.array:
        raise NotImplementedError


class _MaxPool(_Pool):
    _fill = -float("inf")

    def _reduce(self, x: mx.array, padding: tuple[int, ...]) -> mx.array:
        return mx.fast.max_pool(x, self._kernel_size, self._stride, padding)


class _AvgPool(_Pool):
    _fill = 0.0

    def _reduce(self, x: mx.array, padding: tuple[int, ...]) -> mx.array:
        if not mx.issubdtype(x.dtype, mx.inexact):
            x = x.astype(mx.float32)
        return mx.fast.avg_pool(x, self._kernel_size, self._stride, padding)


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
