"""Gradients of the U-Net's convolutions by input and weights, float16, channels last, batch 16; no forward pass.

PyTorch: channels_last memory, cudnn.benchmark on, its derivative called by itself.
"""

from __future__ import annotations

from gpu.ceilings import Ceilings
from gpu.devices import Agreement, Given, OnGpu, lazily
from harness import Row, at_most

# side, channels in, channels out, kernel, stride
SHAPES = (
    (64, 320, 320, 3, 1),
    (64, 960, 320, 1, 1),
    (64, 320, 320, 3, 2),
    (32, 640, 640, 3, 1),
    (16, 1280, 1280, 3, 1),
    (8, 1280, 1280, 3, 1),
    (64, 4, 320, 3, 1),
    (64, 320, 4, 3, 1),
)


def torch_gradients(stride: int, padding: int, x: Given, w: Given, g: Given):
    def make(f: OnGpu):
        torch = f.module
        torch.backends.cudnn.benchmark = True
        mine, weight, cotangent = (one.on(f).permute(0, 3, 1, 2) for one in (x, w, g))
        backward = torch.ops.aten.convolution_backward
        strides, paddings, ones = [stride] * 2, [padding] * 2, [1, 1]

        def run():
            of = backward(
                cotangent,
                mine,
                weight,
                None,
                strides,
                paddings,
                ones,
                False,
                [0, 0],
                1,
                [True, True, False],
            )
            return [one.permute(0, 2, 3, 1) for one in of[:2]]

        return run

    return make


def rows(ceilings: Ceilings, small: bool) -> list[Row]:
    found = []
    for side, channels, out, kernel, stride in SHAPES:
        name = f"{side}x{side}, {channels} to {out}, {kernel}x{kernel}"
        name += f", stride {stride}" if stride > 1 else ""
        if small:
            side, channels, out = side // 8, max(4, channels // 20), max(4, out // 20)
        n, padding, to = 2 if small else 16, kernel // 2, -(-side // stride)
        x = Given((n, side, side, channels), "float16")
        w = Given((out, kernel, kernel, channels), "float16", scale=0.05, seed=1)
        g = Given((n, to, to, out), "float16", scale=0.1, seed=2)
        operations = 2.0 * 2 * n * to**2 * out * channels * kernel**2
        moved = 2.0 * 2 * (n * side**2 * channels + out * kernel**2 * channels + n * to**2 * out)

        def ours(mx, x, w, g, stride=stride, padding=padding):
            def convolve(x, w):
                return mx.conv2d(x, w, stride=stride, padding=padding)

            return mx.vjp(convolve, [x, w], [g])[1]

        found.append(
            Row(
                name,
                "gradients of convolutions, float16, batch 16",
                {
                    "legato": lazily(ours, x, w, g),
                    "torch": torch_gradients(stride, padding, x, w, g),
                },
                (at_most(1 / 0.97, "torch"),),
                work=(operations, "FLOP"),
                floor=ceilings.seconds(moved, operations, "float16"),
                check=Agreement(2e-2),
            )
        )
    return found
