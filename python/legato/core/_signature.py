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
    parameters.append(
        inspect.Parameter(
            "stream",
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation="Stream | ThreadLocalStream | Device | DeviceType | None",
        )
    )
    return inspect.Signature(parameters, return_annotation=function.__legato_returns__)
