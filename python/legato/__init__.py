"""Legato: an array framework for machine learning.

    import legato as lg            # arrays, functions, transforms
    import legato.nn as nn         # layers and losses

`legato.core` holds the same functions under the name that programs for MLX use:
`import legato.core as mx`.
"""

from legato._core import __version__  # noqa: F401
from legato.core import *  # noqa: F403
from legato.core import __array_namespace_info__  # noqa: F401
from legato.core._lazy import MODULES as _LAZY
from legato.core._lazy import load as _load

_SUBMODULES = ("nn", "optimizers", "utils", "data")


def __getattr__(name):
    # Loaded when first used: they are a third of the time to import.
    if name in _SUBMODULES:
        import importlib

        return importlib.import_module(f"legato.{name}")
    if name in _LAZY:
        return _load(name)
    raise AttributeError(f"module 'legato' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_SUBMODULES, *_LAZY})
