"""The U-Net of examples/stable_diffusion in PyTorch, as its users write it: a peer to measure against.

Images are (N, C, H, W) with channels last in memory. Parts have the names of the example, so that `load` can give both
the same weights.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

GROUPS = 32


class ResidualBlock(nn.Module):
    def __init__(self, channels: int, out_channels: int, embedding: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, channels)
        self.conv1 = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.time = nn.Linear(embedding, out_channels)
        self.norm2 = nn.GroupNorm(GROUPS, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        if channels != out_channels:
            self.shortcut = nn.Conv2d(channels, out_channels, 1)
        else:
            self.shortcut = nn.Identity()

    def forward(self, x, time):
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.time(F.silu(time))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return h + self.shortcut(x)


class Attention(nn.Module):
    def __init__(self, channels: int, heads: int, seen: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(channels, channels, bias=False)
        self.key = nn.Linear(seen, channels, bias=False)
        self.value = nn.Linear(seen, channels, bias=False)
        self.merge = nn.Linear(channels, channels)

    def forward(self, x, seen):
        n, length, channels = x.shape

        def split(tokens):
            return tokens.view(n, -1, self.heads, channels // self.heads).transpose(1, 2)

        q, k, v = split(self.query(x)), split(self.key(seen)), split(self.value(seen))
        found = F.scaled_dot_product_attention(q, k, v)
        return self.merge(found.transpose(1, 2).reshape(n, length, channels))


class FeedForward(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.widen = nn.Linear(channels, 8 * channels)
        self.narrow = nn.Linear(4 * channels, channels)

    def forward(self, x):
        value, gate = self.widen(x).chunk(2, dim=-1)
        return self.narrow(value * F.gelu(gate))


class TransformerBlock(nn.Module):
    def __init__(self, channels: int, heads: int, text: int):
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels, eps=1e-6)
        self.enter = nn.Conv2d(channels, channels, 1)
        self.norm1 = nn.LayerNorm(channels)
        self.of_picture = Attention(channels, heads, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.of_text = Attention(channels, heads, text)
        self.norm3 = nn.LayerNorm(channels)
        self.feed_forward = FeedForward(channels)
        self.leave = nn.Conv2d(channels, channels, 1)

    def forward(self, x, text):
        n, channels, height, width = x.shape
        # No copy: memory is channels last.
        tokens = self.enter(self.norm(x)).permute(0, 2, 3, 1).reshape(n, height * width, channels)
        normed = self.norm1(tokens)
        tokens = tokens + self.of_picture(normed, normed)
        tokens = tokens + self.of_text(self.norm2(tokens), text)
        tokens = tokens + self.feed_forward(self.norm3(tokens))
        return x + self.leave(tokens.view(n, height, width, channels).permute(0, 3, 1, 2))


class Level(nn.Module):
    def __init__(self, widths: list[tuple[int, int]], embedding: int, config: Any, looks: bool):
        super().__init__()
        self.residual = nn.ModuleList(ResidualBlock(into, out, embedding) for into, out in widths)
        self.transformer = nn.ModuleList(
            TransformerBlock(out, config.heads, config.text) for _, out in widths if looks
        )

    def step(self, i, x, time, text):
        x = self.residual[i](x, time)
        return self.transformer[i](x, text) if len(self.transformer) else x


class UNet(nn.Module):
    """config: the example's Config."""

    def __init__(self, config: Any):
        super().__init__()
        first, last, embedding = config.widths[0], config.widths[-1], 4 * config.widths[0]
        deepest = len(config.widths) - 1
        self.time1 = nn.Linear(first, embedding)
        self.time2 = nn.Linear(embedding, embedding)
        half = first // 2
        self.register_buffer(
            "frequencies",
            torch.exp(torch.arange(half, dtype=torch.float32) * (-math.log(10_000) / half)),
            persistent=False,
        )
        self.enter = nn.Conv2d(config.channels, first, 3, padding=1)
        kept = [first]
        down, shrink = [], []
        width = first
        for i, out in enumerate(config.widths):
            sizes = [(width if k == 0 else out, out) for k in range(config.blocks)]
            down.append(Level(sizes, embedding, config, i < deepest))
            kept += [out] * config.blocks
            if i < deepest:
                shrink.append(nn.Conv2d(out, out, 3, stride=2, padding=1))
                kept.append(out)
            width = out
        self.middle = Level([(last, last)], embedding, config, True)
        self.middle_end = ResidualBlock(last, last, embedding)
        up, grow = [], []
        for i, out in reversed(list(enumerate(config.widths))):
            sizes = []
            for _ in range(config.blocks + 1):
                sizes.append((width + kept.pop(), out))
                width = out
            up.append(Level(sizes, embedding, config, i < deepest))
            if i > 0:
                grow.append(nn.Conv2d(out, out, 3, padding=1))
        self.down, self.shrink = nn.ModuleList(down), nn.ModuleList(shrink)
        self.up, self.grow = nn.ModuleList(up), nn.ModuleList(grow)
        self.norm = nn.GroupNorm(GROUPS, first)
        self.leave = nn.Conv2d(first, config.channels, 3, padding=1)

    def forward(self, x, t, text):
        angles = t[:, None] * self.frequencies.float()
        waves = torch.cat([angles.cos(), angles.sin()], dim=-1).to(x.dtype)
        time = self.time2(F.silu(self.time1(waves)))
        x = self.enter(x)
        kept = [x]
        for i, level in enumerate(self.down):
            for k in range(len(level.residual)):
                x = level.step(k, x, time, text)
                kept.append(x)
            if i < len(self.shrink):
                x = self.shrink[i](x)
                kept.append(x)
        x = self.middle_end(self.middle.step(0, x, time, text), time)
        for i, level in enumerate(self.up):
            for k in range(len(level.residual)):
                x = level.step(k, torch.cat([x, kept.pop()], dim=1), time, text)
            if i < len(self.grow):
                x = self.grow[i](F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return self.leave(F.silu(self.norm(x)))


def load(module: nn.Module, weights: dict[str, Any]) -> None:
    """Takes the weights of the example's module: arrays by name, convolutions as (out, height, width, in)."""
    mine = module.state_dict()
    given = {}
    for name, value in weights.items():
        value = torch.from_numpy(value)
        if value.ndim == 4:
            value = value.permute(0, 3, 1, 2)
        given[name] = value.reshape(mine[name].shape)
    module.load_state_dict(given)
