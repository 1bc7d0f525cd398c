"""Layouts: the same values, at places in memory that a kernel finds hard.

A layout turns values into an array of the core. It returns None where it makes no sense (a transposed
vector); `broadcast` changes the values, so it returns them too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numeric import to_core

Placed = "tuple[Any, np.ndarray] | None"


def contiguous(core: Any, v: np.ndarray, dtype: str, free: bool) -> Any:
    return to_core(core, v, dtype), v


def transposed(core: Any, v: np.ndarray, dtype: str, free: bool) -> Any:
    """Stored with the axes in reverse: (3, 4) as a transposed (4, 3)."""
    if v.ndim < 2:
        return None
    return core.transpose(to_core(core, np.ascontiguousarray(v.T), dtype)), v


def negative(core: Any, v: np.ndarray, dtype: str, free: bool) -> Any:
    """The last axis runs backwards."""
    if v.ndim < 1 or v.shape[-1] < 2:
        return None
    return to_core(core, np.ascontiguousarray(v[..., ::-1]), dtype)[..., ::-1], v


def broadcast(core: Any, v: np.ndarray, dtype: str, free: bool) -> Any:
    """The first row seen at every place of the first axis: its stride is 0."""
    if v.ndim < 1 or v.shape[0] < 2 or not free:
        return None
    row = np.ascontiguousarray(v[:1])
    return core.broadcast_to(to_core(core, row, dtype), v.shape), np.broadcast_to(
        row, v.shape
    ).copy()


def offset(core: Any, v: np.ndarray, dtype: str, free: bool) -> Any:
    """The inside of a larger array whose margin is garbage."""
    if v.ndim < 1:
        return None
    padded = np.full([n + 3 for n in v.shape], 77 if dtype != "bool" else True, v.dtype)
    inside = tuple(slice(1, n + 1) for n in v.shape)
    padded[inside] = v
    return to_core(core, padded, dtype)[inside], v


def strided(core: Any, v: np.ndarray, dtype: str, free: bool) -> Any:
    """Every second element of each row of an array twice as long."""
    if v.ndim < 1:
        return None
    wide = np.full([*v.shape[:-1], 2 * v.shape[-1]], 77 if dtype != "bool" else True, v.dtype)
    wide[..., ::2] = v
    return to_core(core, wide, dtype)[..., ::2], v


LAYOUTS: dict[str, Callable[..., Any]] = {
    f.__name__: f for f in (contiguous, transposed, negative, broadcast, offset, strided)
}

# Shapes instead of layouts, for rows that broadcast: shapes of the inputs, in turn. Odd sizes have tails
# behind whole vectors and tiles of the CPU's loops.
SHAPES: dict[str, list[tuple[int, ...]]] = {
    "empty": [(0,)],
    "empty rows": [(3, 0, 2), (1, 0, 1)],
    "0-d": [()],
    "one": [(1,), ()],
    "odd": [(1031,)],
    "odd rows": [(3, 37), (37,)],
    "outer": [(7, 1), (1, 5)],
    "scalar and rows": [(), (4, 3)],
    "ranks": [(2, 1, 3), (5, 1), (1,)],
}


def place(core: Any, layout: str, v: np.ndarray, dtype: str, free: bool) -> Any:
    """`v` in the layout, or contiguous where the layout makes no sense: (array, values, whether it was laid out)."""
    placed = LAYOUTS.get(layout, contiguous)(core, v, dtype, free)
    if placed is None:
        return (*contiguous(core, v, dtype, free), False)
    return (*placed, True)
