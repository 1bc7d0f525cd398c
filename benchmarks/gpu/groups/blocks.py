"""One residual block and one transformer block of the Stable Diffusion U-Net, forward, float16, 64x64x320.

PyTorch: channels_last, cudnn.benchmark on, no gradients; torch.compile in its default mode at batch 16, and with CUDA
graphs (mode="reduce-overhead") at batch 1, where they help. Legato: as written, lazily; and by `compile`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gpu.ceilings import Ceilings
from gpu.devices import Agreement, Given, OnGpu, torch_device
from harness import Bar, Row, at_most

ROOT = Path(__file__).resolve().parents[3]
TEXT, TOKENS, EMBEDDING = 768, 77, 1280
BARS = (
    at_most(1 / 1.5, "torch"),
    Bar(1.0, ("torch.compile",), by="legato.compile"),
)


def example() -> Any:
    """The module examples/stable_diffusion/unet.py."""
    sys.path.insert(0, str(ROOT / "examples" / "stable_diffusion"))
    return importlib.import_module("unet")


def weights(module: Any) -> dict[str, np.ndarray]:
    utils = importlib.import_module("legato.utils")
    return {name: np.array(value) for name, value in utils.tree_flatten(module.parameters())}


class Pair:
    """The same module in Legato and in PyTorch, with the same weights in float16.

    ours, theirs: make the module from a namespace (the example; benchmarks/peers/unet_torch.py).
    """

    def __init__(self, ours: Callable[[Any], Any], theirs: Callable[[Any], Any]):
        self.ours, self.theirs = ours, theirs
        self.made: Any = None
        self.peer: Any = None

    def legato(self) -> Any:
        if self.made is None:
            mx = importlib.import_module("legato.core")
            mx.random.seed(0)
            self.made = self.ours(example())
            self.made.set_dtype(mx.float16)
            mx.eval(self.made.parameters())
        return self.made

    def torch(self, f: OnGpu) -> Any:
        if self.peer is None:
            peer = importlib.import_module("peers.unet_torch")
            with f.module.device(torch_device()):  # drawing the first weights there is quicker
                module = self.theirs(peer).eval().to(f.module.float16)
            peer.load(module, weights(self.legato()))
            self.peer = module.to(memory_format=f.module.channels_last)
        return self.peer


def pairs(channels: int) -> tuple[Pair, Pair]:
    """A residual and a transformer block; the names are the same in both namespaces."""

    def residual(m):
        return m.ResidualBlock(channels, channels, EMBEDDING)

    def transformer(m):
        return m.TransformerBlock(channels, 8, TEXT)

    return Pair(residual, residual), Pair(transformer, transformer)


def ours(pair: Pair, given: tuple[Given, ...], compiled: bool):
    def make(f: OnGpu):
        mx = f.module
        module = pair.legato()
        function = mx.compile(lambda *of: module(*of)) if compiled else module
        arrays = [one.on(f) for one in given]

        def run():
            result = function(*arrays)
            mx.async_eval(result)
            return result

        return run

    return make


def theirs(pair: Pair, given: tuple[Given, ...], mode: str | None = "eager"):
    def make(f: OnGpu):
        torch = f.module
        torch.backends.cudnn.benchmark = True
        module = pair.torch(f)
        function = module if mode == "eager" else torch.compile(module, mode=mode, dynamic=False)
        arrays = [one.on(f) for one in given]
        arrays = [a.permute(0, 3, 1, 2) if a.ndim == 4 else a for a in arrays]
        return lambda: function(*arrays).permute(0, 2, 3, 1)

    return make


def contenders(pair: Pair, given: tuple[Given, ...], mode: str | None) -> dict:
    return {
        "legato": ours(pair, given, False),
        "legato.compile": ours(pair, given, True),
        "torch": theirs(pair, given),
        "torch.compile": theirs(pair, given, mode),
    }


def transformer_operations(batch: int, positions: int, channels: int) -> float:
    """Additions and multiplications of the matrix products of a transformer block."""
    linear = channels * channels
    picture = 4 * positions * linear + 2 * positions * positions * channels
    text = 2 * positions * linear + 2 * TOKENS * TEXT * channels + 2 * positions * TOKENS * channels
    forward = 12 * positions * linear
    return 2.0 * batch * (2 * positions * linear + picture + text + forward)


def rows(ceilings: Ceilings, small: bool) -> list[Row]:
    side, channels = (8, 64) if small else (64, 320)
    residual, transformer = pairs(channels)
    found = []
    for batch in (16, 1):
        n = min(batch, 2) if small else batch
        mode = None if batch > 1 else "reduce-overhead"
        x = Given((n, side, side, channels), "float16")
        time = Given((n, EMBEDDING), "float16", seed=1)
        text = Given((n, TOKENS, TEXT), "float16", seed=2)
        pixels = n * side * side
        moved = 2.0 * 2 * pixels * channels
        for name, pair, given, operations in (
            ("residual block", residual, (x, time), 2 * 2.0 * pixels * channels**2 * 9),
            (
                "transformer block",
                transformer,
                (x, text),
                transformer_operations(n, side * side, channels),
            ),
        ):
            found.append(
                Row(
                    f"batch {batch}: {name}, {side}x{side}x{channels}",
                    "blocks of the SD U-Net, float16",
                    contenders(pair, given, mode),
                    BARS,
                    work=(operations, "FLOP"),
                    floor=ceilings.seconds(moved, operations, "float16"),
                    check=Agreement(3e-2),
                )
            )
    return found
