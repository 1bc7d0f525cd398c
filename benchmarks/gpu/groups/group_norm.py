"""Group norm followed by SiLU on the activations of a U-Net, channels last, float16."""

from __future__ import annotations

import importlib

from gpu.ceilings import Ceilings
from gpu.devices import Agreement, Given, OnGpu, compiled, eager
from harness import Bar, Row, at_most

GROUPS, EPS = 32, 1e-5


def ours(channels: int, x: Given, w: Given, b: Given):
    def make(f: OnGpu):
        mx, nn = f.module, importlib.import_module("legato.nn")
        norm = nn.GroupNorm(GROUPS, channels, EPS, pytorch_compatible=True)
        norm.weight, norm.bias = w.on(f), b.on(f)
        mine = x.on(f)

        def run():
            result = nn.silu(norm(mine))
            mx.async_eval(result)
            return result

        return run

    return make


def torch_program(torch, x, w, b):
    """x is (N, H, W, C) in memory; PyTorch sees it as (N, C, H, W), channels last."""
    function = torch.nn.functional
    y = function.silu(function.group_norm(x.permute(0, 3, 1, 2), GROUPS, w, b, EPS))
    return y.permute(0, 2, 3, 1)


def rows(ceilings: Ceilings, small: bool) -> list[Row]:
    found = []
    for batch, side, channels in ((16, 64, 320), (16, 32, 640), (16, 16, 1280), (1, 64, 320)):
        if small:
            batch, side, channels = min(batch, 2), side // 16, channels // 10
        x = Given((batch, side, side, channels), "float16")
        w, b = Given((channels,), "float16", seed=1), Given((channels,), "float16", seed=2)
        moved = 4.0 * batch * side * side * channels
        contenders = {
            "legato": ours(channels, x, w, b),
            "torch": eager(torch_program, x, w, b),
            "torch.compile": compiled(torch_program, x, w, b),
        }
        bars = [at_most(1.0, "torch", "torch.compile")]
        if (batch, side) == (16, 64):
            bars.insert(0, Bar(60e-6))
        found.append(
            Row(
                f"group norm + SiLU, {batch}x{side}x{side}x{channels}",
                "group norm, float16",
                contenders,
                tuple(bars),
                work=(moved, "B"),
                floor=ceilings.seconds(moved),
                check=Agreement(1e-2),
            )
        )
    return found
