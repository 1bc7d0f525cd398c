"""A small U-Net: convolutions at 8 x 8 and 4 x 4 pixels that know the time and the class.

Its plan is that of Ho et al. (2020); time and class scale and shift the normalised features as in
Dhariwal, Nichol: Diffusion Models Beat GANs on Image Synthesis (2021). Images are (N, H, W, C).
"""

import math
from pathlib import Path

from diffusion import NO_CLASS

import legato.core as mx
import legato.nn as nn
from legato.utils import tree_flatten

SIZES = {"tiny": 16, "small": 32, "large": 64}  # channels at 8 x 8 pixels; 4 x 4 has twice as many
GROUPS = 8
HEADS = 2


class UNet(nn.Module):
    """Predicts v from a noisy image, its time and its class; see diffusion.py.

    Args:
        width: Channels at 8 x 8 pixels; a multiple of 8.
    """

    def __init__(self, width: int):
        super().__init__()
        self.width = width
        deep, embedding = 2 * width, 4 * width
        self.time = TimeEmbedding(embedding)
        self.label = nn.Embedding(NO_CLASS + 1, embedding)
        self.enter = nn.Conv2d(1, width, 3, padding=1)
        self.down = ResidualBlock(width, width, embedding)
        self.shrink = nn.Conv2d(width, deep, 3, stride=2, padding=1)
        self.down_deep = ResidualBlock(deep, deep, embedding)
        self.attention = Attention(deep)
        self.middle = ResidualBlock(deep, deep, embedding)
        self.up_deep = ResidualBlock(2 * deep, deep, embedding)
        self.grow = nn.Conv2d(deep, width, 3, padding=1)
        self.up = ResidualBlock(2 * width, width, embedding)
        self.norm = nn.GroupNorm(GROUPS, width, pytorch_compatible=True)
        self.leave = zeroed(nn.Conv2d(width, 1, 3, padding=1))

    def __call__(self, z: mx.array, t: mx.array, labels: mx.array) -> mx.array:
        """z: (N, 8, 8, 1), t: (N,) in [0, 1], labels: (N,) in [0, 10]; returns (N, 8, 8, 1)."""
        condition = nn.silu(self.time(t) + self.label(labels))
        fine = self.down(self.enter(z), condition)
        coarse = self.attention(self.down_deep(self.shrink(fine), condition))
        x = self.middle(coarse, condition)
        x = self.up_deep(mx.concatenate([x, coarse], axis=-1), condition)
        x = self.grow(mx.repeat(mx.repeat(x, 2, axis=1), 2, axis=2))
        x = self.up(mx.concatenate([x, fine], axis=-1), condition)
        return self.leave(nn.silu(self.norm(x)))


class TimeEmbedding(nn.Module):
    """Sines and cosines of the time at 32 frequencies, then two linear layers."""

    def __init__(self, dims: int, frequencies: int = 32):
        super().__init__()
        self.first = nn.Linear(2 * frequencies, dims)
        self.second = nn.Linear(dims, dims)
        self._frequencies = mx.exp(
            mx.linspace(0.0, math.log(1000.0), frequencies)
        )  # "_": no parameter

    def __call__(self, t: mx.array) -> mx.array:
        angles = t[:, None] * self._frequencies
        waves = mx.concatenate([mx.sin(angles), mx.cos(angles)], axis=-1)
        return self.second(nn.silu(self.first(waves)))


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut; the condition scales and shifts what is between."""

    def __init__(self, channels: int, out_channels: int, embedding: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(GROUPS, channels, pytorch_compatible=True)
        self.conv1 = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.modulate = nn.Linear(embedding, 2 * out_channels)
        self.norm2 = nn.GroupNorm(GROUPS, out_channels, pytorch_compatible=True)
        self.conv2 = zeroed(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        if channels != out_channels:
            self.shortcut = nn.Linear(channels, out_channels)  # a 1 x 1 convolution

    def __call__(self, x: mx.array, condition: mx.array) -> mx.array:
        scale, shift = mx.split(self.modulate(condition)[:, None, None, :], 2, axis=-1)
        h = self.conv1(nn.silu(self.norm1(x)))
        h = self.conv2(nn.silu(self.norm2(h) * (1 + scale) + shift))
        return h + (self.shortcut(x) if "shortcut" in self else x)


class Attention(nn.Module):
    """Lets every one of the H * W positions look at all others, beside a shortcut."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels, pytorch_compatible=True)
        self.queries_keys_values = nn.Linear(channels, 3 * channels)
        self.merge = zeroed(nn.Linear(channels, channels))

    def __call__(self, x: mx.array) -> mx.array:
        n, h, w, c = x.shape
        qkv = self.queries_keys_values(self.norm(x)).reshape(n, h * w, 3, HEADS, c // HEADS)
        q, k, v = qkv.transpose(2, 0, 3, 1, 4)  # each (N, heads, H * W, C / heads)
        seen = mx.fast.scaled_dot_product_attention(q, k, v, scale=(c // HEADS) ** -0.5)
        return x + self.merge(seen.transpose(0, 2, 1, 3).reshape(n, h, w, c))


def zeroed(layer: nn.Module) -> nn.Module:
    """Starts `layer` at zero: each block is then the identity, and the first prediction is 0."""
    layer.weight = mx.zeros_like(layer.weight)
    return layer


def save(path: Path, network: UNet, size: str) -> None:
    """Writes the weights as safetensors; the metadata says which of `SIZES` they belong to."""
    mx.save_safetensors(path, dict(tree_flatten(network.parameters())), {"size": size})


def load(path: Path) -> UNet:
    """Reads what `save` wrote. Raises ValueError if the file is not the weights of this network."""
    weights, metadata = mx.load(path, format="safetensors", return_metadata=True)
    if metadata.get("size") not in SIZES:
        raise ValueError(
            f"its metadata name no size of this network; expected one of {', '.join(SIZES)}"
        )
    network = UNet(SIZES[metadata["size"]])
    network.load_weights(list(weights.items()))
    return network
