"""Copies that change the order of memory, concatenation, padding."""

from __future__ import annotations

from gpu.ceilings import Ceilings
from gpu.devices import Given
from gpu.share import share_row
from harness import Row

GROUP = "copies"


def rows(ceilings: Ceilings, small: bool) -> list[Row]:
    tall, wide = (64, 64) if small else (100_000, 1024)
    size = tall * wide
    m = Given((tall, wide))
    h = Given((tall, wide), "float16")
    byte = Given((tall, wide), "int8", scale=40)
    heads = Given((tall // 32, 4, 8, wide), "float16")
    images = Given((tall // 16, wide // 16, 16, 16))
    last = Given((tall // 16, 16, 16, wide // 16))

    def row(name, element, given, ours, torch, **options):
        return share_row(
            GROUP, name, ceilings, 2.0 * element * size, (given,), ours, torch, **options
        )

    def transposed(mx, m):
        return mx.contiguous(m.T)

    def transposed_torch(torch, m):
        return m.T.contiguous()

    def permuted(*axes):
        return (
            lambda mx, m: mx.contiguous(m.transpose(*axes)),
            lambda torch, m: m.permute(*axes).contiguous(),
        )

    return [
        row("transposed, float32", 4, m, transposed, transposed_torch),
        row("transposed, float16", 2, h, transposed, transposed_torch),
        row("transposed, int8", 1, byte, transposed, transposed_torch),
        row("middle axes exchanged (heads), float16", 2, heads, *permuted(0, 2, 1, 3)),
        row("channels first to last, float32", 4, images, *permuted(0, 2, 3, 1)),
        row("channels last to first, float32", 4, last, *permuted(0, 3, 1, 2)),
        row("three axes reversed", 4, Given((tall // 32, 32, wide)), *permuted(2, 1, 0)),
        row(
            "reversed rows",
            4,
            m,
            lambda mx, m: mx.contiguous(m[::-1]),
            lambda torch, m: m.flip(0),
        ),
        row(
            "reversed columns",
            4,
            m,
            lambda mx, m: mx.contiguous(m[:, ::-1]),
            lambda torch, m: m.flip(1),
        ),
        row(
            "concatenate of halves along rows",
            4,
            m,
            lambda mx, m: mx.concatenate([m[:, wide // 2 :], m[:, : wide // 2]], axis=1),
            lambda torch, m: torch.cat([m[:, wide // 2 :], m[:, : wide // 2]], 1),
        ),
        row(
            "concatenate at an odd column, float16",
            2,
            h,
            lambda mx, m: mx.concatenate([m[:, wide // 2 - 1 :], m[:, : wide // 2 - 1]], axis=1),
            lambda torch, m: torch.cat([m[:, wide // 2 - 1 :], m[:, : wide // 2 - 1]], 1),
        ),
    ]
