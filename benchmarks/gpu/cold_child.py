"""cold_child.py CONTENDER small|block [small]: prints the monotonic time at which the first result was there.

Nothing is imported before the framework: its import is part of what is measured.
"""

import importlib
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def legato(block: bool, side: int, channels: int) -> None:
    import legato.core as mx

    mx.set_default_device(mx.gpu)
    if not block:
        mx.eval(mx.ones((8,)) + 1)
        return
    sys.path.insert(0, str(ROOT / "examples" / "stable_diffusion"))
    block_of = importlib.import_module("unet").ResidualBlock

    module = block_of(channels, channels, 1280)
    module.set_dtype(mx.float16)
    x = mx.random.normal((1, side, side, channels), dtype=mx.float16)
    mx.eval(module(x, mx.random.normal((1, 1280), dtype=mx.float16)))


def torch(block: bool, side: int, channels: int) -> None:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_grad_enabled(False)
    if not block:
        print((torch.ones(8, device=device) + 1).sum().item())
        return
    sys.path.insert(0, str(ROOT / "benchmarks" / "peers"))
    block_of = importlib.import_module("unet_torch").ResidualBlock

    module = block_of(channels, channels, 1280).to(device, torch.float16)
    module = module.to(memory_format=torch.channels_last)
    x = torch.randn(1, side, side, channels, device=device, dtype=torch.float16)
    y = module(x.permute(0, 3, 1, 2), torch.randn(1, 1280, device=device, dtype=torch.float16))
    print(y.sum().item())


if __name__ == "__main__":
    size = (8, 32) if sys.argv[3:] else (64, 320)
    {"legato": legato, "torch": torch}[sys.argv[1]](sys.argv[2] == "block", *size)
    print(time.monotonic())
