"""Reductions on any axis."""

from __future__ import annotations

from gpu.ceilings import Ceilings
from gpu.devices import Given
from gpu.share import share_row
from harness import Row

GROUP = "reductions"


def rows(ceilings: Ceilings, small: bool) -> list[Row]:
    tall, wide = (64, 64) if small else (100_000, 1024)
    size = tall * wide
    m, h = Given((tall, wide)), Given((tall, wide), "float16")
    narrow = Given((size // 32, 32))
    broad = Given((32, size // 32))
    cube = Given((tall // 16, 32, wide // 2))
    short = Given((wide, tall))

    def row(name, given, ours, torch, element=4, extra=0.0, **options):
        return share_row(
            GROUP, name, ceilings, element * size + extra, (given,), ours, torch, **options
        )

    return [
        row("sum of all", m, lambda mx, m: mx.sum(m), lambda t, m: m.sum(), tolerance=1e-2),
        row("sum of rows of 1,024", m, lambda mx, m: mx.sum(m, axis=1), lambda t, m: m.sum(1)),
        row(
            "sum of columns",
            m,
            lambda mx, m: mx.sum(m, axis=0),
            lambda t, m: m.sum(0),
            tolerance=1e-4,
        ),
        row("sum of the middle axis", cube, lambda mx, m: mx.sum(m, axis=1), lambda t, m: m.sum(1)),
        row(
            "sum of the first and last axis",
            cube,
            lambda mx, m: mx.sum(m, axis=(0, 2)),
            lambda t, m: m.sum((0, 2)),
            tolerance=1e-3,
        ),
        row(
            "sum of rows of 32",
            narrow,
            lambda mx, m: mx.sum(m, axis=1),
            lambda t, m: m.sum(1),
            extra=size // 8,
        ),
        row(
            "sum of 32 long rows",
            broad,
            lambda mx, m: mx.sum(m, axis=1),
            lambda t, m: m.sum(1),
            tolerance=1e-3,
        ),
        row(
            "sum of 1,024 rows of 100,000",
            short,
            lambda mx, m: mx.sum(m, axis=1),
            lambda t, m: m.sum(1),
            tolerance=1e-4,
        ),
        row(
            "sum of rows, float16",
            h,
            lambda mx, m: mx.sum(m, axis=1),
            lambda t, m: m.sum(1),
            2,
            tolerance=1e-2,
        ),
        row("max of rows", m, lambda mx, m: mx.max(m, axis=1), lambda t, m: m.amax(1)),
        row("max of columns", m, lambda mx, m: mx.max(m, axis=0), lambda t, m: m.amax(0)),
        row(
            "mean of squares of all, fused",
            m,
            lambda mx, m: mx.mean(m * m),
            lambda t, m: (m * m).mean(),
            compile=True,
        ),
        row(
            "sum of squares of columns, fused",
            m,
            lambda mx, m: mx.sum(m * m, axis=0),
            lambda t, m: (m * m).sum(0),
            compile=True,
        ),
        row(
            "var of rows",
            m,
            lambda mx, m: mx.var(m, axis=1),
            lambda t, m: m.var(1, correction=0),
            compile=True,
        ),
        row(
            "var of columns",
            m,
            lambda mx, m: mx.var(m, axis=0),
            lambda t, m: m.var(0, correction=0),
        ),
        row(
            "argmax of rows",
            m,
            lambda mx, m: mx.argmax(m, axis=1),
            lambda t, m: m.argmax(1),
            tolerance=0,
        ),
        row(
            "argmax of columns",
            m,
            lambda mx, m: mx.argmax(m, axis=0),
            lambda t, m: m.argmax(0),
            tolerance=0,
        ),
        row("argmax of all", m, lambda mx, m: mx.argmax(m), lambda t, m: m.argmax(), tolerance=0),
        row("any of rows", m, lambda mx, m: mx.any(m > 10, axis=1), lambda t, m: (m > 10).any(1)),
        row(
            "logsumexp of rows",
            m,
            lambda mx, m: mx.logsumexp(m, axis=1),
            lambda t, m: m.logsumexp(1),
            compile=True,
        ),
    ]
