"""One memory: an array built on the host is as fast, after first touch, as one built on the device."""

from __future__ import annotations

import time

import numpy as np

from gpu.ceilings import Ceilings
from gpu.devices import Agreement, Given, OnGpu
from harness import Row, at_most


def of_host(given: tuple[Given, ...], program):
    def make(f: OnGpu):
        mx = f.module
        with mx.stream(mx.cpu):
            arrays = [mx.array(one.numpy()) for one in given]
            mx.eval(arrays)

        def run():
            result = program(mx, *arrays)
            mx.async_eval(result)
            return result

        return run

    return make


def of_device(given: tuple[Given, ...], program):
    def make(f: OnGpu):
        mx = f.module
        arrays = [one.on(f) + 0 for one in given]  # computed there
        mx.eval(arrays)

        def run():
            result = program(mx, *arrays)
            mx.async_eval(result)
            return result

        return run

    return make


def to_host(size: int):
    """Milliseconds until NumPy has what a kernel has computed."""

    def make(f: OnGpu):
        x = Given((size,)).on(f)

        def run() -> float:
            y = x + 1
            if f.name == "legato":
                f.module.eval(y)
            f.wait(y)
            start = time.perf_counter()
            got = np.array(y) if f.name == "legato" else y.cpu().numpy()
            seconds = time.perf_counter() - start
            assert got.shape == (size,)
            return seconds * 1e3

        return run

    return make


def from_host(size: int):
    """Milliseconds until a kernel has run on what NumPy holds."""

    def make(f: OnGpu):
        values = Given((size,)).numpy()

        def run() -> float:
            start = time.perf_counter()
            if f.name == "legato":
                f.module.eval(f.module.array(values) + 1)
            else:
                f.wait(f.array(values) + 1)
            return (time.perf_counter() - start) * 1e3

        return run

    return make


def rows(ceilings: Ceilings, small: bool) -> list[Row]:
    size, side = (1 << 12, 32) if small else (50_000_000, 2048)
    found = []
    for name, given, program in (
        ("x + y", (Given((size,)), Given((size,), seed=1)), lambda mx, x, y: x + y),
        ("sum", (Given((size,)),), lambda mx, x: mx.sum(x)),
        (
            "matmul of 2,048",
            (Given((side, side)), Given((side, side), seed=1)),
            lambda mx, x, y: x @ y,
        ),
        ("x + 1 of 1,024 elements", (Given((1024,)),), lambda mx, x: x + 1),
    ):
        found.append(
            Row(
                f"{name}, built on the host, after first touch",
                "unified memory",
                {"legato": of_host(given, program), "legato.device": of_device(given, program)},
                (at_most(1.05, "legato.device"),),
                check=Agreement(1e-5),
            )
        )
    for name, make in (("to the host", to_host), ("from the host", from_host)):
        found.append(
            Row(
                f"{4 * size / 1e6:.0f} MB {name}",
                "unified memory",
                {"legato": make(size), "torch": make(size)},
                (at_most(1.0, "torch"),),
                unit="ms",
                repeats=3 if small else 9,
            )
        )
    return found
