"""docs/differences.md says the truth: its tables are programs and what they give."""

import builtins
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

import legato.core as mx
import legato.nn as nn
import legato.optimizers as optim

PAGE = Path(__file__).resolve().parents[2] / "docs" / "differences.md"
ROWS = re.findall(r"^\| `(.*?)` \| (`.*?`|\w+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
NAMES = {"mx": mx, "nn": nn, "np": np, "optim": optim, "pickle": pickle}


def test_the_tables_are_found():
    assert len(ROWS) > 40
    assert len(ROWS) == PAGE.read_text(encoding="utf-8").count("\n| `")


@pytest.mark.parametrize(("program", "expected"), ROWS)
def test_row(program, expected):
    def run():
        result = eval(program, dict(NAMES))
        if isinstance(result, mx.array):
            mx.eval(result)
        return result

    if expected.startswith("`"):
        assert repr(run()) == expected.strip("`")
    else:
        with pytest.raises(getattr(builtins, expected)):
            run()
