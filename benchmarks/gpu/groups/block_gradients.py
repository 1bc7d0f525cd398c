"""The two blocks of the Stable Diffusion U-Net with the gradients of all their parameters, float16, 64x64x320, batch 4.

The loss is the mean of the squares. PyTorch: channels_last, cudnn.benchmark on; torch.compile in its default mode.
"""

from __future__ import annotations

import importlib

from gpu.ceilings import Ceilings
from gpu.devices import Agreement, Given, OnGpu
from gpu.groups.blocks import EMBEDDING, TEXT, TOKENS, Pair, pairs, transformer_operations
from harness import Bar, Row, at_most

BARS = (
    at_most(1 / 1.5, "torch"),
    Bar(1.0, ("torch.compile",), by="legato.compile"),
)


def ours(pair: Pair, given: tuple[Given, ...], compiled: bool):
    def make(f: OnGpu):
        mx = f.module
        nn = importlib.import_module("legato.nn")
        module = pair.legato()
        step = nn.value_and_grad(module, lambda *of: module(*of).astype(mx.float32).square().mean())
        if compiled:
            step = mx.compile(step, inputs=module.trainable_parameters())
        arrays = [one.on(f) for one in given]

        def run():
            loss, gradients = step(*arrays)
            mx.async_eval(loss, gradients)
            return loss.reshape(1)

        return run

    return make


def theirs(pair: Pair, given: tuple[Given, ...], compiled: bool):
    def make(f: OnGpu):
        torch = f.module
        torch.backends.cudnn.benchmark = True
        module = pair.torch(f)
        parameters = [p.requires_grad_(True) for p in module.parameters()]
        function = torch.compile(module, dynamic=False) if compiled else module
        arrays = [one.on(f) for one in given]
        arrays = [a.permute(0, 3, 1, 2) if a.ndim == 4 else a for a in arrays]

        def run():
            with torch.enable_grad():
                loss = function(*arrays).float().square().mean()
                torch.autograd.grad(loss, parameters)
            return loss.detach().reshape(1)

        return run

    return make


def rows(ceilings: Ceilings, small: bool) -> list[Row]:
    n, side, channels = (2, 8, 64) if small else (4, 64, 320)
    pixels = n * side * side
    x = Given((n, side, side, channels), "float16")
    time = Given((n, EMBEDDING), "float16", seed=1)
    text = Given((n, TOKENS, TEXT), "float16", seed=2)
    residual, transformer = pairs(channels)
    found = []
    for name, pair, given, forward in (
        ("residual block", residual, (x, time), 2 * 2.0 * pixels * channels**2 * 9),
        ("transformer block", transformer, (x, text), transformer_operations(n, side**2, channels)),
    ):
        # Two more products for each of the forward pass, less those by an input that needs none.
        found.append(
            Row(
                f"{name} and its gradients, {side}x{side}x{channels}",
                "gradients of blocks of the SD U-Net, float16",
                {
                    "legato": ours(pair, given, False),
                    "legato.compile": ours(pair, given, True),
                    "torch": theirs(pair, given, False),
                    "torch.compile": theirs(pair, given, True),
                },
                BARS,
                work=(3 * forward, "FLOP"),
                floor=ceilings.seconds(2.0 * 4 * pixels * channels, 3 * forward, "float16"),
                check=Agreement(3e-2),
            )
        )
    return found
