"""Random numbers."""

from __future__ import annotations

from gpu.ceilings import Ceilings
from gpu.devices import OnGpu, lazily, on_gpu, torch_device
from harness import Row, at_most


def torch_fills(method: str, size: int, dtype: str):
    def make(f: OnGpu):
        torch = f.module
        function = getattr(torch, method)
        kind = getattr(torch, dtype)
        return lambda: function(size, device=torch_device(), dtype=kind)

    return make


def moments(mean: float, deviation: float):
    """A check: the numbers have about this mean and standard deviation."""

    def check(name, first):
        f = on_gpu(name.split(".")[0])
        assert isinstance(f, OnGpu)
        some = f.some(first, 20_000)
        allowed = 6 * deviation / len(some) ** 0.5
        if abs(some.mean() - mean) > allowed or abs(some.std() / deviation - 1) > 0.1:
            return f"mean {some.mean():.3f}, deviation {some.std():.3f}; expected {mean}, {deviation:.3f}"
        return None

    return check


def rows(ceilings: Ceilings, small: bool) -> list[Row]:
    size = 1 << 12 if small else 100_000_000
    found = []
    for dtype, width in (("float32", 4), ("float16", 2)):
        for name, ours, method, check in (
            (
                "uniform",
                lambda mx, t: mx.random.uniform(shape=(size,), dtype=t),
                "rand",
                moments(0.5, 12**-0.5),
            ),
            (
                "normal",
                lambda mx, t: mx.random.normal((size,), dtype=t),
                "randn",
                moments(0.0, 1.0),
            ),
        ):
            found.append(
                Row(
                    f"{name}, 10⁸ {dtype}",
                    "random numbers",
                    {
                        "legato": lazily(lambda mx, ours=ours, d=dtype: ours(mx, getattr(mx, d))),
                        "torch": torch_fills(method, size, dtype),
                    },
                    (at_most(1.0, "torch"),),
                    work=(float(width * size), "B"),
                    floor=ceilings.seconds(width * size),
                    check=check,
                )
            )
    return found
