"""A step of the whole U-Net of Stable Diffusion 1.x: 860 million random parameters, images a second.

The settings are those of the blocks (groups/blocks.py).
"""

from __future__ import annotations

import numpy as np

from gpu.ceilings import Ceilings
from gpu.devices import Agreement, Given
from gpu.groups.blocks import BARS, TEXT, TOKENS, Pair, contenders, example
from harness import Row


def rows(ceilings: Ceilings, small: bool) -> list[Row]:
    config = example().Config(widths=(32, 64, 64), blocks=1) if small else example().Config()
    pair = Pair(lambda m: m.UNet(config), lambda m: m.UNet(config))
    side = 16 if small else 64
    found = []
    for batch in (1, 4, 16):
        n = min(batch, 2) if small else batch
        given = (
            Given((n, side, side, 4), "float16"),
            Given((n,), "float32", lambda size: np.linspace(0, 999, size, dtype=np.float32)),
            Given((n, TOKENS, TEXT), "float16", seed=2),
        )
        # Published: 0.803 · 10¹² operations an image, multiplications and additions counted once.
        operations = 2 * 0.339e12 * n
        found.append(
            Row(
                f"batch {batch}: U-Net, {side}x{side} latent",
                "SD 1.x U-Net, float16",
                contenders(pair, given, None if batch > 1 else "reduce-overhead"),
                BARS,
                work=(float(n), "img"),
                floor=None if small else ceilings.seconds(0, operations, "float16"),
                check=Agreement(5e-2),
            )
        )
    return found
