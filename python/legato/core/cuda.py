"""The CUDA backend."""

from legato import _core


def is_available():
    """Whether the CUDA backend serves a device."""
    return _core.is_available(_core.gpu)
