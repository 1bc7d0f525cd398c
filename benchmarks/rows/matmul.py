"""Matrix products."""

from __future__ import annotations

import numpy as np

from frameworks import Framework
from harness import Row, at_most, mlx_like

PEERS = ("numpy", "torch", "jax.jit", "mlx")
BARS = (at_most(1 / 0.95, *PEERS),)
SQUARES = (512, 1024, 2048)
# Of neural networks: (m, k, n)
OTHERS = ((1, 1024, 4096), (8, 1024, 1024), (256, 64, 1024), (128, 784, 256))


def row(m: int, k: int, n: int, dtype: str) -> Row:
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=shape).astype(np.float32) for shape in ((m, k), (k, n)))
    cast = None if dtype == "float32" else dtype

    def lazy(mx, f: Framework):
        x, y = f.array(a, cast), f.array(b, cast)
        return lambda: mx.eval(x @ y)

    def eager(f: Framework):
        x, y = f.array(a, cast), f.array(b, cast)
        return lambda: x @ y

    def jit(f: Framework):
        import jax

        x, y = f.array(a, cast), f.array(b, cast)
        function = jax.jit(lambda x, y: x @ y)
        return lambda: function(x, y).block_until_ready()

    contenders = {**mlx_like(lazy), "torch": eager, "jax.jit": jit}
    if cast is None:
        contenders["numpy"] = eager
    return Row(
        f"{m}x{k} @ {k}x{n}", f"matmul, {dtype}", contenders, BARS, work=(2.0 * m * k * n, "FLOP")
    )


def rows() -> list[Row]:
    shapes = [(size, size, size) for size in SQUARES] + list(OTHERS)
    return [row(*shape, dtype) for dtype in ("float32", "bfloat16") for shape in shapes]
