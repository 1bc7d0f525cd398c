"""Work that is larger than the memory it may use, beside the same work with room for all; milliseconds a pass."""

from __future__ import annotations

import time
from collections.abc import Callable

from gpu.ceilings import Ceilings
from gpu.devices import OnGpu
from harness import Row

GROUP = "more than the memory (legato: room for two thirds; legato.room: for all)"


def passes(side: int, count: int, room: int | None, step: Callable[..., object], dtype: str):
    """A pass replaces or reads each of `count` arrays once; there is room for `room` of them."""

    def make(f: OnGpu):
        mx = f.module
        w = (mx.eye(side) * 0.5).astype(getattr(mx, dtype))
        mx.eval(w)

        def run() -> float:
            before = None
            mx.clear_cache()
            if room is not None:
                before = mx.set_memory_limit(mx.get_active_memory(mx.gpu) + room * w.nbytes)
            try:
                xs = []
                for k in range(count):
                    xs.append((mx.zeros((side, side)) + k / 64).astype(w.dtype))
                    mx.eval(xs[-1])
                for timed in (False, True):
                    start = time.perf_counter()
                    results = []
                    for k in range(count):
                        results.append(step(mx, xs, k, w))
                        mx.async_eval(results[-1])
                    mx.eval(results)
                    del results
                    if timed:
                        return (time.perf_counter() - start) * 1e3
            finally:
                if before is not None:
                    mx.set_memory_limit(before)
            raise AssertionError("not reached")

        return run

    return make


def read(mx, xs, k, w):
    return mx.sum(xs[k] * 2 + 1)


def write(mx, xs, k, w):
    xs[k] = xs[k] * 0.5 + 1
    return mx.sum(xs[k][:1])


def product(mx, xs, k, w):
    return mx.sum((xs[k] @ w)[:1])


def rows(ceilings: Ceilings, small: bool) -> list[Row]:
    side, count = (128, 9) if small else (8192, 48)  # 128 MiB each in halves
    room = count * 2 // 3
    return [
        Row(
            f"{count} arrays of {side}², {name}",
            GROUP,
            {
                "legato": passes(side, count, room, step, "bfloat16"),
                "legato.room": passes(side, count, None, step, "bfloat16"),
            },
            unit="ms",
            repeats=2 if small else 5,
        )
        for name, step in (
            ("each read", read),
            ("each replaced", write),
            ("a product of each", product),
        )
    ]
