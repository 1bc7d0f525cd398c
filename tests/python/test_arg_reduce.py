"""Places of extremes in arrays that are long enough to be shared out to threads."""

import numpy as np
import pytest

import legato.core as mx

SIZES = [65_536, 65_537, 100_000, 1_000_003]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "int64", "complex64"])
def test_the_first_of_equal_extremes_is_found(size, dtype):
    rng = np.random.default_rng(0)
    a = rng.integers(-5, 6, size).astype(dtype)
    assert mx.argmax(mx.array(a)).item() == np.argmax(a)
    assert mx.argmin(mx.array(a)).item() == np.argmin(a)


@pytest.mark.parametrize("place", [0, 16_383, 16_384, 70_000, 99_999])
def test_an_extreme_is_found_wherever_it_lies(place):
    a = np.zeros(100_000, np.float32)
    a[place] = 1
    assert mx.argmax(mx.array(a)).item() == place
    assert mx.argmin(mx.array(-a)).item() == place


def test_the_first_nan_wins():
    a = np.arange(100_000, dtype=np.float32)
    a[[40_000, 90_000]] = np.nan
    assert mx.argmax(mx.array(a)).item() == mx.argmin(mx.array(a)).item() == 40_000
