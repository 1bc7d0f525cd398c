"""The ways to run a row: each mode takes a use and raises Mismatch where the result is not the reference's."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import derivatives
import numpy as np
from layouts import place
from numeric import INEXACT, LARGEST, SMALLEST, rounded, to_core
from use import Mismatch, Use, Values

BATCH = 3


def eager(use: Use) -> None:
    s = use.sample()
    results = use.op()(*s.arrays)
    use.core.eval(results)
    use.compare(results, s.values)


def fused(use: Use) -> None:
    """Between pointwise neighbours that are evaluated in the same go, with which the op may be fused."""
    s = use.sample()
    use.compare(_among_neighbours(use, s.arrays), s.values)


def _among_neighbours(use: Use, arrays: list[Any]) -> list[Any]:
    true = use.core.array(True)
    results = use.op()(*[use.core.where(true, a, a) for a in arrays])
    results = [use.core.where(true, y, y) for y in results]
    use.core.eval(results)
    return results


@contextmanager
def fusion_off(core: Any) -> Iterator[None]:
    """Every pointwise node evaluated on its own."""
    switch = importlib.import_module(core.__name__.replace(".core", "._core"))._set_fusion
    old = switch(False)
    try:
        yield
    finally:
        switch(old)


def unfused(use: Use) -> None:
    s = use.sample()
    with fusion_off(use.core):
        results = _among_neighbours(use, s.arrays)
    use.compare(results, s.values)


def compiled(use: Use) -> None:
    """Twice: what the first call leaves in the compiled function must not show in the second."""
    f = use.core.compile(use.op())
    for number in range(2):
        s = use.sample(number)
        use.compare(f(*s.arrays), s.values, f"call {number + 1}")


def shapeless(use: Use) -> None:
    """Compiled for one shape, called with another one where the reference can be."""
    f = use.core.compile(use.op(), shapeless=True)
    s = use.sample()
    use.compare(f(*s.arrays), s.values, "call 1")
    try:
        longer = use.sample(1, grow=2)
        use.reference(longer.values)
    except Exception:
        return  # sizes stand in the row: indices, shapes, values
    use.compare(
        f(*longer.arrays), longer.values, f"call 2, with shapes {[v.shape for v in longer.values]}"
    )


def vmap(use: Use) -> None:
    """Over each input alone and over all of them, along the first axis and the second."""
    n = len(use.specs)
    single = [(i,) for i in range(n)] if n > 1 else []
    for turn, over in enumerate([*single, tuple(range(n))]):
        _vmap_over(use, over, axis=turn % 2)


def _vmap_over(use: Use, over: tuple[int, ...], axis: int) -> None:
    calls = [use.draw(number) for number in range(BATCH)]
    arrays, in_axes = [], []
    for i, (spec, dtype) in enumerate(zip(use.specs, use.dtypes, strict=True)):
        v, at = calls[0][i], None
        if i in over:
            at = min(axis, v.ndim)
            v = np.stack([c[i] for c in calls], axis=at)
        array, v, _ = place(use.core, use.layout, v, dtype, spec.free)
        arrays.append(array)
        in_axes.append(at)
        for number, c in enumerate(calls):  # a layout may have changed the values
            c[i] = v if at is None else np.take(v, number, axis=at)
    batched = use.core.vmap(use.op(), in_axes=tuple(in_axes))(*arrays)
    inputs = "all inputs" if len(over) == len(use.specs) else f"input {over[0]}"
    what = f"over axis {axis} of {inputs}"
    if not use.has_reference():
        for y in batched:
            if tuple(y.shape)[:1] != (BATCH,):
                raise Mismatch(f"{what}: shape {tuple(y.shape)}, expected {BATCH} first")
        return
    want = [np.stack(parts) for parts in zip(*[use.reference(c) for c in calls], strict=True)]
    sizes = [use.magnitudes(c) for c in calls]
    magnitudes = (
        None if sizes[0] is None else [np.stack(parts) for parts in zip(*sizes, strict=True)]
    )
    use.compare_with(batched, want, magnitudes, what)


def specials(use: Use) -> None:
    """Infinities, nan, zeros, extreme and subnormal values; two inputs get every pair of them."""
    pools = [special_values(d) for d in use.dtypes]
    if len(pools) > 2:
        pools = [p[i % 3 :: 2] for i, p in enumerate(pools)]
    grid = np.meshgrid(*pools, indexing="ij")
    values = [rounded(g.ravel(), d) for g, d in zip(grid, use.dtypes, strict=True)]
    results = use.op()(*[to_core(use.core, v, d) for v, d in zip(values, use.dtypes, strict=True)])
    _compare_naming_inputs(use, results, values)


def special_values(dtype: str) -> np.ndarray:
    if dtype == "bool":
        return np.array([False, True])
    if dtype.startswith("complex"):
        return np.array([0, 1, -1, 1j, -1j, 0.5 + 2j, -3 - 0.25j, 1e-3 + 1e-3j, 20 - 20j])
    if dtype not in INEXACT:
        low, high = (
            (0, 2 ** int(dtype[4:]) - 1)
            if dtype[0] == "u"
            else (-(2 ** int(dtype[3:]) // 2), 2 ** int(dtype[3:]) // 2 - 1)
        )
        kind = np.uint64 if dtype[0] == "u" else np.int64
        return np.array(
            sorted(
                {low, low + 1, 0, 1, 2, 3, 7, high - 1, high} | ({-1, -2, -7} if low else set())
            ),
            kind,
        )
    positive = [
        0.0,
        SMALLEST[dtype] / 4,
        SMALLEST[dtype],
        1e-3,
        0.5,
        1.0,
        1.5,
        2.0,
        2.5,
        3.0,
        10.25,
        100.0,
    ]
    positive += [LARGEST[dtype] / 4, LARGEST[dtype], np.inf]
    return rounded(np.array([*positive, *[-v for v in positive], np.nan]), dtype)


def exhaustive(use: Use) -> None:
    """All 65,536 values of a 16-bit input."""
    bits = np.arange(65536, dtype=np.uint16)
    dtype = use.dtypes[0]
    if dtype == "bfloat16":
        values = (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    else:
        values = bits.view(dtype).astype(np.float64 if dtype == "float16" else np.int64)
    _compare_naming_inputs(use, use.op()(to_core(use.core, values, dtype)), [values])


def _compare_naming_inputs(use: Use, results: list[Any], values: Values) -> None:
    try:
        use.compare(results, values)
    except Mismatch as mismatch:
        text = str(mismatch)
        at = text.partition(" at [")[2].partition("]")[0]
        if not at:
            raise
        raise Mismatch(f"of {', '.join(str(v[int(at)]) for v in values)}: {text}") from None


def together(uses: list[Use]) -> None:
    """All uses on the same inputs in one compiled function, which may merge equal nodes, but only those."""
    s = uses[0].sample()
    results = uses[0].core.compile(lambda *arrays: [use.op()(*arrays) for use in uses])(*s.arrays)
    for use, result in zip(uses, results, strict=True):
        use.compare(
            result,
            s.values,
            f"{use.row.op} {dict(use.row.attrs)}, compiled with {len(uses) - 1} others",
        )


FORWARD: dict[str, Callable[[Use], None]] = {
    f.__name__: f for f in (eager, fused, unfused, compiled, shapeless, vmap, specials, exhaustive)
}
FORWARD["mixed"] = eager  # each input in a data type of its own
DERIVATIVE: dict[str, Callable[[Use], None]] = {
    f.__name__: f
    for f in (
        derivatives.vjp,
        derivatives.jvp,
        derivatives.vjp_of_vjp,
        derivatives.jvp_of_vjp,
        derivatives.vmap_of_vjp,
    )
}
MODES = FORWARD | DERIVATIVE


def pairs(dtypes: tuple[str, ...], everything: bool) -> list[str]:
    """Pairs of different data types: all, or each type with the next ones in a list shuffled once."""
    if everything:
        return [f"{a},{b}" for a, b in itertools.product(dtypes, repeat=2) if a != b]
    order = sorted(dtypes, key=lambda d: hash_of(d))
    return [f"{a},{order[(i + 1) % len(order)]}" for i, a in enumerate(order) if len(order) > 1]


def hash_of(text: str) -> int:
    """A number that stays the same from run to run."""
    return sum(ord(c) * 31**i for i, c in enumerate(text)) % 1009
