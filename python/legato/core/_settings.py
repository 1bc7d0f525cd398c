"""Settings that hold until they are set again, or for the length of a `with` block."""

from legato import _core


class fusion:  # noqa: N801
    """Turns fusing of pointwise operations on or off, for all threads.

    With fusing, which is the default, chains of pointwise operations run as one program, and what
    only they see never touches memory. Results are the same to the bit for float32 and wider types;
    a half type is rounded where it is stored. To turn it off is for finding the operation that a
    problem comes from. LEGATO_FUSION=0 in the environment does so from the start.

    >>> fusion(False)          # from here on
    fusion(False)
    >>> fusion(True)
    fusion(True)
    >>> with fusion(False):    # here only
    ...     y = exp(zeros(3)) + 1
    """

    __slots__ = ("_on", "_previous")

    def __init__(self, on=True):
        if not isinstance(on, bool):
            raise TypeError(f"fusion: `on` must be True or False, found {type(on).__name__}")
        self._on = on
        self._previous = _core._set_fusion(on)

    def __enter__(self):
        _core._set_fusion(self._on)
        return self

    def __exit__(self, *_):
        _core._set_fusion(self._previous)  # as it was before this object was made

    def __repr__(self):
        return f"fusion({self._on})"


class allow_tf32:  # noqa: N801
    """Allows matrix products and convolutions of float32 to round their operands to TF32, or not.

    float32 means float32 unless this is on: GPUs multiply several times as fast if operands are
    rounded first to TF32, which has 11 bits of precision instead of 24. CPUs do not.

    The setting belongs to the calls made while it holds, whenever they are evaluated, and to the
    thread that makes them; each thread begins with it off. Derivatives take the setting with which
    `grad` or `vjp` runs. A compiled function is traced once for each setting. `tf32_allowed()`
    tells it.

    >>> with allow_tf32():          # here only
    ...     y = ones((2, 2)) @ ones((2, 2))
    >>> tf32_allowed()
    False
    >>> allow_tf32(True)            # from here on
    allow_tf32(True)
    >>> allow_tf32(False)
    allow_tf32(False)
    """

    __slots__ = ("_on", "_previous")

    def __init__(self, on=True):
        if not isinstance(on, bool):
            raise TypeError(f"allow_tf32: `on` must be True or False, found {type(on).__name__}")
        self._on = on
        self._previous = _core._allow_tf32(on)

    def __enter__(self):
        _core._allow_tf32(self._on)
        return self

    def __exit__(self, *_):
        _core._allow_tf32(self._previous)  # as it was before this object was made

    def __repr__(self):
        return f"allow_tf32({self._on})"


fusion.__module__ = allow_tf32.__module__ = "legato.core"
