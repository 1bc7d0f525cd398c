"""Outputs of 40 MB: with memory from the cache of the allocator, and touched for the first time."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from frameworks import Framework
from harness import Row, at_most, mlx_like

SIZE = 10**7
MOVED = (8.0 * SIZE, "B")  # read once, written once


@lru_cache(maxsize=1)
def values() -> np.ndarray:
    return np.random.default_rng(0).uniform(size=SIZE).astype(np.float32)


def rows() -> list[Row]:
    def steady(mx, f: Framework):
        mine = f.array(values())
        return lambda: mx.eval(mine + 1.0)

    def first_touch(mx, f: Framework):
        mine = f.array(values())

        def run():
            mx.clear_cache()
            mx.eval(mine + 1.0)

        return run

    def eager(f: Framework):
        mine = f.array(values())
        return lambda: mine + np.float32(1.0) if f.name == "numpy" else mine + 1.0

    def jit(f: Framework):
        import jax

        mine = f.array(values())
        function = jax.jit(lambda a: a + 1.0)
        return lambda: function(mine).block_until_ready()

    peers = {"numpy": eager, "torch": eager, "jax.jit": jit}
    copy = {"loop": lambda f: f.module.copy(np.empty_like(values()), values())}
    return [
        Row(
            "x + 1, 40 MB, previous output dropped; the loop is a copy into reused memory",
            "fresh outputs",
            {**mlx_like(steady), **copy, **peers},
            (at_most(1 / 0.6, "loop"),),
            work=MOVED,
        ),
        Row(
            "x + 1, 40 MB, first touch",
            "fresh outputs",
            {**mlx_like(first_touch), **peers},
            (at_most(0.5, *peers, "mlx"),),
            work=MOVED,
        ),
    ]
