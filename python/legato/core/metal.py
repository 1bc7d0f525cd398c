"""Metal, which this build does not have: what programs for MLX ask of it.

The functions on memory are those of `legato.core`, where they moved to.
"""

from legato._core import (  # noqa: F401
    clear_cache,
    get_active_memory,
    get_cache_memory,
    get_peak_memory,
    reset_peak_memory,
    set_cache_limit,
    set_memory_limit,
    set_wired_limit,
)


def is_available():
    """Whether there is a Metal backend: False."""
    return False


def device_info():
    """Facts about the Metal device: none."""
    return {}


def start_capture(path):
    """Accepted for compatibility: without Metal there is nothing to capture."""


def stop_capture():
    """Accepted for compatibility: without Metal there is nothing to capture."""
