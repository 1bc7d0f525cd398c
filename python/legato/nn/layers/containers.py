"""Modules that hold others."""

from __future__ import annotations

from legato.nn.layers.base import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Sequential(Module):
    """Calls modules or functions one after the other, each with the result of the one before.

    Args:
        *modules: The modules, kept in the list `layers`; plain functions may be among them.

    >>> Sequential(abs, lambda x: x + 1)(-2)
    3
    """

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        self.layers = list(modules)

    def __call__(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x
