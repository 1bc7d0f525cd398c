"""The first call at a shape that the process has not seen: each sample takes another one, in ms."""

from __future__ import annotations

import itertools
import time

import numpy as np

from gpu.ceilings import Ceilings
from gpu.devices import Given, OnGpu
from harness import Bar, Row, at_most

GROUP = "first call at a new shape"


def mlp(lib, x, weights):
    for w, b in weights[:-1]:
        x = lib.maximum(x @ w + b, 0)
    w, b = weights[-1]
    return x @ w + b


def mlp_torch(torch, x, weights):
    for w, b in weights[:-1]:
        x = torch.relu(torch.addmm(b, x, w))
    w, b = weights[-1]
    return torch.addmm(b, x, w)


def of_mlp(widths: tuple[int, ...]):
    def make(f: OnGpu):
        program = mlp_torch if f.name == "torch" else mlp
        weights = [
            (Given((a, b), scale=a**-0.5).on(f), Given((b,), scale=0.1).on(f))
            for a, b in itertools.pairwise(widths)
        ]
        sizes = itertools.count(129)
        values = np.ones((4096, widths[0]), np.float32)

        def run() -> float:
            x = f.array(values[: next(sizes)])
            f.wait(x)
            start = time.perf_counter()
            y = program(f.module, x, weights)
            if f.name == "legato":
                f.module.eval(y)
            f.wait(y)
            return (time.perf_counter() - start) * 1e3

        for _ in range(4):
            run()
        return run

    return make


def of_conv(channels: int, benchmark: bool, width: int):
    def make(f: OnGpu):
        import importlib

        w = Given((channels, 3, 3, channels), "float16", scale=0.05).on(f)
        b = Given((channels,), "float16").on(f)
        sides = itertools.count(18)

        def run() -> float:
            x = Given((1, next(sides), width, channels), "float16").on(f)
            f.wait(x)
            start = time.perf_counter()
            if f.name == "legato":
                nn = importlib.import_module("legato.nn")
                y = nn.silu(f.module.conv2d(x, w, padding=1) + b)
                f.module.eval(y)
            else:
                function = f.module.nn.functional
                f.module.backends.cudnn.benchmark = benchmark
                y = function.silu(
                    function.conv2d(x.permute(0, 3, 1, 2), w.permute(0, 3, 1, 2), b, padding=1)
                )
            f.wait(y)
            return (time.perf_counter() - start) * 1e3

        for _ in range(3):
            run()
        return run

    return make


def rows(ceilings: Ceilings, small: bool) -> list[Row]:
    widths = (16, 32, 10) if small else (784, 256, 256, 10)
    channels = 8 if small else 320
    repeats = 3 if small else 15
    return [
        Row(
            "MLP 784-256-256-10, a batch not seen before",
            GROUP,
            {"legato": of_mlp(widths), "torch": of_mlp(widths)},
            (Bar(0.3), at_most(1.0, "torch")),
            unit="ms",
            repeats=repeats,
        ),
        Row(
            f"convolution 3x3 of {channels} channels + SiLU, a size not seen before",
            GROUP,
            {
                "legato": of_conv(channels, False, 32),
                "torch": of_conv(channels, False, 32),
                # Other sizes: what one plan has tried, the other finds in the same cache.
                "torch.benchmark": of_conv(channels, True, 33),
            },
            (Bar(2.0),),
            unit="ms",
            repeats=repeats,
        ),
    ]
