"""The frameworks on a GPU, and the arrays that all of them get.

Where there is no GPU (`--small`, to try the suite), PyTorch and JAX take the CPU.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np

import frameworks
from frameworks import Framework, MissingError, version_of
from harness import Factory

PEERS = ("torch", "jax", "cupy")


class OnGpu(Framework):
    """A framework whose arrays lie on the GPU, and whose calls may return before they are done."""

    def array(self, values: np.ndarray, dtype: str | None = None) -> Any:
        if self.name == "legato":
            made = self.module.array(values) + 0  # computed, and so there, on the GPU
            made = made if dtype is None else made.astype(dtype_of(self, dtype))
            self.module.eval(made)
            return made
        if self.name == "torch":
            made = self.module.from_numpy(values).to(torch_device())
            return made if dtype is None else made.to(dtype_of(self, dtype))
        if self.name == "cupy":
            made = self.module.asarray(values)
            return made if dtype is None else made.astype(dtype_of(self, dtype))
        return super().array(values, dtype)

    def wait(self, value: Any = None) -> Any:
        if self.name == "legato":
            self.module.synchronize()
        elif self.name == "torch":
            if torch_device() == "cuda":
                self.module.cuda.synchronize()
        elif self.name == "cupy":
            self.module.cuda.Device().synchronize()
        else:
            super().wait(value)
        return value

    def numpy(self, value: Any) -> np.ndarray:
        """A copy in NumPy's float64, or its integers."""
        if self.name == "torch":
            value = value.detach().double() if value.is_floating_point() else value
            return np.asarray(value.cpu())
        if self.name == "cupy":
            return self.module.asnumpy(value.astype(float))
        if self.name == "legato":
            kind = self.module.issubdtype(value.dtype, self.module.floating)
            return np.array(value.astype(self.module.float32) if kind else value)
        return np.asarray(value)

    def some(self, value: Any, count: int = 5000) -> np.ndarray:
        """`count` elements spread over all of `value`, or all if there are fewer: to compare results by."""
        if isinstance(value, list | tuple):
            return np.concatenate([self.some(one, count).ravel() for one in value])
        size = int(np.prod(value.shape))
        flat = value.reshape(-1)
        return self.numpy(flat if size <= count else flat[:: max(1, size // count)])


def dtype_of(f: Framework, name: str) -> Any:
    if not hasattr(f.module, name):
        raise MissingError(f"{f.name} has no {name}")
    return getattr(f.module, name)


@cache
def torch_device() -> str:
    return "cuda" if importlib.import_module("torch").cuda.is_available() else "cpu"


@cache
def on_gpu(name: str) -> Framework:
    """The framework of that name, its default device the GPU; MissingError with a sentence if it has none here."""
    if name == "numpy":
        return frameworks.framework(name)
    if name == "legato":
        module = frameworks.import_module("legato.core")
        if not module.is_available(module.gpu):
            raise MissingError("Legato finds no GPU; python -m legato info says why")
        module.set_default_device(module.gpu)
        return OnGpu(name, module, version_of(name))
    if name == "torch":
        module = frameworks.import_module("torch")
        module.set_grad_enabled(False)
        # float32 is float32 for all; PyTorch's convolutions would take TF32 without being asked.
        module.backends.cudnn.allow_tf32 = False
        return OnGpu(name, module, module.__version__)
    if name == "jax":
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        return OnGpu(name, frameworks.import_module("jax.numpy"), version_of(name))
    if name == "cupy":
        return OnGpu(name, frameworks.import_module("cupy"), version_of("cupy-cuda13x"))
    raise MissingError(f"{name} is not a framework known here")


@dataclass(frozen=True)
class Given:
    """An array that a row's contenders compute with: shape, dtype, and how its values are drawn.

    values: "normal", or a function of the number of elements that gives them.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    values: str | Callable[[int], np.ndarray] = "normal"
    scale: float = 1.0
    seed: int = 0

    @lru_cache(maxsize=6)  # noqa: B019 - the contenders of a row ask one after the other
    def numpy(self) -> np.ndarray:
        size = int(np.prod(self.shape))
        if callable(self.values):
            return self.values(size).reshape(self.shape)
        # A million different numbers, repeated: drawing 10⁸ takes a second.
        block = np.random.default_rng(self.seed).standard_normal(min(size, 1_000_003), np.float32)
        return np.resize(block * np.float32(self.scale), self.shape)

    def on(self, f: Framework) -> Any:
        values = self.numpy()
        return f.array(values, None if values.dtype == self.dtype else self.dtype)


def lazily(program: Callable[..., Any], *given: Given) -> Factory:
    """Legato's contender: `program(mx, *arrays)` is started at each call and not waited for."""

    def make(f: Framework):
        mx = f.module
        arrays = [one.on(f) for one in given]

        def run():
            result = program(mx, *arrays)
            mx.async_eval(result)
            return result

        return run

    return make


def eager(program: Callable[..., Any], *given: Given) -> Factory:
    """`program(module, *arrays)` for PyTorch or CuPy."""

    def make(f: Framework):
        arrays = [one.on(f) for one in given]
        return lambda: program(f.module, *arrays)

    return make


def compiled(program: Callable[..., Any], *given: Given, mode: str | None = None) -> Factory:
    """The same by torch.compile."""

    def make(f: Framework):
        torch = f.module
        arrays = [one.on(f) for one in given]
        function = torch.compile(lambda *of: program(torch, *of), mode=mode, dynamic=False)
        return lambda: function(*arrays)

    return make


def jitted(program: Callable[..., Any], *given: Given) -> Factory:
    """`program(jax, *arrays)` by jax.jit."""

    def make(f: Framework):
        jax = importlib.import_module("jax")
        arrays = [one.on(f) for one in given]
        function = jax.jit(lambda *of: program(jax, *of))
        return lambda: function(*arrays)

    return make


class Agreement:
    """A row's check: every contender agrees with the first one that ran, PyTorch where it is, or with `reference`.

    tolerance: of the largest difference, relative to the largest element of the reference.
    """

    def __init__(self, tolerance: float, reference: Callable[[], np.ndarray] | None = None):
        self.tolerance = tolerance
        self.reference = reference
        self.want: np.ndarray | None = None
        self.of = "NumPy"

    def __call__(self, name: str, first: Any) -> str | None:
        f = on_gpu(name.split(".")[0])
        got = f.some(first) if isinstance(f, OnGpu) else np.asarray(first)
        got = got.astype(np.float64)
        if self.want is None and self.reference is not None:
            self.want = self.reference().astype(np.float64)
        if self.want is None:
            self.want, self.of = got, name
            return None
        if got.shape != self.want.shape:
            return f"{got.size} elements where {self.of} has {self.want.size}"
        scale = max(float(np.max(np.abs(self.want), initial=0)), 1e-30)
        error = float(np.max(np.abs(got - self.want), initial=0)) / scale
        if not error <= self.tolerance:
            return f"differs from {self.of} by {error:.2g} of the largest element; {self.tolerance:g} is allowed"
        return None


def release() -> None:
    """Gives cached memory back between rows, so that one framework's cache is not another's lack."""
    modules = sys.modules
    if "legato.core" in modules:
        modules["legato.core"].clear_cache()
    if "torch" in modules and torch_device() == "cuda":
        modules["torch"].cuda.empty_cache()
    if "cupy" in modules:
        modules["cupy"].get_default_memory_pool().free_all_blocks()
