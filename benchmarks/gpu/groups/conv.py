"""The convolutions of the Stable Diffusion U-Net in float16, channels last, with a bias, batch 16 and 1.

PyTorch: channels_last memory, cudnn.benchmark on (it tries its algorithms at the first call of a shape).
"""

from __future__ import annotations

from gpu.ceilings import Ceilings
from gpu.devices import Agreement, Given, OnGpu, lazily
from harness import Row, at_most

# side, channels in, channels out, kernel, stride
SHAPES = (
    (64, 320, 320, 3, 1),
    (64, 640, 320, 3, 1),
    (64, 960, 320, 1, 1),
    (64, 320, 320, 3, 2),
    (32, 640, 640, 3, 1),
    (32, 1280, 640, 3, 1),
    (16, 1280, 1280, 3, 1),
    (8, 1280, 1280, 3, 1),
    (64, 4, 320, 3, 1),
    (64, 320, 4, 3, 1),
)


def torch_conv(stride: int, padding: int, x: Given, w: Given, b: Given):
    def make(f: OnGpu):
        torch = f.module
        torch.backends.cudnn.benchmark = True
        mine = x.on(f).permute(0, 3, 1, 2)
        weight = w.on(f).permute(0, 3, 1, 2)
        bias = b.on(f)
        function = torch.nn.functional.conv2d
        return lambda: function(mine, weight, bias, stride, padding).permute(0, 2, 3, 1)

    return make


def rows(ceilings: Ceilings, small: bool) -> list[Row]:
    found = []
    for batch in (16, 1):
        for side, channels, out, kernel, stride in SHAPES:
            name = f"batch {batch}: {side}x{side}, {channels} to {out}, {kernel}x{kernel}"
            name += f", stride {stride}" if stride > 1 else ""
            if small:
                side, channels, out = side // 8, max(4, channels // 20), max(4, out // 20)
            count = min(batch, 2) if small else batch
            x = Given((count, side, side, channels), "float16")
            w = Given((out, kernel, kernel, channels), "float16", scale=0.05, seed=1)
            b = Given((out,), "float16", seed=2)
            padding = kernel // 2
            pixels = count * (side // stride) ** 2
            operations = 2.0 * pixels * out * channels * kernel**2
            moved = 2.0 * (count * side**2 * channels + out * kernel**2 * channels + pixels * out)

            def ours(mx, x, w, b, stride=stride, padding=padding):
                return mx.conv2d(x, w, stride=stride, padding=padding) + b

            found.append(
                Row(
                    name,
                    "convolutions, float16",
                    {
                        "legato": lazily(ours, x, w, b),
                        "torch": torch_conv(stride, padding, x, w, b),
                    },
                    (at_most(1 / 0.97 if batch > 1 else 1 / 1.1, "torch"),),
                    work=(operations, "FLOP"),
                    floor=ceilings.seconds(moved, operations, "float16"),
                    check=Agreement(2e-2),
                )
            )
    return found
