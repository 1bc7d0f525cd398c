"""The parts of the engine lie beside its tests. Every test runs on every device that the runtime has."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import devices

import legato.core as core

DEVICES = devices.names(core)


def pytest_generate_tests(metafunc):
    if len(DEVICES) > 1:
        metafunc.parametrize("device", DEVICES, indirect=True)


@pytest.fixture(autouse=True)
def device(request):
    with devices.on(core, getattr(request, "param", "cpu")):
        yield
