"""The harness measures in turns, judges bars as stated, and says what is missing."""

import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import frameworks
import harness
from harness import OURS, Bar, Effort, Measured, Row, at_most


@pytest.fixture(autouse=True)
def numpy_for_all(monkeypatch):
    """Contenders are plain callables here: no framework is imported."""
    monkeypatch.setattr(harness, "framework", lambda name: frameworks.framework("numpy"))


EFFORT = Effort(rounds=5, seconds_a_sample=1e-4, pause=0)


def sleeping(seconds):
    return lambda f: lambda: time.sleep(seconds)


def medians(**seconds):
    return {name: Measured(value, value, value) for name, value in seconds.items()}


def judge(ours, bar, **peers):
    row = Row("r", "g", {}, (bar,))
    return harness.judge(row, medians(**{OURS: ours}, **peers))


def test_a_bar_is_a_share_of_the_fastest_peer_that_ran():
    (verdict,) = judge(0.9, at_most(1.0, "numpy", "torch", "jax"), numpy=2.0, torch=1.0)
    assert verdict.held
    assert verdict.ratio == pytest.approx(0.9)
    (verdict,) = judge(1.1, at_most(1.0, "numpy", "torch"), numpy=2.0, torch=1.0)
    assert not verdict.held


def test_a_bar_of_its_own_needs_no_peer():
    (verdict,) = judge(41.0, Bar(40))
    assert not verdict.held
    (verdict,) = judge(40.0, Bar(40))
    assert verdict.held


def test_a_bar_without_any_of_its_peers_is_not_judged():
    assert judge(1.0, at_most(1.0, "torch")) == []


def test_a_slow_contender_loses_and_a_fast_one_holds():
    row = Row("r", "g", {OURS: sleeping(0.004), "torch": sleeping(0.001)}, (at_most(1.0, "torch"),))
    assert harness.measure(row, EFFORT).lost
    row = Row("r", "g", {OURS: sleeping(0.001), "torch": sleeping(0.004)}, (at_most(1.0, "torch"),))
    assert not harness.measure(row, EFFORT).lost


def test_a_missing_feature_is_a_line_and_not_a_crash():
    def without(f):
        return lambda: f.module.no_such_function()

    row = Row("r", "g", {OURS: without, "torch": sleeping(0)}, (Bar(1.0),))
    result = harness.measure(row, EFFORT)
    assert result.ours_missing
    assert not result.lost
    assert "no_such_function" in result.missing[OURS]
    assert "no_such_function" in harness.table([result])


def test_a_row_with_its_own_unit_takes_the_returned_number_and_runs_it_no_more_often():
    calls = []

    def ours(f):
        return lambda: calls.append(1) or 35.0 + len(calls)

    result = harness.measure(
        Row("import", "g", {OURS: ours}, (Bar(40),), unit="ms", repeats=3), EFFORT
    )
    assert len(calls) == 3
    assert result.measured[OURS].median == 37.0
    assert "37 ms" in harness.summary(result)


def test_the_table_marks_what_is_lost():
    result = harness.Result(Row("r", "g", {OURS: sleeping(0)}, (Bar(1.0),)), medians(**{OURS: 2.0}))
    result.verdicts = harness.judge(result.row, result.measured)
    assert "**lost** 2.00" in harness.table([result])


def test_results_are_read_as_they_were_written(tmp_path):
    row = Row("r", "g", {OURS: sleeping(0.001), "torch": sleeping(0.002), "jax": lambda f: f.none})
    row = Row(row.name, row.group, row.contenders, (at_most(1.0, "torch"),), floor=0.0005)
    result = harness.measure(row, EFFORT)
    harness.write_json(tmp_path / "x.json", ["a fact"], [result])
    facts, (again,) = harness.read_json(tmp_path / "x.json")
    assert facts == ["a fact"]
    assert harness.table([again]) == harness.table([result])
    assert again.lost == result.lost


def test_every_row_is_well_formed():
    sys.path.insert(0, str(Path(harness.__file__).parent))
    import run

    rows = run.all_rows([])
    names = [(row.group, row.name) for row in rows]
    assert len(names) == len(set(names))
    for row in rows:
        assert OURS in row.contenders, row.name
        for bar in row.bars:
            assert set(bar.of) <= set(row.contenders) | {"numpy"}, f"{row.name}: {bar}"


def test_the_floor_is_a_column_that_bars_may_name():
    row = Row("r", "g", {OURS: sleeping(0.004)}, (at_most(1.1, "floor"),), floor=0.001)
    result = harness.measure(row, EFFORT)
    assert result.lost
    assert result.verdicts[0].ratio > 3
    assert "| legato | floor |" in harness.table([result])
    assert "1 ms" in harness.summary(result)


def test_a_wrong_result_is_not_timed():
    def check(name, first):
        return f"{first} is not 1" if first != 1 else None

    row = Row("r", "g", {OURS: lambda f: lambda: 2, "torch": lambda f: lambda: 1}, check=check)
    result = harness.measure(row, EFFORT)
    assert result.missing == {OURS: "wrong: 2 is not 1"}
    assert set(result.measured) == {"torch"}


def test_peers_are_built_first_so_that_a_check_can_compare_with_them():
    order = []
    row = Row(
        "r",
        "g",
        {OURS: lambda f: lambda: 1, "torch": lambda f: lambda: 1, "jax": lambda f: lambda: 1},
        check=lambda name, first: order.append(name),
    )
    harness.measure(row, EFFORT)
    assert order == ["torch", "jax", OURS]


def test_the_wait_for_a_device_belongs_to_the_time():
    class Device(frameworks.Framework):
        def wait(self, value=None):
            time.sleep(0.002)
            return value

    device = Device("numpy", None, "")
    row = Row("r", "g", {OURS: lambda f: lambda: None})
    result = harness.measure(row, Effort(3, 1e-6, 0), find=lambda name: device)
    assert result.measured[OURS].median >= 0.002


def test_a_contender_that_takes_too_long_is_measured_once():
    calls = []
    row = Row("r", "g", {OURS: lambda f: lambda: calls.append(time.sleep(0.01))})
    result = harness.measure(row, Effort(5, 1e-4, 0, too_long=0.005))
    assert len(calls) == 2  # the first call, and the one that was timed
    assert result.measured[OURS].low == result.measured[OURS].high >= 0.01


def test_a_bar_may_be_meant_for_another_of_our_contenders():
    bar = Bar(1.0, ("torch",), by="legato.compile")
    row = Row("r", "g", {}, (bar,))
    (verdict,) = harness.judge(row, {**medians(torch=2.0), "legato.compile": Measured(1, 1, 1)})
    assert verdict.held
    assert str(bar) == "legato.compile ≤ 1 x torch"
