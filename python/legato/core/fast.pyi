"""Type stubs of legato.core.fast. Written by tools/stubs.py, do not edit."""

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from os import PathLike
from typing import Any, BinaryIO, TypeAlias, TypeVar

from . import Dtype, StreamOrDevice, array, bool_, float32, int32, scalar





def avg_pool(
    x: array,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int | Sequence[int]] = 0,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Mean of each window of positions, channel by channel; padding counts as zeros."""

def cross_entropy(logits: array, targets: array, *, stream: StreamOrDevice = None) -> array:
    """Negative log-likelihood of `targets` under softmax(`logits`), in nats."""

def group_norm(
    x: array,
    num_groups: int,
    weight: array | None = None,
    bias: array | None = None,
    eps: float = 1e-05,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Layer norm over groups of channels and all positions."""

def layer_norm(
    x: array,
    weight: array | None,
    bias: array | None,
    eps: float,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axis."""

def max_pool(
    x: array,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int | Sequence[int]] = 0,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Largest element of each window of positions, channel by channel."""

def rms_norm(x: array, weight: array | None, eps: float, *, stream: StreamOrDevice = None) -> array:
    """x / sqrt(mean(x**2) + eps) * weight over the last axis."""

def rope(
    a: array,
    dims: int,
    *,
    traditional: bool,
    base: float | None,
    scale: float,
    offset: scalar | array,
    freqs: array | None = None,
    stream: StreamOrDevice = None,
) -> array:
    """Rotary position embedding: turns pairs of features by an angle that grows with the position."""

def scaled_dot_product_attention(
    q: array,
    k: array,
    v: array,
    *,
    scale: float,
    mask: array | str | None = None,
    sinks: array | None = None,
    force_fused: bool = False,
    stream: StreamOrDevice = None,
) -> array:
    """softmax(scale * q @ k.T + mask) @ v, for each head."""
