"""Single pointwise operations and casts."""

from __future__ import annotations

from gpu.ceilings import Ceilings
from gpu.devices import Given
from gpu.share import share_row
from harness import Row

GROUP = "pointwise and casts"


def rows(ceilings: Ceilings, small: bool) -> list[Row]:
    tall, wide = (64, 64) if small else (100_000, 1024)
    size = tall * wide
    x, y = Given((size,)), Given((size,), seed=1)
    m, v = Given((tall, wide)), Given((wide,))
    h, b = Given((size,), "float16"), Given((size,), "bfloat16")
    i = Given((size,), "int8", scale=40)
    side = 64 if small else 10_000
    square = Given((side, side))

    def row(name, elements_moved, given, ours, torch, **options):
        return share_row(
            GROUP, name, ceilings, elements_moved * size, given, ours, torch, **options
        )

    return [
        row("x + 1, float32", 8, (x,), lambda mx, x: x + 1, lambda t, x: x + 1),
        row("x + y, float32", 12, (x, y), lambda mx, x, y: x + y, lambda t, x, y: x + y),
        row("x + 1, float16", 4, (h,), lambda mx, x: x + 1, lambda t, x: x + 1),
        row(
            "silu, bfloat16",
            4,
            (b,),
            lambda mx, x: x * mx.sigmoid(x),
            lambda t, x: t.nn.functional.silu(x),
            tolerance=1e-2,
        ),
        row(
            "gelu, float16",
            4,
            (h,),
            lambda mx, x: x * (1 + mx.erf(x * 0.5**0.5)) * 0.5,
            lambda t, x: t.nn.functional.gelu(x),
            tolerance=1e-2,
        ),
        row("exp, float32", 8, (x,), lambda mx, x: mx.exp(x), lambda t, x: t.exp(x)),
        row("erf, float32", 8, (x,), lambda mx, x: mx.erf(x), lambda t, x: t.erf(x)),
        row("sin, float32", 8, (x,), lambda mx, x: mx.sin(x), lambda t, x: t.sin(x)),
        row("x > y", 9, (x, y), lambda mx, x, y: x > y, lambda t, x, y: x > y),
        row(
            "where(x > 0, x, y)",
            12,
            (x, y),
            lambda mx, x, y: mx.where(x > 0, x, y),
            lambda t, x, y: t.where(x > 0, x, y),
        ),
        row("matrix + vector", 8, (m, v), lambda mx, m, v: m + v, lambda t, m, v: m + v),
        row(
            "x.T + x",
            12 * side**2 / size,
            (square,),
            lambda mx, x: x.T + x,
            lambda t, x: x.T + x,
        ),
        row(
            "float32 to float16",
            6,
            (x,),
            lambda mx, x: x.astype(mx.float16),
            lambda t, x: x.half(),
            tolerance=1e-3,
        ),
        row(
            "float16 to float32",
            6,
            (h,),
            lambda mx, x: x.astype(mx.float32),
            lambda t, x: x.float(),
        ),
        row(
            "float32 to bfloat16",
            6,
            (x,),
            lambda mx, x: x.astype(mx.bfloat16),
            lambda t, x: x.bfloat16(),
            tolerance=1e-2,
        ),
        row("int8 to float32", 5, (i,), lambda mx, x: x.astype(mx.float32), lambda t, x: x.float()),
        row(
            "float32 to int32",
            8,
            (x,),
            lambda mx, x: x.astype(mx.int32),
            lambda t, x: x.int(),
        ),
    ]
