"""Distinct elements, as the array API standard names them."""

from typing import NamedTuple

from legato._core import array, unique


class UniqueAll(NamedTuple):
    """What `unique_all` gives."""

    values: array
    indices: array
    inverse_indices: array
    counts: array


class UniqueCounts(NamedTuple):
    """What `unique_counts` gives."""

    values: array
    counts: array


class UniqueInverse(NamedTuple):
    """What `unique_inverse` gives."""

    values: array
    inverse_indices: array


def unique_all(x, /):
    """Distinct elements of `x` with first appearances, inverse indices and counts; nan differs from nan.

    Computes `x` at the call, as there is no array whose shape depends on values.
    """
    return UniqueAll(*unique(x, None, True, True, True, equal_nan=False))


def unique_counts(x, /):
    """Distinct elements of `x` and how often each appears; nan differs from nan."""
    return UniqueCounts(*unique(x, None, return_counts=True, equal_nan=False))


def unique_inverse(x, /):
    """Distinct elements of `x`, and for each element of `x` the index of its equal."""
    return UniqueInverse(*unique(x, None, return_inverse=True, equal_nan=False))


def unique_values(x, /):
    """Distinct elements of `x` in rising order; nan differs from nan."""
    return unique(x, None, equal_nan=False)


for _f in (unique_all, unique_counts, unique_inverse, unique_values):
    _f.__module__ = "legato.core"
