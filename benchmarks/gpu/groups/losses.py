"""Losses as they are written out: a program and a reduction of all that it makes."""

from __future__ import annotations

import numpy as np

from gpu.ceilings import Ceilings
from gpu.devices import Given
from gpu.share import SHARE, share_row
from harness import Row, at_most

GROUP = "losses written out"


def squared_error(x, y):
    return ((x - y) ** 2).mean()


def binary_cross_entropy(lib, x, y):
    largest = lib.maximum(x, 0) if lib.__name__ != "torch" else x.clamp(min=0)
    return (largest - x * y + lib.log1p(lib.exp(-abs(x)))).mean()


def cross_entropy(mx, x, targets):
    chosen = mx.take_along_axis(x, targets, axis=1)
    return (mx.logsumexp(x, axis=1, keepdims=True) - chosen).mean()


def cross_entropy_torch(torch, x, targets):
    return (x.logsumexp(1, keepdim=True) - x.gather(1, targets)).mean()


def rows(ceilings: Ceilings, small: bool) -> list[Row]:
    tall, wide = (64, 64) if small else (100_000, 1024)
    size = tall * wide
    x, y = Given((tall, wide)), Given((tall, wide), seed=1)
    targets = Given(
        (tall, 1), "int64", values=lambda n: np.random.default_rng(2).integers(0, wide, n)
    )

    def row(name, given, moved, ours, torch, bars=SHARE):
        return share_row(
            GROUP,
            name,
            ceilings,
            moved,
            given,
            ours,
            torch,
            compile=True,
            tolerance=1e-4,
            bars=bars,
        )

    found = [
        row(
            "mean squared error",
            (x, y),
            8.0 * size,
            lambda mx, x, y: squared_error(x, y),
            lambda t, x, y: squared_error(x, y),
        ),
        row(
            "mean absolute error",
            (x, y),
            8.0 * size,
            lambda mx, x, y: mx.abs(x - y).mean(),
            lambda t, x, y: (x - y).abs().mean(),
        ),
        row(
            "binary cross entropy",
            (x, y),
            8.0 * size,
            binary_cross_entropy,
            binary_cross_entropy,
        ),
        row("cross entropy", (x, targets), 4.0 * size, cross_entropy, cross_entropy_torch),
    ]
    for count in () if small else (10_000, 1_000_000, 10_000_000):
        few = Given((count,))
        found.append(
            row(
                f"mean of squares of {count:,}",
                (few,),
                4.0 * count,
                lambda mx, x: (x * x).mean(),
                lambda t, x: (x * x).mean(),
                (at_most(1.0, "torch", "torch.compile"),),  # memory is not what bounds these
            )
        )
    return found
