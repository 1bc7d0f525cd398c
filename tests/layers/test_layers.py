"""Each rule of layers.py holds in the repository."""

from pathlib import Path

import pytest

import layers

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("check", layers.CHECKS, ids=lambda check: check.__name__)
def test_rule_holds(check):
    faults = check(ROOT)
    assert not faults, "\n" + "\n".join(str(fault) for fault in faults)


def test_every_folder_is_a_layer():
    folders = {
        layers.layer_of(path.relative_to(ROOT).as_posix())
        for path in (ROOT / "legato").rglob("*")
        if path.suffix in layers.CPP
    }
    assert folders - {""} <= set(layers.ARROWS), "give the new folder a row in layers.ARROWS"
