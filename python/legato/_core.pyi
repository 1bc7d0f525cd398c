"""The compiled module. Its public names are those of legato.core, which documents them."""

from typing import Any

from legato.core import *

__version__: str

def __getattr__(name: str) -> Any: ...
