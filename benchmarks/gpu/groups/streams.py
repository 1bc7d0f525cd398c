"""Two independent chains of small products on two streams of one GPU, beside both on one stream."""

from __future__ import annotations

from gpu.ceilings import Ceilings
from gpu.devices import OnGpu
from harness import Row, at_most


def chains(side: int, count: int, streams: int, compiled: bool):
    def make(f: OnGpu):
        mx = f.module
        a = mx.random.normal((side, side)) / side**0.5
        mx.eval(a)

        def chain(x):
            for _ in range(count):
                x = x @ a
            return x

        each = []
        for _ in range(2):
            stream = mx.new_stream(mx.gpu) if streams == 2 else mx.default_stream(mx.gpu)
            with mx.stream(stream):
                each.append((stream, mx.compile(chain) if compiled else chain))

        def run():
            results = []
            for stream, function in each:
                with mx.stream(stream):
                    results.append(function(a))
                    mx.async_eval(results[-1])
            mx.eval(results)  # the wait after a sample is for one stream only
            return results

        return run

    return make


def rows(ceilings: Ceilings, small: bool) -> list[Row]:
    return [
        Row(
            f"2 chains of {count} products of {side}, {'recorded' if compiled else 'launched'}",
            "two streams",
            {
                "legato": chains(side, count, 2, compiled),
                "legato.one": chains(side, count, 1, compiled),
            },
            (at_most(1.0, "legato.one"),),
        )
        for side, count in (((16, 4),) if small else ((512, 200), (1024, 100)))
        for compiled in (False, True)
    ]
