"""Single pointwise and reduction ops, from cache to memory."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from frameworks import Framework
from harness import Row, at_most, mlx_like

SIZES = (10**4, 10**5, 10**6, 10**7)
BARS = (at_most(1.0, "numpy", "torch", "jax.jit"),)

# name -> (inputs, function of the framework's module and its arrays)
POINTWISE = {
    "add": (2, lambda m, a, b: a + b),
    "multiply": (2, lambda m, a, b: a * b),
    "divide": (2, lambda m, a, b: a / b),
    "maximum": (2, lambda m, a, b: m.maximum(a, b)),
    "a < b": (2, lambda m, a, b: a < b),
    "where": (2, lambda m, a, b: m.where(a < b, a, b)),
    "sqrt": (1, lambda m, a: m.sqrt(a)),
    "exp": (1, lambda m, a: m.exp(a)),
    "log": (1, lambda m, a: m.log(a)),
    "sin": (1, lambda m, a: m.sin(a)),
    "tanh": (1, lambda m, a: m.tanh(a)),
    "abs": (1, lambda m, a: m.abs(a)),
}
REDUCTIONS = {
    "sum": lambda m, a: a.sum(),
    "max": lambda m, a: a.max(),
    "mean": lambda m, a: a.mean(),
    "argmax": lambda m, a: a.argmax(),
}


@lru_cache(maxsize=2)
def inputs(shape: tuple[int, ...], count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.uniform(0.1, 4.0, shape).astype(np.float32) for _ in range(count)]


def contenders(program, shape: tuple[int, ...], count: int):
    def lazy(mx, f: Framework):
        mine = [f.array(array) for array in inputs(shape, count)]
        return lambda: mx.eval(program(mx, *mine))

    def eager(f: Framework):
        mine = [f.array(array) for array in inputs(shape, count)]
        return lambda: program(f.module, *mine)

    def jit(f: Framework):
        import jax

        mine = [f.array(array) for array in inputs(shape, count)]
        function = jax.jit(lambda *given: program(f.module, *given))
        return lambda: function(*mine).block_until_ready()

    return {**mlx_like(lazy), "numpy": eager, "torch": eager, "jax.jit": jit}


def rows() -> list[Row]:
    found = []
    for size in SIZES:
        for name, (count, program) in POINTWISE.items():
            made = contenders(program, (size,), count)
            moved = 4.0 * size * (count + 1)
            found.append(
                Row(f"{name}, {size:.0e}", "pointwise ops, float32", made, BARS, work=(moved, "B"))
            )
        for name, reduction in REDUCTIONS.items():
            made = contenders(reduction, (size,), 1)
            found.append(
                Row(
                    f"{name}, {size:.0e}", "reductions, float32", made, BARS, work=(4.0 * size, "B")
                )
            )
    for rows_of in (100, 1000, 10000):
        for axis in (0, 1):
            made = contenders(lambda m, a, axis=axis: a.sum(axis), (rows_of, 1000), 1)
            name = f"sum over axis {axis} of {rows_of}x1000"
            moved = 4.0 * rows_of * 1000
            found.append(Row(name, "reductions, float32", made, BARS, work=(moved, "B")))
    return found
