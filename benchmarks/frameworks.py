"""The frameworks that are compared, behind the few words a benchmark needs of each."""

from __future__ import annotations

import importlib
import importlib.metadata
from functools import cache
from typing import Any

import numpy as np


class MissingError(RuntimeError):
    """A framework, or something it needs, is not here. The message is a sentence for the table."""


class Framework:
    """A framework and how arrays go into it and get computed.

    module: what a user imports: `legato.core`, `mlx.core`, `torch`, `jax.numpy`, `numpy`, or the compiled loops.
    """

    def __init__(self, name: str, module: Any, version: str):
        self.name = name
        self.module = module
        self.version = version

    def array(self, values: np.ndarray, dtype: str | None = None) -> Any:
        """`values` as this framework's array, computed; dtype is a common name such as "bfloat16"."""
        if self.name in ("legato", "mlx"):
            made = self.module.array(values)
            made = made if dtype is None else made.astype(getattr(self.module, dtype))
            self.module.eval(made)
            return made
        if self.name == "torch":
            made = self.module.from_numpy(np.ascontiguousarray(values).copy())
            return made if dtype is None else made.to(getattr(self.module, dtype))
        if self.name == "jax":
            return self.module.asarray(values, dtype=dtype).block_until_ready()
        if dtype is not None and not hasattr(np, dtype):
            raise MissingError(f"{self.name} has no {dtype}")
        return np.ascontiguousarray(values if dtype is None else values.astype(dtype))

    def wait(self, value: Any) -> Any:
        """Returns once `value`, an array or a tree of arrays, is computed."""
        if self.name in ("legato", "mlx"):
            self.module.eval(value)
        elif self.name == "jax":
            importlib.import_module("jax").block_until_ready(value)
        return value


def version_of(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "built here"


def import_module(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        absent = isinstance(error, ModuleNotFoundError) and error.name in (package, module)
        raise MissingError(
            f"{package} is not installed" if absent else f"{module}: {error}"
        ) from None


@cache
def framework(name: str) -> Framework:
    """The framework of that name; MissingError with a sentence if it cannot be imported."""
    if name == "legato":
        return Framework(name, import_module("legato.core"), version_of("legato"))
    if name == "mlx":
        module = import_module("mlx.core")
        module.set_default_device(module.cpu)
        return Framework(name, module, version_of("mlx"))
    if name == "torch":
        module = import_module("torch")
        module.set_num_threads(threads())
        return Framework(name, module, version_of("torch"))
    if name == "jax":
        return Framework(name, import_module("jax.numpy"), version_of("jax"))
    if name == "numpy":
        return Framework(name, np, np.__version__)
    if name == "loop":
        return Framework(name, import_module("loops"), "g++ -O3")
    if name == "c++":
        return Framework(name, None, "")
    raise MissingError(f"{name} is not a framework known here")


def threads() -> int:
    """How many cores this process may use; run.py sets it before anything is imported."""
    import os

    return len(os.sched_getaffinity(0))
