"""What the card can do, measured in this run: the floors of all rows are divided by these."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from frameworks import MissingError
from gpu.devices import PEERS, Given, OnGpu, eager, lazily, on_gpu
from harness import OURS, Ready


def matmul(module: Any, a: Any, b: Any) -> Any:
    return module.matmul(a, b)


def best_seconds(run: Any, f: OnGpu, rounds: int) -> float:
    ready = Ready(run, None, f.wait)
    calls = ready.calls_for(0.01)
    return statistics.median(ready.sample(calls) for _ in range(rounds))


@dataclass
class Ceilings:
    """Bytes a second of a copy of 400 MB (read and written bytes both count), operations a second of a large matmul.

    Each is the best of the frameworks that are here. Measured when first asked for.
    """

    small: bool = False
    rates: dict[str, float] = field(default_factory=dict)

    @cached_property
    def here(self) -> list[OnGpu]:
        found = []
        for name in (OURS, *PEERS[:1]):
            try:
                found.append(on_gpu(name))
            except MissingError:
                continue
        return [f for f in found if isinstance(f, OnGpu)]

    @cached_property
    def copy(self) -> float:
        size = 1 << 14 if self.small else 100_000_000
        given = Given((size,))
        best = float("inf")
        for f in self.here:
            x = given.on(f)
            if f.name == "torch":
                y = f.module.empty_like(x)
                best = min(best, best_seconds(lambda: y.copy_(x), f, 7))  # noqa: B023
            else:
                run = lazily(lambda mx, x: mx.abs(x), given)(f)
                best = min(best, best_seconds(run, f, 7))
        return 8 * size / best

    def matmul(self, dtype: str) -> float:
        """Operations a second, a multiplication and an addition being two."""
        if dtype not in self.rates:
            side = 64 if self.small else 8192
            given = (Given((side, side), dtype), Given((side, side), dtype, seed=1))
            best = float("inf")
            for f in self.here:
                make = lazily if f.name == OURS else eager
                try:
                    best = min(best, best_seconds(make(matmul, *given)(f), f, 3))
                except Exception:  # the row of the table says why
                    continue
            self.rates[dtype] = 2 * side**3 / best
        return self.rates[dtype]

    def seconds(self, moved: float = 0, operations: float = 0, dtype: str = "float32") -> float:
        """The floor of work that moves so many bytes and does so many operations of matmul."""
        of_copy = moved / self.copy if moved else 0
        return max(of_copy, operations / self.matmul(dtype) if operations else 0)

    def facts(self) -> list[str]:
        said = []
        if "copy" in self.__dict__:
            said.append(f"Copy bandwidth of 400 MB in this run: {self.copy / 1e9:.0f} GB/s.")
        for dtype, rate in self.rates.items():
            said.append(f"Best matmul of 8192 in {dtype}: {rate / 1e12:.0f} TFLOP/s.")
        return said
