"""Arrays, their functions and the transforms of functions.

Everything here is also in `legato` itself. Most functions are made from the records of the C++
library; `help(legato.core.sum)` shows what a record says.
"""

import sys as _sys

from legato import _core
from legato._core import *  # noqa: F403
from legato.core._dtypes import (  # noqa: F401
    DtypeCategory,
    complexfloating,
    finfo,
    floating,
    generic,
    iinfo,
    inexact,
    integer,
    isdtype,
    issubdtype,
    number,
    signedinteger,
    unsignedinteger,
)
from legato.core._interop import (  # noqa: F401
    ArrayLike,
    __array_namespace_info__,
    asarray,
    broadcast_shapes,
    get_array_buffer_size,
)
from legato.core._io import (  # noqa: F401
    load,
    save,
    save_safetensors,
    savez,
    savez_compressed,
)
from legato.core._kernels import FUNCTIONS as _KERNELS
from legato.core._lazy import MODULES as _LAZY
from legato.core._lazy import load as _load
from legato.core._printing import (  # noqa: F401
    PrintOptions,
    get_printoptions,
    printoptions,
    set_printoptions,
)
from legato.core._settings import allow_tf32, fusion  # noqa: F401

for _name, _value in list(vars(_core).items()):
    if type(_value) is type(_sys):  # the submodules that the records name: fast, random, ...
        _sys.modules[f"legato.core.{_name}"] = _value

for _value in _KERNELS:
    setattr(_core.fast, _value.__name__, _value)

__version__ = _core.__version__
e = 2.718281828459045
euler_gamma = 0.5772156649015329
inf = float("inf")
nan = float("nan")
newaxis = None
pi = 3.141592653589793


def __getattr__(name):  # what is rarely asked for is loaded then
    if name in ("metal", "cuda"):
        import importlib

        return importlib.import_module(f"legato.core.{name}")
    if name in _LAZY:
        return _load(name)
    raise AttributeError(f"module 'legato.core' has no attribute {name!r}")
