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
# Of many at once, the latter as in attention: (m, k, n, how many)
BATCHES = ((64, 64, 64, 64), (256, 64, 256, 16), (256, 256, 64, 16))


def row(dtype: str, m: int, k: int, n: int, batch: int = 1) -> Row:
    rng = np.random.default_rng(0)
    lead = () if batch == 1 else (batch,)
    a, b = (rng.normal(size=(*lead, *shape)).astype(np.float32) for shape in ((m, k), (k, n)))
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
    times = "" if batch == 1 else f"{batch} times "
    return Row(
        f"{times}{m}x{k} @ {k}x{n}",
        f"matmul, {dtype}",
        contenders,
        BARS,
        work=(2.0 * batch * m * k * n, "FLOP"),
    )


def rows() -> list[Row]:
    shapes = [(size, size, size) for size in SQUARES] + [*OTHERS, *BATCHES]
    return [row(dtype, *shape) for dtype in ("float32", "bfloat16") for shape in shapes]
