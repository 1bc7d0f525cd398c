"""The devices that cells run on: the CPU, and the GPU where the runtime has one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def names(core: Any) -> list[str]:
    return ["cpu", "gpu"] if core.is_available(core.gpu) else ["cpu"]


@contextmanager
def on(core: Any, name: str) -> Iterator[None]:
    """Operations run on that device until the scope ends."""
    previous = core.default_device()
    core.set_default_device(getattr(core, name))
    try:
        yield
    finally:
        core.set_default_device(previous)
