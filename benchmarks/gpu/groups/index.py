"""Gathering and scattering by index."""

from __future__ import annotations

import numpy as np

from gpu.ceilings import Ceilings
from gpu.devices import Agreement, Given, eager, jitted, lazily
from harness import Row, at_most

GROUP = "index"
PEERS = ("torch", "jax.jit")


def drawn(high: int):
    return lambda size: np.random.default_rng(5).integers(0, high, size).astype(np.int32)


def row(name, ceilings, moved, given, ours, torch, jax, tolerance=1e-6):
    contenders = {
        "legato": lazily(ours, *given),
        "torch": eager(torch, *given),
        "jax.jit": jitted(jax, *given),
    }
    return Row(
        name,
        GROUP,
        contenders,
        (at_most(1.0, *PEERS),),
        work=(moved, "B"),
        floor=ceilings.seconds(moved),
        check=Agreement(tolerance),
    )


def rows(ceilings: Ceilings, small: bool) -> list[Row]:
    tall, wide = (64, 64) if small else (100_000, 512)
    flat = tall * wide
    m = Given((tall, wide))
    table = Given((tall // 2, wide // 2), "float16")
    i = Given((tall,), "int32", drawn(tall))
    few = Given((tall,), "int32", drawn(max(1, tall // 100)))
    tokens = Given((tall * 2,), "int32", drawn(tall // 2))
    along = Given((tall, wide), "int32", drawn(wide))
    one = Given((tall, 1), "int32", drawn(wide))
    x, order = Given((flat,)), Given((flat,), "int32", drawn(flat))
    bins = Given((flat,), "int32", drawn(flat // 16))
    zero = Given((flat // 16,), scale=0)

    def add_at(mx, m, i, u):
        return m.at[i].add(u)

    def add_at_torch(torch, m, i, u):
        return m.index_add(0, i, u)

    def add_at_jax(jax, m, i, u):
        return m.at[i].add(u)

    return [
        row(
            f"rows of {wide} by index",
            ceilings,
            8.0 * flat,
            (m, i),
            lambda mx, m, i: mx.take(m, i, axis=0),
            lambda torch, m, i: m.index_select(0, i),
            lambda jax, m, i: m[i],
        ),
        row(
            f"embedding, rows of {wide // 2} float16",
            ceilings,
            2.0 * flat * 2,
            (table, tokens),
            lambda mx, m, i: m[i],
            lambda torch, m, i: torch.nn.functional.embedding(i, m),
            lambda jax, m, i: m[i],
        ),
        row(
            "single elements by index",
            ceilings,
            12.0 * flat,
            (x, order),
            lambda mx, x, i: mx.take(x, i),
            lambda torch, x, i: x.index_select(0, i),
            lambda jax, x, i: x[i],
        ),
        row(
            "columns by index",
            ceilings,
            8.0 * flat,
            (m, Given((wide,), "int32", drawn(wide))),
            lambda mx, m, i: mx.take(m, i, axis=1),
            lambda torch, m, i: m.index_select(1, i),
            lambda jax, m, i: m[:, i],
        ),
        row(
            "take_along_axis of rows",
            ceilings,
            12.0 * flat,
            (m, along),
            lambda mx, m, i: mx.take_along_axis(m, i, axis=1),
            lambda torch, m, i: m.gather(1, i.long()) if i.dtype != torch.int64 else m.gather(1, i),
            lambda jax, m, i: jax.numpy.take_along_axis(m, i, axis=1),
        ),
        row(
            "take_along_axis, one a row",
            ceilings,
            40.0 * tall,
            (m, one),
            lambda mx, m, i: mx.take_along_axis(m, i, axis=1),
            lambda torch, m, i: m.gather(1, i.long()),
            lambda jax, m, i: jax.numpy.take_along_axis(m, i, axis=1),
        ),
        row(
            "scatter-add of rows",
            ceilings,
            16.0 * flat,
            (m, i, m),
            add_at,
            add_at_torch,
            add_at_jax,
            1e-5,
        ),
        row(
            "scatter-add of rows into few",
            ceilings,
            12.0 * flat,
            (m, few, m),
            add_at,
            add_at_torch,
            add_at_jax,
            1e-4,
        ),
        row(
            "scatter-add of single elements",
            ceilings,
            8.0 * flat,
            (zero, bins, x),
            add_at,
            add_at_torch,
            add_at_jax,
            1e-5,
        ),
    ]
