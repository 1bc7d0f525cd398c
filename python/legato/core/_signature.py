"""inspect.Signature objects of the functions made from records."""

import ast
import inspect

from legato import _core

_KINDS = {
    "pos": inspect.Parameter.POSITIONAL_ONLY,
    "any": inspect.Parameter.POSITIONAL_OR_KEYWORD,
    "var": inspect.Parameter.VAR_POSITIONAL,
    "kw": inspect.Parameter.KEYWORD_ONLY,
}


def _value(text):
    dtype = (
        getattr(_core, "bool_" if text == "bool" else text, None) if text.isidentifier() else None
    )
    return dtype if isinstance(dtype, _core.Dtype) else ast.literal_eval(text)


def _of_method(name, parameters):
    """The parameters of array.<name>: the array is `self`, shapes may be given as ints."""
    parameters[0] = inspect.Parameter("self", _KINDS["any"])
    parameters[1:] = [
        p.replace(kind=_KINDS["any"]) if p.kind is _KINDS["pos"] else p for p in parameters[1:]
    ]
    if name in ("reshape", "transpose"):
        return [
            parameters[0],
            inspect.Parameter("shape" if name == "reshape" else "axes", _KINDS["var"]),
        ]
    if name in ("std", "var"):
        parameters.append(inspect.Parameter("correction", _KINDS["kw"], default=None))
    return parameters


def signature(function):
    """The signature of a function or method of the core."""
    parameters = [
        inspect.Parameter(
            name,
            _KINDS[kind],
            default=inspect.Parameter.empty if default is None else _value(default),
            annotation=type_,
        )
        for name, kind, type_, default in function.__legato_parameters__
    ]
    if type(function).__name__ == "Method":
        parameters = _of_method(function.__name__, parameters)
    parameters.append(
        inspect.Parameter(
            "stream",
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation="Stream | ThreadLocalStream | Device | DeviceType | None",
        )
    )
    return inspect.Signature(parameters, return_annotation=function.__legato_returns__)
