"""Matrix products at the libraries' speed: square, batched, skinny, with what follows them."""

from __future__ import annotations

from gpu.ceilings import Ceilings
from gpu.devices import Agreement, Given, eager, jitted, lazily
from harness import Row, at_most

GROUP = "matmul"
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
BARS = (at_most(1 / 0.97, "torch", "jax.jit"),)
CLOSE = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 4e-2}


def row(name, ceilings, operations, moved, dtype, given, ours, torch, jax=None) -> Row:
    contenders = {"legato": lazily(ours, *given), "torch": eager(torch, *given)}
    if jax is not None:
        contenders["jax.jit"] = jitted(jax, *given)
    return Row(
        f"{name}, {dtype}",
        GROUP,
        contenders,
        BARS,
        work=(operations, "FLOP"),
        floor=ceilings.seconds(moved, operations, dtype),
        check=Agreement(CLOSE[dtype]),
    )


def product(lib, a, b):
    return lib.matmul(a, b)


def product_jax(jax, a, b):
    return jax.numpy.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def by_rows(lib, a, b):
    return lib.matmul(a, b.T)


def linear(mx, a, b, c):
    return mx.addmm(c, a, b.T)


def linear_torch(torch, a, b, c):
    return torch.nn.functional.linear(a, b, c)


def rows(ceilings: Ceilings, small: bool) -> list[Row]:
    shrink = 32 if small else 1
    found = []

    def pair(a, b, dtype):
        return Given(a, dtype, scale=0.5), Given(b, dtype, scale=0.5, seed=1)

    for dtype in ("bfloat16", "float16", "float32"):
        for side in (1024, 2048, 4096, 8192):
            n = side // shrink
            given = pair((n, n), (n, n), dtype)
            moved = 3.0 * n * n * BYTES[dtype]
            jax = product_jax if dtype == "float32" or side == 4096 else None
            found.append(
                row(f"{side:,}", ceilings, 2.0 * n**3, moved, dtype, given, product, product, jax)
            )
    for dtype, name, a, b, program in (
        ("float16", "64 of 512x512x512", (64, 512, 512), (64, 512, 512), product),
        ("float16", "128 of 1,024x64 and 64x1,024", (128, 1024, 64), (128, 64, 1024), product),
        ("bfloat16", "4,096 with the right one transposed", (4096, 4096), (4096, 4096), by_rows),
        ("bfloat16", "1 row by 4,096x4,096", (1, 4096), (4096, 4096), by_rows),
        ("bfloat16", "16 rows by 11,008x4,096", (16, 4096), (11008, 4096), by_rows),
        ("bfloat16", "4,096x4,096 by 64 columns", (4096, 4096), (4096, 64), product),
        ("float32", "1 row by 4,096x4,096", (1, 4096), (4096, 4096), by_rows),
        ("float16", "65,536x320 by 320x2,560", (65536, 320), (2560, 320), by_rows),
    ):
        left, right = (tuple(max(1, n // shrink) for n in shape) for shape in (a, b))
        batch = left[0] if len(left) == 3 else 1
        m, k = left[-2:]
        n = right[-2] if program is by_rows else right[-1]
        size = batch * (m * k + k * n + m * n)
        found.append(
            row(
                name,
                ceilings,
                2.0 * batch * m * n * k,
                size * BYTES[dtype],
                dtype,
                pair(left, right, dtype),
                program,
                program,
            )
        )
    m, k, n = (max(1, size // shrink) for size in (65536, 320, 1280))
    given = (*pair((m, k), (n, k), "float16"), Given((n,), "float16", seed=2))
    found.append(
        row(
            "65,536x320 by 320x1,280 plus a bias",
            ceilings,
            2.0 * m * n * k,
            2.0 * (m * k + n * k + m * n),
            "float16",
            given,
            linear,
            linear_torch,
        )
    )
    return found
