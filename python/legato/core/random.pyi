"""Type stubs of legato.core.random. Written by tools/stubs.py, do not edit."""

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from os import PathLike
from typing import Any, BinaryIO, TypeAlias, TypeVar

from . import Dtype, StreamOrDevice, array, bool_, float32, int32, scalar

state: Any



def bernoulli(
    p: scalar | array = 0.5,
    shape: int | Sequence[int] | None = None,
    key: array | None = None,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """True with probability `p`."""

def categorical(
    logits: array,
    axis: int = -1,
    shape: int | Sequence[int] | None = None,
    num_samples: int | None = None,
    key: array | None = None,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Indices drawn with probability softmax(logits) along `axis`, uint32."""

def gumbel(
    shape: int | Sequence[int] = [],
    dtype: Dtype | None = float32,
    key: array | None = None,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Standard Gumbel numbers: -log(-log(u)) of uniform u."""

def key(seed: int, *, stream: StreamOrDevice = None) -> array:
    """A key for random numbers: the two halves of `seed`, as uint32 of shape (2,)."""

def laplace(
    shape: int | Sequence[int] = [],
    dtype: Dtype | None = float32,
    loc: float = 0.0,
    scale: float = 1.0,
    key: array | None = None,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Laplace numbers with mean `loc` and variance 2 * scale**2."""

def normal(
    shape: int | Sequence[int] = [],
    dtype: Dtype | None = float32,
    loc: scalar | array | None = None,
    scale: scalar | array | None = None,
    key: array | None = None,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Normal numbers with mean `loc` (0) and standard deviation `scale` (1)."""

def permutation(
    x: scalar | array,
    axis: int = 0,
    key: array | None = None,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """A random permutation of 0 ... x - 1, or of the entries of an array along `axis`."""

def randint(
    low: scalar | array,
    high: scalar | array,
    shape: int | Sequence[int] = [],
    dtype: Dtype | None = int32,
    key: array | None = None,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Integers in [low, high)."""

def seed(seed: int) -> None:
    """Sets the calling thread's random state to key(seed)."""

def split(key: array, num: int = 2, *, stream: StreamOrDevice = None) -> array:
    """`num` independent keys from one."""

def truncated_normal(
    lower: scalar | array,
    upper: scalar | array,
    shape: int | Sequence[int] | None = None,
    dtype: Dtype | None = float32,
    key: array | None = None,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Standard normal numbers, given that they lie in [lower, upper]."""

def uniform(
    low: scalar | array = 0,
    high: scalar | array = 1,
    shape: int | Sequence[int] = [],
    dtype: Dtype | None = float32,
    key: array | None = None,
    *,
    stream: StreamOrDevice = None,
) -> array:
    """Uniform numbers in [low, high)."""
