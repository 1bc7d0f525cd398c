"""How arrays are printed."""

from legato import _core


class PrintOptions:
    """Options of printing.

    precision: digits behind the point; -1 prints six significant digits.
    """

    __slots__ = ("precision",)

    def __init__(self, precision=-1):
        self.precision = precision

    def __repr__(self):
        return f"PrintOptions(precision={self.precision})"


def get_printoptions():
    """The options in force."""
    return PrintOptions(_core._get_print_precision())


def set_printoptions(precision=-1):
    """Sets the digits behind the point; -1 prints six significant digits."""
    _core._set_print_precision(precision)


class _PrintOptionsContext:
    def __init__(self, precision):
        self._precision = precision

    def __enter__(self):
        self._previous = _core._get_print_precision()
        _core._set_print_precision(self._precision)
        return get_printoptions()

    def __exit__(self, *_):
        _core._set_print_precision(self._previous)


def printoptions(precision=-1):
    """A context in which arrays are printed with other options: `with printoptions(precision=3)`."""
    return _PrintOptionsContext(precision)


for _f in (PrintOptions, get_printoptions, set_printoptions, printoptions):
    _f.__module__ = "legato.core"
