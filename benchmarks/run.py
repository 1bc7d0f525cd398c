"""Compares Legato with NumPy, PyTorch, JAX and MLX in the same run, and judges the bars.

Exit status: 0 if every judged bar is held, 1 if one is lost, 2 for wrong options; with --strict also 1 if Legato
lacks something that a row with a bar needs.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
GROUPS = (
    "calls",
    "fused",
    "single",
    "fresh",
    "norms",
    "matmul",
    "conv",
    "training",
    "process",
    "build",
)
ON_REQUEST = ("build",)  # takes minutes


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--list", action="store_true", help="name the rows and their bars, measure nothing"
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="WORD",
        help="only rows whose group or name contains this; may be repeated",
    )
    parser.add_argument(
        "--peers", default="", metavar="A,B", help="only these frameworks beside legato, or none"
    )
    parser.add_argument(
        "--threads", type=int, default=2, help="cores for every framework (default: 2)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a third of the samples: to look, not to report"
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="a bar that cannot be judged for want of Legato is lost",
    )
    parser.add_argument(
        "--write",
        nargs="?",
        const="results",
        default=None,
        metavar="NAME",
        help="write docs/benchmarks/NAME.md (default: results)",
    )
    parser.add_argument(
        "--json", metavar="FILE", help="write medians and spreads there, after each row"
    )
    found = parser.parse_args()
    if found.threads < 1:
        parser.error(f"--threads is {found.threads}; it must be at least 1")
    return found


def limit_threads(count: int) -> None:
    """Every framework sees that many cores: they read the affinity mask, or these variables, when imported."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(count)
    os.environ.setdefault("JAX_PLATFORMS", "cpu")


def all_rows(words: list[str]) -> list:
    rows = []
    for group in GROUPS:
        for row in importlib.import_module(f"rows.{group}").rows():
            text = f"{row.group}: {row.name}"
            asked = [word for word in words if word in text or word == group]
            if asked or (not words and group not in ON_REQUEST):
                rows.append(row)
    return rows


def main() -> int:
    chosen = options()
    limit_threads(chosen.threads)
    sys.path.insert(0, str(HERE))
    import harness
    import machine
    from frameworks import MissingError, framework

    rows = all_rows(chosen.only)
    if not rows:
        print(
            f"bench: no row's name contains {' or '.join(chosen.only)}; --list names them",
            file=sys.stderr,
        )
        return 2
    if chosen.list:
        for row in rows:
            print(
                f"{row.group}: {row.name}   [{', '.join(row.contenders)}]   {'; '.join(map(str, row.bars))}"
            )
        return 0

    only = [name for name in chosen.peers.split(",") if name]
    only = [harness.OURS, *(name for name in only if name != "none")] if only else []
    here = []
    for name in ("legato", "numpy", "torch", "jax", "mlx"):
        if only and name not in only:
            continue
        try:
            here.append(framework(name))
        except MissingError as missing:
            print(f"bench: {missing}")
    facts = machine.description(here)
    print("\n".join(facts), flush=True)

    effort = harness.Effort.quick() if chosen.quick else harness.Effort()
    results = []
    for row in rows:
        results.append(harness.measure(row, effort, only))
        print(harness.summary(results[-1]), flush=True)
        if chosen.json:
            harness.write_json(Path(chosen.json), facts, results)

    lost = [result for result in results if result.lost]
    unmet = [result for result in results if result.ours_missing and result.row.bars]
    judged = sum(len(result.verdicts) for result in results)
    print(
        f"\n{judged} bars judged, {sum(not v.held for r in results for v in r.verdicts)} lost; "
        f"{len(unmet)} rows with a bar lack something in Legato."
    )
    for result in lost:
        print(f"  lost: {result.row.group}: {result.row.name}")
    if chosen.write is not None:
        write_page(chosen.write, facts, harness.table(results), chosen.quick)
    return 1 if lost or (chosen.strict and unmet) else 0


def write_page(name: str, facts: list[str], tables: str, quick: bool) -> None:
    path = HERE.parent / "docs" / "benchmarks" / f"{name}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    how = "Medians with 10-90 % in brackets; ratios are of medians of this run. Written by ./dev bench --write."
    quick_note = " Measured with --quick." if quick else ""
    text = (
        f"# Benchmarks: {name}\n\n"
        + "\n".join(f"- {fact}" for fact in facts)
        + f"\n\n{how}{quick_note}\n\n{tables}"
    )
    path.write_text(text.rstrip() + "\n")
    print(f"wrote {path.relative_to(HERE.parent)}")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("bench: stopped.")
