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

def cuda_kernel(
    name: str,
    input_names: Sequence[str],
    output_names: Sequence[str],
    source: str,
    header: str = '',
    ensure_row_contiguous: bool = True,
    shared_memory: int = 0,
) -> Callable[..., list[array]]:
    """A kernel from the body of a CUDA function, compiled when it is first run."""

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

def metal_kernel(
    name: str,
    input_names: Sequence[str],
    output_names: Sequence[str],
    source: str,
    header: str = '',
    ensure_row_contiguous: bool = True,
    atomic_outputs: bool = False,
    compile_options: Any = None,
) -> Callable[..., list[array]]:
    """A kernel in Metal's language, which Legato does not run: calling the result raises."""

def precompiled_cuda_kernel(
    *,
    name: str,
    compiled_source: bytes,
    inputs: Any,
    output_shapes: Sequence[Sequence[int]],
    output_dtypes: Sequence[Dtype],
    scalars: Sequence[bool | int | float],
    grid: tuple[int, int, int],
    threadgroup: tuple[int, int, int],
    shared_memory: int = 0,
    init_value: float | None = None,
    ensure_row_contiguous: bool = False,
    stream: StreamOrDevice = None,
) -> list[array]:
    """Runs a kernel that is compiled already, PTX or a cubin, and gives its outputs."""

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
