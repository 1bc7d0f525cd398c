"""Each row of each `cases.py`, in each mode, against NumPy in float64.

Data types and layouts loop inside a test; what fails names the cell and the command that repeats it. By
default a covering choice of cells runs, with LEGATO_TEST_FULL=1 all of them.
"""

import cells
import modes
import pytest
from known import KNOWN

import legato.core as core

CASES, ERRORS = cells.by_op()


def _parameters():
    for op, rows in CASES.items():
        for mode in modes.MODES:
            if mode == "exhaustive" and not cells.FULL:
                continue
            if next(cells.cells(op, rows, mode), None) is not None:
                why = KNOWN.get((op, mode))
                marks = [pytest.mark.xfail(reason=why, raises=AssertionError)] if why else []
                yield pytest.param(op, mode, id=f"{op}-{mode}", marks=marks)


@pytest.mark.parametrize(("op", "mode"), list(_parameters()))
def test_agrees_with_numpy(op, mode):
    cells.run(core, op, CASES[op], mode)


@pytest.mark.parametrize("row", ERRORS, ids=[f"{e.op}-{i}" for i, e in enumerate(ERRORS)])
def test_is_refused_with_a_message(row):
    wrong = cells.refused(core, row)
    assert wrong is None, f"{row.op}({row.inputs}, {dict(row.attrs)}): {wrong}"


@pytest.mark.parametrize("path", cells.files(), ids=[p.parent.name for p in cells.files()])
def test_rows_of_one_family_stay_apart_when_compiled_together(path):
    rows = [row for row in cells.load(path) if isinstance(row, cells.Case)]
    for group in cells.together(rows):
        for use in group:
            use.core = core
        modes.together(group)
