#!/usr/bin/env python3
"""Writes python/legato/core/*.pyi, the type stubs of legato.core, from the built module.

    ./dev python tools/stubs.py            # write them
    ./dev python tools/stubs.py --check    # exit 1 and say what differs if they are out of date

The stubs are part of the repository, so that a change of the interface shows in review. Functions
made from records get their parameters and types from the record, others from their text signature.
"""

import argparse
import difflib
import enum
import inspect
import sys
import types
from pathlib import Path

import legato.core
from legato import _core
from legato.core._lazy import MODULES

FOLDER = Path(__file__).resolve().parents[1] / "python" / "legato" / "core"

HEADER = '''"""Type stubs of {name}. Written by tools/stubs.py, do not edit."""

from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from os import PathLike
from typing import Any, BinaryIO, TypeAlias, TypeVar
'''

CORE_HEADER = """
from . import {submodules}

F = TypeVar("F", bound=Callable[..., Any])
scalar: TypeAlias = bool | int | float | complex
ArrayInput: TypeAlias = Any
StreamOrDevice: TypeAlias = Stream | ThreadLocalStream | Device | DeviceType | None
File: TypeAlias = str | PathLike[str] | BinaryIO
"""

SUBMODULE_HEADER = """
from . import Dtype, StreamOrDevice, array, bool_, float32, int32, scalar
"""

# Of functions written by hand: their parameters are read from their signature, their types here.
TYPES = {
    "fun": "Callable[..., Any]",
    "f": "Callable[..., Any]",
    "file": "File",
    "dtype": "Dtype | None",
    "stream": "StreamOrDevice",
    "device": "Device | DeviceType",
    "d": "Device | DeviceType | None",
    "device_type": "DeviceType",
    "s": "Stream | ThreadLocalStream | Device | DeviceType",
    "limit": "int",
    "n": "int",
    "seed": "int",
    "precision": "int",
    "argnums": "int | Sequence[int] | None",
    "argnames": "str | Sequence[str]",
    "shapeless": "bool",
    "primals": "Sequence[array]",
    "cotangents": "Sequence[array]",
    "tangents": "Sequence[array]",
    "metadata": "dict[str, str] | None",
    "format": "str | None",
    "return_metadata": "bool",
    "copy": "bool | None",
    "from_": "array | Dtype",
    "to": "Dtype",
    "kind": "Dtype | str | tuple[Dtype | str, ...]",
    "arg1": "Dtype | DtypeCategory",
    "arg2": "Dtype | DtypeCategory",
    "arr": "array",
    "on": "bool",
    "operands": "ArrayInput",
    "areas": "str",
    "subscripts": "str",
    "name": "str",
    "input_names": "Sequence[str]",
    "output_names": "Sequence[str]",
    "source": "str",
    "header": "str",
    "ensure_row_contiguous": "bool",
    "shared_memory": "int",
    "atomic_outputs": "bool",
    "compiled_source": "bytes",
    "output_shapes": "Sequence[Sequence[int]]",
    "output_dtypes": "Sequence[Dtype]",
    "scalars": "Sequence[bool | int | float]",
    "grid": "tuple[int, int, int]",
    "threadgroup": "tuple[int, int, int]",
    "init_value": "float | None",
    "dependencies": "array | Sequence[array]",
    "arrays": "dict[str, array]",
}
RETURNS = {
    "array.tolist": "Any",
    "array.item": "Any",
    "asarray": "array",
    "can_cast": "bool",
    "checkpoint": "Callable[..., Any]",
    "compile": "Callable[..., Any]",
    "cuda_kernel": "Callable[..., list[array]]",
    "metal_kernel": "Callable[..., list[array]]",
    "precompiled_cuda_kernel": "list[array]",
    "default_device": "Device",
    "default_stream": "Stream",
    "depends": "Any",
    "device_count": "int",
    "einsum_path": "tuple[list[tuple[int, ...]], str]",
    "device_info": "dict[str, str | int]",
    "from_dlpack": "array",
    "get_active_memory": "int",
    "get_cache_memory": "int",
    "get_memory_limit": "int",
    "get_peak_memory": "int",
    "get_printoptions": "PrintOptions",
    "grad": "Callable[..., Any]",
    "is_available": "bool",
    "isdtype": "bool",
    "issubdtype": "bool",
    "jvp": "tuple[list[array], list[array]]",
    "load": "Any",
    "memory_summary": "str",
    "new_stream": "Stream",
    "new_thread_local_stream": "ThreadLocalStream",
    "new_thread_unsafe_stream": "Stream",
    "num_threads": "int",
    "tf32_allowed": "bool",
    "result_type": "Dtype",
    "set_cache_limit": "int",
    "set_memory_limit": "int",
    "set_spill_limit": "int",
    "set_wired_limit": "int",
    "stream": "StreamContext",
    "explain": "Callable[..., Any]",
    "graph": "str",
    "export_to_dot": "None",
    "unique_all": "tuple[array, array, array, array]",
    "unique_counts": "tuple[array, array]",
    "unique_inverse": "tuple[array, array]",
    "unique_values": "array",
    "value_and_grad": "Callable[..., tuple[Any, Any]]",
    "vjp": "tuple[list[array], list[array]]",
    "vmap": "Callable[..., Any]",
    "printoptions": "Any",
    "__array_namespace_info__": "Any",
}
OPERATORS = (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "lshift", "rshift", "and",
    "or", "xor",
)  # fmt: skip
PROPERTIES = {
    "T": "array", "at": "ArrayAt", "dtype": "Dtype", "imag": "array", "itemsize": "int",
    "mT": "array", "nbytes": "int", "ndim": "int", "real": "array", "shape": "tuple[int, ...]",
    "size": "int", "device": "Device", "type": "DeviceType", "index": "int", "name": "str",
}  # fmt: skip


def default_text(value):
    if isinstance(value, _core.Dtype):
        return "bool_" if value.name == "bool" else value.name
    return repr(value)


def record_parameters(function):
    """Parameters of a function made from a record, as a list of texts."""
    out, star, slash = [], False, False
    parameters = function.__legato_parameters__
    for i, (name, kind, type_, default) in enumerate(parameters):
        if kind == "var":
            star = True
            out.append(f"*{name}: {type_}")
            continue
        if kind == "kw" and not star:
            star = True
            out.append("*")
        text = f"{name}: {type_}"
        if default is not None:
            text += f" = {'bool_' if default == 'bool' else default}"
        out.append(text)
        slash = kind == "pos"
        if slash and (i + 1 == len(parameters) or parameters[i + 1][1] != "pos"):
            out.append("/")
    if not star:
        out.append("*")
    return [*out, "stream: StreamOrDevice = None"]


def parameters_of(function):
    """Parameters of a function written by hand."""
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):
        return None
    out, star = [], False
    parameters = list(signature.parameters.values())
    for i, p in enumerate(parameters):
        if p.kind is p.VAR_KEYWORD:
            out.append(f"**{p.name}: Any")
            continue
        if p.kind is p.VAR_POSITIONAL:
            star = True
            out.append(f"*{p.name}: Any")
            continue
        if p.kind is p.KEYWORD_ONLY and not star:
            star = True
            out.append("*")
        text = p.name
        if p.name not in ("self", "$self"):
            text += f": {TYPES.get(p.name, 'Any')}"
        if p.default is not p.empty:
            text += f" = {default_text(p.default)}"
        out.append(text)
        if p.kind is p.POSITIONAL_ONLY and (
            i + 1 == len(parameters) or parameters[i + 1].kind is not p.POSITIONAL_ONLY
        ):
            out.append("/")
    return out


def summary(obj):
    """The first paragraph of the documentation behind the signature."""
    doc = inspect.getdoc(obj) or ""
    paragraphs = doc.split("\n\n")
    if hasattr(obj, "__legato_parameters__"):
        paragraphs = paragraphs[1:]
    return " ".join(paragraphs[0].split()) if paragraphs else ""


def define(name, parameters, returns, doc, indent=""):
    head = f"{indent}def {name}({', '.join(parameters)}) -> {returns}:"
    if len(head) > 100:
        inner = f",\n{indent}    ".join(parameters)
        head = f"{indent}def {name}(\n{indent}    {inner},\n{indent}) -> {returns}:"
    if not doc:
        return f"{head} ..."
    doc = doc.replace("\\", "\\\\").replace('"""', "'''")
    return f'{head}\n{indent}    """{doc}"""'


def function_stub(name, function, indent="", owner=""):
    key = f"{owner}.{name}" if owner else name
    if hasattr(function, "__legato_parameters__"):
        parameters = record_parameters(function)
        if owner:
            parameters = ["self", *parameters[1:]]
            if parameters[1:2] == ["/"]:
                del parameters[1]
            if name in ("reshape", "transpose"):
                parameters = ["self", "*shape: Any" if name == "reshape" else "*axes: Any",
                              "stream: StreamOrDevice = None"]  # fmt: skip
        return define(name, parameters, function.__legato_returns__, summary(function), indent)
    parameters = parameters_of(function)
    if parameters is None:
        parameters = (
            ["self", "*args: Any", "**kwargs: Any"] if owner else ["*args: Any", "**kwargs: Any"]
        )
    if owner:
        parameters = ["self", *[p for p in parameters if p not in ("self", "$self", "/")]]
    returns = RETURNS.get(key, "array" if owner == "ArrayAt" else "None" if owner == "" else "Any")
    return define(name, parameters, returns, summary(function), indent)


def class_stub(name, cls):
    if issubclass(cls, enum.Enum):
        lines = [f"class {name}(Enum):"]
        return "\n".join(lines + [f"    {m} = {v.value!r}" for m, v in cls.__members__.items()])
    bases = [b.__name__ for b in cls.__bases__ if b is not object]
    lines = [f"class {name}({', '.join(bases)}):" if bases else f"class {name}:"]
    if issubclass(cls, BaseException):
        return f"{lines[0]} ..."
    body = []
    if name == "array":
        body.append(
            "    def __init__(self, val: ArrayInput, dtype: Dtype | None = None) -> None: ..."
        )
        for op in OPERATORS:
            body.append(f"    def __{op}__(self, other: ArrayInput, /) -> array: ...")
            body.append(f"    def __r{op}__(self, other: ArrayInput, /) -> array: ...")
            body.append(f"    def __i{op}__(self, other: ArrayInput, /) -> array: ...")
        for op in ("lt", "le", "gt", "ge"):
            body.append(f"    def __{op}__(self, other: ArrayInput, /) -> array: ...")
        for op in ("eq", "ne"):
            body.append(
                f"    def __{op}__(self, other: object, /) -> array: ...  # type: ignore[override]"
            )
        for op in ("neg", "pos", "abs", "invert"):
            body.append(f"    def __{op}__(self) -> array: ...")
        for op, t in (("bool", "bool"), ("int", "int"), ("float", "float"), ("complex", "complex"),
                      ("index", "int"), ("len", "int"), ("hash", "int"), ("bytes", "bytes"),
                      ("iter", "Iterator[array]")):  # fmt: skip
            body.append(f"    def __{op}__(self) -> {t}: ...")
        body.append("    def __divmod__(self, other: ArrayInput, /) -> tuple[array, array]: ...")
        body.append("    def __rdivmod__(self, other: ArrayInput, /) -> tuple[array, array]: ...")
        body.append("    def __getitem__(self, index: Any, /) -> array: ...")
        body.append("    def __setitem__(self, index: Any, value: ArrayInput, /) -> None: ...")
    elif name == "ArrayAt":
        body.append("    def __getitem__(self, index: Any, /) -> ArrayAt: ...")
    elif name == "ArrayIterator":
        body.append("    def __iter__(self) -> ArrayIterator: ...")
        body.append("    def __next__(self) -> array: ...")
    elif name == "custom_function":
        body.append("    def __init__(self, f: Callable[..., Any]) -> None: ...")
        body.append("    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...")
    elif name == "StreamContext":
        body.append("    def __enter__(self) -> None: ...")
        body.append("    def __exit__(self, *args: Any) -> None: ...")
    elif name == "Device":
        body.append("    def __init__(self, type: DeviceType, index: int = 0) -> None: ...")
    elif "__init__" in vars(cls) and inspect.isfunction(vars(cls)["__init__"]):
        parameters = parameters_of(vars(cls)["__init__"])
        body.append(define("__init__", parameters, "None", "", "    "))
        if "__enter__" in vars(cls):
            body.append(f"    def __enter__(self) -> {name}: ...")
            body.append("    def __exit__(self, *args: Any) -> None: ...")
    for member, value in sorted(vars(cls).items()):
        if member.startswith("_"):
            continue
        if isinstance(value, (types.GetSetDescriptorType, types.MemberDescriptorType, property)):
            known = {**PROPERTIES, "precision": "int", "bits": "int"}
            body.append(f"    @property\n    def {member}(self) -> {known.get(member, 'Any')}: ...")
        elif callable(value):
            body.append(function_stub(member, value, "    ", name))
    return "\n".join(lines + body) if body else f"{lines[0]} ..."


def module_stub(module, names, header):
    classes, functions, values = [], [], []
    defined = {}
    for name in sorted(names, key=lambda n: (n.lower(), n)):
        obj = getattr(module, name)
        if isinstance(obj, types.ModuleType):
            continue
        if isinstance(obj, type):
            classes.append(class_stub(name, obj))
        elif callable(obj) and not isinstance(obj, enum.Enum):
            functions.append(function_stub(name, obj))
        else:
            kind = type(obj).__name__ if obj is not None else "None"
            kind = {"NoneType": "None"}.get(kind, kind)
            values.append(f"{name}: {kind if kind != 'RandomState' else 'Any'}")
        defined[name] = obj
    return "\n".join(
        [header, "\n".join(values), "", "\n\n".join(classes), "", "\n\n".join(functions), ""]
    )


def stubs():
    """{file name: text}."""
    core = legato.core
    names = [n for n in vars(core) if not n.startswith("_") or n == "__array_namespace_info__"]
    names += [n for n in MODULES if n not in names]
    submodules = sorted(n for n in names if isinstance(getattr(core, n), types.ModuleType))
    header = HEADER.format(name="legato.core")
    imports = ", ".join(f"{m} as {m}" for m in submodules)
    out = {
        "__init__.pyi": module_stub(
            core,
            names,
            header
            + (
                CORE_HEADER.format(submodules=imports)
                if submodules
                else CORE_HEADER.split("\n", 2)[2]
            ),
        )
    }
    for m in submodules:
        module = getattr(core, m)
        names = [n for n in vars(module) if not n.startswith("_")]
        out[f"{m}.pyi"] = module_stub(
            module, names, HEADER.format(name=f"legato.core.{m}") + SUBMODULE_HEADER
        )
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args().check
    wrong = False
    for name, text in stubs().items():
        path = FOLDER / name
        old = path.read_text() if path.exists() else ""
        if old == text:
            continue
        wrong = True
        if check:
            sys.stdout.writelines(
                difflib.unified_diff(
                    old.splitlines(True),
                    text.splitlines(True),
                    f"{name} in the repository",
                    f"{name} as built",
                )
            )
        else:
            path.write_text(text)
            print(f"wrote {path}")
    if check and wrong:
        print(
            "The stubs are out of date: run ./dev python tools/stubs.py and look at the difference."
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
