"""What an operation costs the host: chains of 1,000 small ones, from the call to the value, in µs an operation."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable

from gpu.ceilings import Ceilings
from gpu.devices import Given, OnGpu
from harness import Bar, Row

COUNT = 1000
GROUP = "host cost, 1,000 operations"
UNIT = "µs/op"


def timed(count: int, chain: Callable[[], object], wait: Callable[[object], object]):
    """Microseconds an operation, the wait for the device included.

    Each sample comes behind another chain: between samples the harness lets Python collect its garbage, 50 ms and more
    with all peers loaded, which empties the processor's caches and lets the GPU fall asleep.
    """
    for _ in range(3):
        wait(chain())

    def run() -> float:
        wait(chain())
        start = time.perf_counter()
        wait(chain())
        return (time.perf_counter() - start) * 1e6 / count

    return run


def adds(count: int):
    def chain(lib, x, y):
        for _ in range(count):
            x = x + y
        return x

    return chain


def products(count: int):
    def chain(lib, x, y):
        for _ in range(count):
            x = lib.matmul(x, y)
        return x

    return chain


def lazy(count: int, chain, given, fused: bool = True, compiled: bool = False):
    def make(f: OnGpu):
        mx = f.module
        x, y = (one.on(f) for one in given)
        off = importlib.import_module("legato").fusion
        if compiled:
            if fused:
                function = mx.compile(lambda x, y: chain(mx, x, y))
            else:
                with off(False):
                    function = mx.compile(lambda x, y: chain(mx, x, y))
                    mx.eval(function(x, y))
        else:

            def function(x, y):
                return chain(mx, x, y)

        def once():
            if fused:
                return mx.eval(function(x, y))
            with off(False):
                return mx.eval(function(x, y))

        return timed(count, once, lambda _: None)

    return make


def eager(count: int, chain, given):
    def make(f: OnGpu):
        x, y = (one.on(f) for one in given)
        return timed(count, lambda: chain(f.module, x, y), f.wait)

    return make


def graphed(count: int, chain, given):
    """A CUDA graph captured by PyTorch, replayed."""

    def make(f: OnGpu):
        torch = f.module
        x, y = (one.on(f) for one in given)
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for _ in range(3):
                chain(torch, x, y)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            chain(torch, x, y)
        return timed(count, graph.replay, f.wait)

    return make


def rows(ceilings: Ceilings, small: bool) -> list[Row]:
    count = 20 if small else COUNT
    vector = (Given((1024,)), Given((1024,), seed=1))
    matrix = (Given((64, 64), scale=0.1), Given((64, 64), scale=0.1, seed=1))
    plus, times = adds(count), products(count)

    def row(name, contenders, bar):
        return Row(name, GROUP, contenders, (Bar(bar),), unit=UNIT, repeats=3 if small else 15)

    return [
        row("adds, fused lazily", {"legato": lazy(count, plus, vector)}, 0.2),
        row(
            "adds, fusion off",
            {
                "legato": lazy(count, plus, vector, fused=False),
                "torch": eager(count, plus, vector),
                "cupy": eager(count, plus, vector),
            },
            2.5,
        ),
        row(
            "matmuls of 64",
            {
                "legato": lazy(count, times, matrix),
                "torch": eager(count, times, matrix),
            },
            5,
        ),
        row(
            "adds, fusion off, compiled and replayed",
            {
                "legato": lazy(count, plus, vector, fused=False, compiled=True),
                "torch.graph": graphed(count, plus, vector),
            },
            1.2,
        ),
        row(
            "adds, fused, compiled and replayed",
            {"legato": lazy(count, plus, vector, compiled=True)},
            0.2,
        ),
        row(
            "matmuls of 64, compiled and replayed",
            {
                "legato": lazy(count, times, matrix, compiled=True),
                "torch.graph": graphed(count, times, matrix),
            },
            3,
        ),
    ]
