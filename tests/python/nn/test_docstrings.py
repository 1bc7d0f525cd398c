"""The examples in the docstrings of nn run and print what they say."""

import doctest
import importlib

import pytest

MODULES = [
    "init",
    "losses",
    "utils",
    *(
        f"layers.{name}"
        for name in (
            "activations",
            "base",
            "containers",
            "convolution",
            "convolution_transpose",
            "embedding",
            "linear",
            "normalization",
            "pooling",
            "positional_encoding",
            "transformer",
            "upsample",
        )
    ),
]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    found = doctest.testmod(importlib.import_module(f"legato.nn.{name}"))
    assert found.attempted > 0
    assert found.failed == 0
