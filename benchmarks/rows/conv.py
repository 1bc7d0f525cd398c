"""Convolutions of a U-Net on small images and of ResNet, forward and with both gradients."""

from __future__ import annotations

import numpy as np

from frameworks import Framework
from harness import Row, at_most, mlx_like

BARS = (at_most(1 / 0.95, "torch", "jax.jit", "mlx"),)
# name, batch, side, channels in, channels out, kernel, stride
SHAPES = (
    ("U-Net 8x8, 32 -> 32", 64, 8, 32, 32, 3, 1),
    ("U-Net 4x4, 64 -> 64", 64, 4, 64, 64, 3, 1),
    ("U-Net 32x32, 64 -> 64", 8, 32, 64, 64, 3, 1),
    ("ResNet stem 224x224, 3 -> 64", 1, 224, 3, 64, 7, 2),
    ("ResNet 56x56, 64 -> 64", 1, 56, 64, 64, 3, 1),
    ("ResNet 28x28, 128 -> 128", 1, 28, 128, 128, 3, 1),
    ("ResNet 14x14, 256 -> 256", 1, 14, 256, 256, 3, 1),
    ("ResNet 14x14, 1024 -> 256, 1x1", 1, 14, 1024, 256, 1, 1),
)


def rows() -> list[Row]:
    return [row(*shape, gradients=gradients) for gradients in (False, True) for shape in SHAPES]


def row(
    name: str,
    batch: int,
    side: int,
    fan_in: int,
    fan_out: int,
    k: int,
    stride: int,
    gradients: bool,
) -> Row:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, side, side, fan_in)).astype(np.float32)
    w = rng.normal(size=(fan_out, k, k, fan_in)).astype(np.float32)
    pad = k // 2
    out_side = (side + 2 * pad - k) // stride + 1
    flops = 2.0 * batch * out_side**2 * fan_in * fan_out * k * k * (3 if gradients else 1)

    def lazy(mx, f: Framework):
        mine = f.array(x), f.array(w)

        def forward(x, w):
            return mx.conv2d(x, w, stride=stride, padding=pad)

        if not gradients:
            return lambda: mx.eval(forward(*mine))
        ones = forward(*mine) * 0 + 1
        mx.eval(ones)
        both = mx.grad(lambda x, w: (forward(x, w) * ones).sum(), argnums=(0, 1))
        return lambda: mx.eval(both(*mine))

    def torch(f: Framework):
        channels_first = f.array(x.transpose(0, 3, 1, 2)), f.array(w.transpose(0, 3, 1, 2))
        function = f.module.nn.functional.conv2d
        if not gradients:
            return lambda: function(*channels_first, stride=stride, padding=pad)
        mine = [array.requires_grad_() for array in channels_first]
        ones = f.module.ones_like(function(*mine, stride=stride, padding=pad))
        return lambda: f.module.autograd.grad(
            function(*mine, stride=stride, padding=pad), mine, ones
        )

    def jit(f: Framework):
        import jax

        mine = f.array(x), f.array(w.transpose(1, 2, 3, 0))

        def forward(x, w):
            return jax.lax.conv_general_dilated(
                x, w, (stride, stride), [(pad, pad)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
            )

        function = jax.jit(forward)
        if gradients:
            ones = f.module.ones_like(forward(*mine))
            function = jax.jit(jax.grad(lambda x, w: (forward(x, w) * ones).sum(), argnums=(0, 1)))
        return lambda: jax.block_until_ready(function(*mine))

    what = "forward and both gradients" if gradients else "forward"
    return Row(
        name,
        f"conv, float32, {what}",
        {**mlx_like(lazy), "torch": torch, "jax.jit": jit},
        BARS,
        work=(flops, "FLOP"),
    )
