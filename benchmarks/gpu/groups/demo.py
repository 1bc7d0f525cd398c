"""The training step of examples/digits_diffusion at batch 512, its loss read after each step, as the example does.

Arithmetic is float32 on both sides, TF32 off. PyTorch: channels_last, fused AdamW, foreach average;
torch.compile(mode="reduce-overhead"), which replays CUDA graphs.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np

from gpu.ceilings import Ceilings
from gpu.devices import Given, OnGpu, torch_device
from harness import Row, at_most

ROOT = Path(__file__).resolve().parents[3]


def images(size: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, size).astype(np.float32)


def labels(size: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 10, size).astype(np.int32)


def ours(batch: int, size: str):
    def make(f: OnGpu):
        mx = f.module
        sys.path.insert(0, str(ROOT / "examples" / "digits_diffusion"))
        model, step = importlib.import_module("model"), importlib.import_module("step")
        mx.random.seed(0)
        network = model.UNet(model.SIZES[size])
        train, _, state = step.training_step(network, 500)
        x = Given((batch, 8, 8, 1), "float32", images).on(f)
        y = Given((batch,), "int32", labels).on(f)

        def run() -> float:
            loss = train(x, y)
            mx.eval(loss, state)
            return loss.item()

        return run

    return make


def theirs(batch: int, size: str, mode: str):
    def make(f: OnGpu):
        torch = f.module
        peer = importlib.import_module("peers.digits_unet_torch")
        torch.manual_seed(0)
        torch.backends.cudnn.benchmark = True
        with torch.enable_grad():
            trainer = peer.Trainer(peer.WIDTHS[size], 500, mode, torch_device())
        x = Given((batch, 8, 8, 1), "float32", images).on(f).permute(0, 3, 1, 2)
        y = Given((batch,), "int64", labels).on(f)

        def run() -> float:
            with torch.enable_grad():
                return trainer.step(x, y)

        return run

    return make


def about_one(name: str, first: object) -> str | None:
    """The first loss: the network begins by predicting 0, and what it should predict has about unit variance."""
    loss = float(first) if isinstance(first, float) else np.nan
    return None if 0.2 < loss < 2.0 else f"the first loss is {loss:.3g}"


def rows(ceilings: Ceilings, small: bool) -> list[Row]:
    batch, size = (8, "tiny") if small else (512, "small")
    contenders = {
        "legato": ours(batch, size),
        "torch": theirs(batch, size, "eager"),
        "torch.compile": theirs(batch, size, "reduce-overhead"),
    }
    return [
        Row(
            f"training step of the digits U-Net, {size}, batch {batch}",
            "the demo, float32",
            contenders,
            (at_most(0.5, "torch"), at_most(1.0, "torch.compile")),
            work=(float(batch), "img"),
            check=about_one,
        )
    ]
