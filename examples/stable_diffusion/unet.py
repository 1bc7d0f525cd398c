"""The denoising network of Stable Diffusion 1.x, written with legato.nn. Images are (N, H, W, C).

The architecture is that of Rombach et al.: High-Resolution Image Synthesis with Latent Diffusion Models
(2022). A U-Net of residual blocks that know the time; at all sizes but the smallest, each is followed by a
transformer that looks at the picture and at the text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import legato.core as mx
import legato.nn as nn

GROUPS = 32


@dataclass(frozen=True)
class Config:
    """Sizes of the network; the defaults are those of Stable Diffusion 1.x.

    widths: Channels at each resolution, which halves from one to the next.
    blocks: Residual blocks of a resolution on the way down; one more on the way up.
    """

    channels: int = 4
    widths: tuple[int, ...] = (320, 640, 1280, 1280)
    blocks: int = 2
    heads: int = 8
    text: int = 768


class ResidualBlock(nn.Module):
    """Group norm, SiLU, 3 x 3 convolution, twice, beside a shortcut; the time is added in between."""

    def __init__(self, channels: int, out_channels: int, embedding: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, channels, pytorch_compatible=True)
        self.conv1 = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.time = nn.Linear(embedding, out_channels)
        self.norm2 = nn.GroupNorm(GROUPS, out_channels, pytorch_compatible=True)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        if channels != out_channels:
            self.shortcut = nn.Linear(channels, out_channels)  # a 1 x 1 convolution

    def __call__(self, x: mx.array, time: mx.array) -> mx.array:
        """x: (N, H, W, channels), time: (N, embedding); returns (N, H, W, out_channels)."""
        h = self.conv1(nn.silu(self.norm1(x)))
        h = h + self.time(nn.silu(time))[:, None, None, :]
        h = self.conv2(nn.silu(self.norm2(h)))
        return h + (self.shortcut(x) if "shortcut" in self else x)


class Attention(nn.Module):
    """Tokens look at other tokens: at each other, or at those of the text."""

    def __init__(self, channels: int, heads: int, seen: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(channels, channels, bias=False)
        self.key = nn.Linear(seen, channels, bias=False)
        self.value = nn.Linear(seen, channels, bias=False)
        self.merge = nn.Linear(channels, channels)

    def __call__(self, x: mx.array, seen: mx.array) -> mx.array:
        """x: (N, L, channels), seen: (N, S, its width); returns (N, L, channels)."""
        n, length, channels = x.shape
        size = channels // self.heads

        def split(tokens: mx.array) -> mx.array:
            return tokens.reshape(n, -1, self.heads, size).transpose(0, 2, 1, 3)

        q, k, v = split(self.query(x)), split(self.key(seen)), split(self.value(seen))
        found = mx.fast.scaled_dot_product_attention(q, k, v, scale=size**-0.5)
        return self.merge(found.transpose(0, 2, 1, 3).reshape(n, length, channels))


class FeedForward(nn.Module):
    """Four times as wide inside, with a gate (Shazeer: GLU Variants Improve Transformer, 2020)."""

    def __init__(self, channels: int):
        super().__init__()
        self.widen = nn.Linear(channels, 8 * channels)
        self.narrow = nn.Linear(4 * channels, channels)

    def __call__(self, x: mx.array) -> mx.array:
        value, gate = mx.split(self.widen(x), 2, axis=-1)
        return self.narrow(value * nn.gelu(gate))


class TransformerBlock(nn.Module):
    """Positions of the picture look at each other, then at the text, then each goes through a feed-forward."""

    def __init__(self, channels: int, heads: int, text: int):
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels, eps=1e-6, pytorch_compatible=True)
        self.enter = nn.Linear(channels, channels)
        self.norm1 = nn.LayerNorm(channels)
        self.of_picture = Attention(channels, heads, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.of_text = Attention(channels, heads, text)
        self.norm3 = nn.LayerNorm(channels)
        self.feed_forward = FeedForward(channels)
        self.leave = nn.Linear(channels, channels)

    def __call__(self, x: mx.array, text: mx.array) -> mx.array:
        """x: (N, H, W, channels), text: (N, tokens, width); returns the shape of x."""
        n, height, width, channels = x.shape
        tokens = self.enter(self.norm(x)).reshape(n, height * width, channels)
        normed = self.norm1(tokens)
        tokens = tokens + self.of_picture(normed, normed)
        tokens = tokens + self.of_text(self.norm2(tokens), text)
        tokens = tokens + self.feed_forward(self.norm3(tokens))
        return x + self.leave(tokens).reshape(n, height, width, channels)


class Level(nn.Module):
    """The residual blocks of one resolution, each with a transformer or none."""

    def __init__(self, widths: list[tuple[int, int]], embedding: int, config: Config, looks: bool):
        super().__init__()
        self.residual = [ResidualBlock(into, out, embedding) for into, out in widths]
        self.transformer = [
            TransformerBlock(out, config.heads, config.text) for _, out in widths if looks
        ]

    def step(self, i: int, x: mx.array, time: mx.array, text: mx.array) -> mx.array:
        """Block `i`."""
        x = self.residual[i](x, time)
        return self.transformer[i](x, text) if self.transformer else x


class UNet(nn.Module):
    """Predicts the noise in a latent picture, given the time and the text."""

    def __init__(self, config: Config | None = None):
        super().__init__()
        config = config or Config()
        first, last, embedding = config.widths[0], config.widths[-1], 4 * config.widths[0]
        deepest = len(config.widths) - 1
        self._waves = first
        self.time1 = nn.Linear(first, embedding)
        self.time2 = nn.Linear(embedding, embedding)
        self.enter = nn.Conv2d(config.channels, first, 3, padding=1)

        kept = [first]  # channels of the values that the way up will see again
        self.down, self.shrink = [], []
        width = first
        for i, out in enumerate(config.widths):
            sizes = [(width if k == 0 else out, out) for k in range(config.blocks)]
            self.down.append(Level(sizes, embedding, config, looks=i < deepest))
            kept += [out] * config.blocks
            if i < deepest:
                self.shrink.append(nn.Conv2d(out, out, 3, stride=2, padding=1))
                kept.append(out)
            width = out

        self.middle = Level([(last, last)], embedding, config, looks=True)
        self.middle_end = ResidualBlock(last, last, embedding)

        self.up, self.grow = [], []
        for i, out in reversed(list(enumerate(config.widths))):
            sizes = []
            for _ in range(config.blocks + 1):
                sizes.append((width + kept.pop(), out))
                width = out
            self.up.append(Level(sizes, embedding, config, looks=i < deepest))
            if i > 0:
                self.grow.append(nn.Conv2d(out, out, 3, padding=1))

        self.norm = nn.GroupNorm(GROUPS, first, pytorch_compatible=True)
        self.leave = nn.Conv2d(first, config.channels, 3, padding=1)

    def __call__(self, x: mx.array, t: mx.array, text: mx.array) -> mx.array:
        """x: (N, H, W, 4), t: (N,) in [0, 1000), text: (N, tokens, 768); returns the shape of x.

        H and W are multiples of 8. Computes in the dtype of x, which is that of the weights.
        """
        time = self.time2(nn.silu(self.time1(waves(t, self._waves).astype(x.dtype))))
        x = self.enter(x)
        kept = [x]
        for level, shrink in zip(self.down, [*self.shrink, None], strict=True):
            for i in range(len(level.residual)):
                x = level.step(i, x, time, text)
                kept.append(x)
            if shrink is not None:
                x = shrink(x)
                kept.append(x)
        x = self.middle_end(self.middle.step(0, x, time, text), time)
        for level, grow in zip(self.up, [*self.grow, None], strict=True):
            for i in range(len(level.residual)):
                x = level.step(i, mx.concatenate([x, kept.pop()], axis=-1), time, text)
            if grow is not None:
                x = grow(mx.repeat(mx.repeat(x, 2, axis=1), 2, axis=2))
        return self.leave(nn.silu(self.norm(x)))


def waves(t: mx.array, dims: int) -> mx.array:
    """Cosines and sines of the times at dims / 2 frequencies from 1 down to almost 1 / 10,000; float32."""
    half = dims // 2
    frequencies = mx.exp(mx.arange(half, dtype=mx.float32) * (-math.log(10_000) / half))
    angles = t[:, None].astype(mx.float32) * frequencies
    return mx.concatenate([mx.cos(angles), mx.sin(angles)], axis=-1)
