"""A step of the whole U-Net of Stable Diffusion 1.x: 860 million random parameters, images a second.

The settings are those of the blocks (groups/blocks.py). torch.compile takes a minute for a batch.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from gpu.ceilings import Ceilings
from gpu.devices import Agreement, Given
from gpu.groups.blocks import BARS, TEXT, TOKENS, Pair, contenders, example
from harness import Row


def named(network: Any) -> list[tuple[str, Any]]:
    return importlib.import_module("legato.utils").tree_flatten(network.parameters())


def operations(network: Any, config: Any, side: int) -> float:
    """Multiplications and additions of the products of one image's step: each weight once a position that it sees."""
    deepest = len(config.widths) - 1
    total = 0.0
    for name, value in named(network):
        if len(value.shape) < 2:
            continue
        part, _, rest = name.partition(".")
        level = {"middle": deepest, "middle_end": deepest}.get(part, 0)
        if part in ("down", "shrink", "up", "grow"):
            at = int(rest.partition(".")[0])
            level = {"down": at, "shrink": at + 1, "up": deepest - at, "grow": deepest - at - 1}[
                part
            ]
        positions = (side >> level) ** 2
        if "of_text.key" in name or "of_text.value" in name:
            applied = TOKENS
        elif ".time." in name or name.startswith("time"):
            applied = 1
        else:
            applied = positions
        total += applied * value.size
        if "of_picture.query" in name:
            total += 2 * positions * (positions + TOKENS) * value.shape[0]
    return 2 * total


def rows(ceilings: Ceilings, small: bool) -> list[Row]:
    config = example().Config(widths=(32, 32), blocks=1) if small else example().Config()
    pair = Pair(lambda m: m.UNet(config), lambda m: m.UNet(config))
    side = 8 if small else 64
    network = example().UNet(config)
    each = operations(network, config, side)
    weights = sum(value.size for _, value in named(network))
    found = []
    for batch in (1,) if small else (1, 4, 16):
        given = (
            Given((batch, side, side, 4), "float16"),
            Given((batch,), "float32", lambda size: np.linspace(0, 999, size, dtype=np.float32)),
            Given((batch, TOKENS, TEXT), "float16", seed=2),
        )
        of_batch = contenders(pair, given, None if batch > 4 else "reduce-overhead")
        found.append(
            Row(
                f"batch {batch}: U-Net, {side}x{side} latent",
                "SD 1.x U-Net, float16",
                of_batch,
                BARS,
                work=(float(batch), "img"),
                floor=ceilings.seconds(2.0 * weights, each * batch, "float16"),
                check=Agreement(5e-2),
            )
        )
    return found
