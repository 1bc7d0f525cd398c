"""Chains that are memory-bound once fused. Legato runs them without `compile`."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from frameworks import Framework
from harness import OURS, Factory, Row, at_most

SIZES = (10**4, 10**5, 10**6, 10**7)
BARS = (at_most(1.15, "loop"), at_most(1.0, "jax.jit"), at_most(0.5, "torch"))
COLUMNS = 1000  # of a row of softmax
ROOT_2_PI = 0.7978845608


@lru_cache(maxsize=2)
def inputs(shape: tuple[int, ...], count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.uniform(0.1, 1.0, shape).astype(np.float32) for _ in range(count)]


def gelu(tanh, x, a, b):
    """gelu(x·a + b) in its tanh form; returns the result and every intermediate."""
    y = x * a + b
    cube = y * y * y
    t = tanh(ROOT_2_PI * (y + 0.044715 * cube))
    half = 0.5 * y
    return half * (1.0 + t), (y, cube, t, half)


def adam(sqrt, p, g, m, v):
    """New parameter, moments, and the intermediates of one Adam step."""
    m1 = 0.9 * m + 0.1 * g
    v1 = 0.999 * v + 0.001 * (g * g)
    root = sqrt(v1) + 1e-8
    step = 1e-3 * m1 / root
    return (p - step, m1, v1), (root, step)


def softmax(x, exp, top, total):
    shifted = x - top(x)
    e = exp(shifted)
    return e / total(e), (shifted, e)


def row(name: str, size: int, count: int, held: bool, program, loop) -> Row:
    """program(module, arrays) -> (results, intermediates); loop(module, arrays) -> callable."""
    shape = (size // COLUMNS, COLUMNS) if name.startswith("softmax") else (size,)

    def lazy(f: Framework):
        mx = f.module
        mine = [f.array(array) for array in inputs(shape, count)]

        def run():
            results, between = program(mx, mine)
            if not held:
                del between
            mx.eval(results)
            return results

        return run

    def torch(f: Framework):
        mine = [f.array(array) for array in inputs(shape, count)]
        return lambda: program(f.module, mine)[0]

    def jit(f: Framework):
        import jax

        mine = [f.array(array) for array in inputs(shape, count)]
        function = jax.jit(lambda *given: program(f.module, given)[0])
        return lambda: jax.block_until_ready(function(*mine))

    def mlx_compiled(f: Framework):
        mx = f.module
        mine = [f.array(array) for array in inputs(shape, count)]
        function = mx.compile(lambda *given: program(mx, given)[0])
        return lambda: mx.eval(function(*mine))

    def numpy(f: Framework):
        arrays = inputs(shape, count)
        return lambda: program(f.module, arrays)[0]

    contenders: dict[str, Factory] = {
        OURS: lazy,
        "loop": lambda f: loop(f.module, inputs(shape, count)),
        "jax.jit": jit,
        "torch": torch,
        "mlx.compile": mlx_compiled,
        "numpy": numpy,
    }
    what = ", intermediates held" if held else ""
    return Row(f"{name}, {size:.0e} float32{what}", "fused chains", contenders, BARS)


def adam_loop(loops, arrays):
    return loops.adam([np.empty_like(arrays[0]) for _ in range(3)], *arrays)


def rows() -> list[Row]:
    def run_gelu(m, arrays):
        return gelu(m.tanh, *arrays)

    def run_adam(m, arrays):
        return adam(m.sqrt, *arrays)

    def run_softmax(m, arrays):
        (x,) = arrays
        return softmax(x, m.exp, _top, _sum)

    found = []
    for held in (False, True):
        for size in SIZES:
            found += [
                row(
                    "gelu(x·a + b)",
                    size,
                    3,
                    held,
                    run_gelu,
                    lambda m, a: m.gelu(np.empty_like(a[0]), *a),
                ),
                row("Adam update", size, 4, held, run_adam, adam_loop),
                row(
                    "softmax over rows",
                    size,
                    1,
                    held,
                    run_softmax,
                    lambda m, a: m.softmax(np.empty_like(a[0]), *a),
                ),
            ]
    return found


def _top(a):
    if hasattr(a, "amax"):  # PyTorch, whose max over an axis also returns indices
        return a.amax(-1, keepdim=True)
    return a.max(-1, keepdims=True)


def _sum(a):
    return a.sum(-1, keepdims=True)
