"""Rows, contenders, bars; measuring and judging them.

A row says what is measured: one callable for Legato and one for each peer, each built by a factory that gets the
framework. All contenders of a row are timed in turns in the same run, so that a busy neighbour slows them alike, and a
bar is a ratio of medians of that run.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import math
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from frameworks import Framework, MissingError, framework

OURS = "legato"
FLOOR = "floor"
Factory = Callable[[Framework], Callable[[], object]]


@dataclass(frozen=True)
class Bar:
    """What Legato has to reach: a share of a contender's time, or a number of its own.

    of: contenders; the fastest of those that ran counts. Empty: `at_most` is in the row's unit.
    at_most: of that time.
    by: the contender that has to reach it, where Legato has several.
    """

    at_most: float
    of: tuple[str, ...] = ()
    by: str = OURS

    def __str__(self) -> str:
        who = "" if self.by == OURS else f"{self.by} "
        if not self.of:
            return f"{who}≤ {self.at_most:g}"
        peers = self.of[0] if len(self.of) == 1 else "best of " + ", ".join(self.of)
        return f"{who}≤ {self.at_most:.3g} x {peers}"


def at_most(share: float, *of: str) -> Bar:
    return Bar(share, of)


@dataclass(frozen=True)
class Row:
    """One line of the table.

    contenders: name -> factory. The name's first word, up to a dot, is the framework ("jax.jit" is JAX).
    unit: "s" is timed here. Any other unit is measured by the callable itself, which returns a number (less is better).
    work: bytes moved or operations done by a call, with its unit, for a rate in the table.
    floor: what the machine needs at the rates that were measured in this run, in the row's unit; a column of the table
        that bars may name.
    check: gets each contender's name and its first result; answers with a sentence if that result is wrong. A
        contender with a wrong result is not timed.
    """

    name: str
    group: str
    contenders: dict[str, Factory]
    bars: tuple[Bar, ...] = ()
    unit: str = "s"
    work: tuple[float, str] | None = None
    repeats: int | None = None
    floor: float | None = None
    check: Callable[[str, Any], str | None] | None = None


@dataclass
class Measured:
    median: float
    low: float  # 10 %
    high: float  # 90 %


@dataclass
class Verdict:
    bar: Bar
    ratio: float  # what was reached, in the terms of the bar
    held: bool


@dataclass
class Result:
    row: Row
    measured: dict[str, Measured] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)  # contender -> why it did not run
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def lost(self) -> bool:
        return any(not verdict.held for verdict in self.verdicts)

    @property
    def ours_missing(self) -> bool:
        return OURS not in self.measured


@dataclass(frozen=True)
class Effort:
    """How long a row is measured."""

    rounds: int = 15
    seconds_a_sample: float = 0.01
    # Lets the other frameworks' threads stop spinning, which takes a core from the next one.
    pause: float = 0.03
    # OpenBLAS's do so for 2^26 cycles of a clock that may be slow: 30 ms after one of its products
    # ours of 512 took 2.1 ms, 120 ms after it 1.33.
    pause_after_numpy: float = 0.12
    too_long: float = (
        math.inf
    )  # seconds of a call after which a contender is measured once, and no more

    @staticmethod
    def quick() -> Effort:
        return Effort(rounds=5, seconds_a_sample=0.003)


@dataclass
class Ready:
    """A contender that was built and called once."""

    run: Callable[[], Any]
    first: Any
    wait: Callable[[Any], object]  # returns when a result is there

    def seconds(self, calls: int) -> float:
        """All of them; a device may still work on one when the next is given to it."""
        start = time.perf_counter()
        for _ in range(calls):
            result = self.run()
        self.wait(result)
        return time.perf_counter() - start

    def sample(self, calls: int) -> float:
        """Seconds a call."""
        self.wait(self.run())
        return self.seconds(calls) / calls

    def calls_for(self, seconds: float) -> int:
        """How many calls make a sample that long; a power of two."""
        calls = 1
        while calls < 1 << 20 and self.seconds(calls) < seconds * 0.7:
            calls *= 2
        return calls


def spread(samples: list[float]) -> Measured:
    if len(samples) == 1:
        return Measured(samples[0], samples[0], samples[0])
    tenths = statistics.quantiles(samples, n=10, method="inclusive")
    return Measured(statistics.median(samples), tenths[0], tenths[-1])


def reason(error: BaseException) -> str:
    """An error in one line of a table."""
    text = f"{type(error).__name__}: {error}" if not isinstance(error, MissingError) else str(error)
    text = " ".join(text.split()).replace("|", "/")
    return text if len(text) <= 140 else text[:139] + "…"


def prepare(
    row: Row, only: Iterable[str], result: Result, find: Callable[[str], Framework]
) -> dict[str, Ready]:
    """The contenders that could be built and called once; the others go into result.missing. Peers come first, so that
    a check may compare ours with theirs."""
    wanted = set(only)
    ready = {}
    for name, factory in sorted(row.contenders.items(), key=lambda item: item[0] == OURS):
        if wanted and name.split(".")[0] not in wanted:
            continue
        try:
            used = find(name.split(".")[0])
            run = factory(used)
            first = run()
            if row.unit == "s":
                used.wait(first)
            wrong = row.check(name, first) if row.check else None
            if wrong:
                result.missing[name] = f"wrong: {wrong}"
                continue
            ready[name] = Ready(run, first, used.wait)
        except Exception as error:  # a missing feature is a line in the table, whatever it raises
            result.missing[name] = reason(error)
    return ready


def measure(
    row: Row,
    effort: Effort,
    only: Iterable[str] = (),
    find: Callable[[str], Framework] | None = None,
) -> Result:
    """Times all contenders of a row in turns and judges its bars. `find` gives the framework of a name."""
    result = Result(row)
    ready = prepare(row, only, result, find or framework)
    rounds = row.repeats or effort.rounds
    timed = row.unit == "s"
    samples: dict[str, list[float]] = {name: [] for name in ready}
    collecting = gc.isenabled()
    gc.disable()
    try:
        calls: dict[str, int] = {}
        for name, one in ready.items():
            if not timed:  # the first call is as good as the others, and may have taken minutes
                samples[name].append(number(one.first))
            elif (once := one.seconds(1)) > effort.too_long:
                samples[name].append(once)
            else:
                calls[name] = one.calls_for(effort.seconds_a_sample)
            one.first = None  # may be large
        before = ""
        for _ in range(rounds if timed else rounds - 1):
            for name in calls if timed else ready:
                time.sleep(effort.pause_after_numpy if before == "numpy" else effort.pause)
                before = name
                try:
                    one = ready[name]
                    samples[name].append(one.sample(calls[name]) if timed else number(one.run()))
                except Exception as error:
                    result.missing[name] = reason(error)
            gc.collect()
    finally:
        if collecting:
            gc.enable()
    result.measured = {
        name: spread(values)
        for name, values in samples.items()
        if values and name not in result.missing
    }
    if row.floor is not None:
        result.measured[FLOOR] = Measured(row.floor, row.floor, row.floor)
    result.verdicts = judge(row, result.measured)
    return result


def number(value: object) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"a row with its own unit returns a number, not {type(value).__name__}")
    return float(value)


def judge(row: Row, measured: dict[str, Measured]) -> list[Verdict]:
    """Bars whose contenders ran. A bar whose peers are all missing is not judged."""
    verdicts: list[Verdict] = []
    for bar in row.bars:
        if bar.by not in measured:
            continue
        ours = measured[bar.by].median
        peers = [measured[name].median for name in bar.of if name in measured]
        if bar.of and not peers:
            continue
        ratio = ours / min(peers) if bar.of else ours
        verdicts.append(Verdict(bar, ratio, ratio <= bar.at_most))
    return verdicts


UNITS = ((1e-6, 1e9, "ns"), (1e-3, 1e6, "µs"), (1.0, 1e3, "ms"), (math.inf, 1.0, "s"))


def quantity(value: float, unit: str) -> str:
    if unit != "s":
        return f"{value:.4g} {unit}"
    for below, factor, name in UNITS:
        if value < below:
            return f"{value * factor:.3g} {name}"
    return f"{value:.3g} s"


def with_spread(found: Measured, unit: str) -> str:
    if found.low == found.median == found.high:
        return quantity(found.median, unit)
    return f"{quantity(found.median, unit)} ({quantity(found.low, unit)} - {quantity(found.high, unit)})"


def summary(result: Result) -> str:
    """A result as lines for the terminal."""
    row = result.row
    lines = [f"{row.group}: {row.name}"]
    for name in [*row.contenders, FLOOR]:
        if name in result.measured:
            found = result.measured[name]
            rate = ""
            if row.work and row.unit == "s":
                rate = f"   {row.work[0] / found.median / 1e9:.3g} G{row.work[1]}/s"
            lines.append(f"    {name:<16}{with_spread(found, row.unit)}{rate}")
        elif name in result.missing:
            lines.append(f"    {name:<16}- {result.missing[name]}")
    for verdict in result.verdicts:
        word = "held" if verdict.held else "LOST"
        lines.append(f"    {word}: {verdict.ratio:.3g}, bar {verdict.bar}")
    return "\n".join(lines)


def table(results: list[Result]) -> str:
    """Results as Markdown tables, one a group."""
    lines: list[str] = []
    groups = list(dict.fromkeys(result.row.group for result in results))
    for group in groups:
        of_group = [result for result in results if result.row.group == group]
        names = list(dict.fromkeys(name for result in of_group for name in result.row.contenders))
        names.append(FLOOR)
        names = [
            name
            for name in names
            if any(name in result.measured for result in of_group) or name == OURS
        ]
        lines += [f"## {group}", "", f"| what | {' | '.join(names)} | reached, bar |"]
        lines += ["| --- " * (len(names) + 2) + "|"]
        for result in of_group:
            cells = [
                with_spread(result.measured[name], result.row.unit)
                if name in result.measured
                else ("missing" if name in result.missing else "")
                for name in names
            ]
            bars = "; ".join(
                f"{'' if verdict.held else '**lost** '}{verdict.ratio:.2f}, {verdict.bar}"
                for verdict in result.verdicts
            )
            lines.append(f"| {result.row.name} | {' | '.join(cells)} | {bars} |")
        lines.append("")
        why: dict[str, list[str]] = {}
        for result in of_group:
            for name, text in result.missing.items():
                why.setdefault(f"{name}: {text}", []).append(result.row.name)
        if why:
            lines += ["Missing:", ""]
            lines += [f"- {text} ({', '.join(rows)})" for text, rows in why.items()]
            lines.append("")
    return "\n".join(lines)


def write_json(path: Path, facts: list[str], results: list[Result]) -> None:
    rows = [
        {
            "group": result.row.group,
            "name": result.row.name,
            "unit": result.row.unit,
            "contenders": list(result.row.contenders),
            "measured": {
                name: dataclasses.asdict(found) for name, found in result.measured.items()
            },
            "missing": result.missing,
            "bars": [
                {**dataclasses.asdict(v.bar), "reached": v.ratio, "held": v.held}
                for v in result.verdicts
            ],
        }
        for result in results
    ]
    path.write_text(json.dumps({"facts": facts, "rows": rows}, indent=1) + "\n")


def read_json(path: Path) -> tuple[list[str], list[Result]]:
    """What `write_json` wrote, without the means to measure again."""
    read = json.loads(path.read_text())
    results = []
    for one in read["rows"]:
        contenders: dict[str, Factory] = dict.fromkeys(one["contenders"], _measured_elsewhere)
        result = Result(Row(one["name"], one["group"], contenders, unit=one["unit"]))
        result.measured = {name: Measured(**found) for name, found in one["measured"].items()}
        result.missing = one["missing"]
        result.verdicts = [
            Verdict(Bar(bar["at_most"], tuple(bar["of"]), bar["by"]), bar["reached"], bar["held"])
            for bar in one["bars"]
        ]
        results.append(result)
    return read["facts"], results


def _measured_elsewhere(_: Framework) -> Callable[[], object]:
    raise MissingError("this row was read from a file")


def mlx_like(build: Callable[[Any, Framework], Callable[[], object]]) -> dict[str, Factory]:
    """The same program for Legato and MLX: build(mx, framework) gives the callable."""
    return {OURS: lambda f: build(f.module, f), "mlx": lambda f: build(f.module, f)}
