"""A chain of eight pointwise operations on 10⁸ numbers, as a user writes it: lazily, without `compile`."""

from __future__ import annotations

from gpu.ceilings import Ceilings
from gpu.devices import Agreement, Given, compiled, eager, jitted, lazily
from harness import Bar, Row, at_most


def chain(lib, x, one):
    x = x * 1.5
    x = x + one
    x = abs(x)
    x = lib.sqrt(x)
    x = x - 0.5
    x = x * x
    x = x / 3.0
    return lib.tanh(x)


def rows(ceilings: Ceilings, small: bool) -> list[Row]:
    size = 1 << 12 if small else 100_000_000
    x = Given((size,))
    contenders = {
        "legato": lazily(lambda mx, x: chain(mx, x, 1.0), x),
        "torch": eager(lambda torch, x: chain(torch, x, 1.0), x),
        "torch.compile": compiled(lambda torch, x: chain(torch, x, 1.0), x),
        "jax.jit": jitted(lambda jax, x: chain(jax.numpy, x, 1.0), x),
        "cupy": eager(lambda cupy, x: chain(cupy, x, cupy.float32(1)), x),
    }
    return [
        Row(
            "8 pointwise operations on 10⁸ float32",
            "chain",
            contenders,
            (Bar(0.54e-3), at_most(1 / 0.95, "floor"), at_most(1.0, "torch.compile")),
            work=(8.0 * size, "B"),
            floor=ceilings.seconds(8.0 * size),
            check=Agreement(1e-5),
        )
    ]
