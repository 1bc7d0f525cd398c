"""Measures Legato on a GPU beside PyTorch, JAX and CuPy in the same run, and judges the bars.

Every row says what the card needs at the rates measured in this run (floor). Exit status: 0 if every judged bar is
held, 1 if one is lost, 2 for wrong options.

    python benchmarks/gpu/run.py --only chain --write docs/benchmarks/gpu-chain.md
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
GROUPS = (
    "chain",
    "pointwise",
    "reduce",
    "norms",
    "losses",
    "copies",
    "group_norm",
    "index",
    "random",
    "matmul",
    "conv",
    "conv_gradients",
    "host",
    "fresh_shapes",
    "cold",
    "blocks",
    "block_gradients",
    "demo",
    "unified",
    "spill",
    "streams",
    "unet",
)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="name the groups, measure nothing")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="GROUP",
        help="only this group, or GROUP:WORD, its rows with WORD in their names; may be repeated",
    )
    parser.add_argument(
        "--peers", default="", metavar="A,B", help="only these frameworks beside legato, or none"
    )
    parser.add_argument(
        "--skip",
        action="append",
        default=[],
        metavar="CONTENDER",
        help="leave out this column, such as torch.compile; may be repeated",
    )
    parser.add_argument(
        "--small", action="store_true", help="tiny sizes: to try the suite, not to report"
    )
    parser.add_argument("--rounds", type=int, default=11, help="samples of a row (default: 11)")
    parser.add_argument(
        "--brief", action="store_true", help="a line a row, and no spread: for a log"
    )
    parser.add_argument("--write", metavar="FILE", help="write a page of tables there")
    parser.add_argument(
        "--json", metavar="FILE", help="write medians and spreads there, after each row"
    )
    parser.add_argument(
        "--read",
        nargs="+",
        metavar="FILE",
        help="measure nothing: take what --json wrote in other runs, for --write",
    )
    chosen = parser.parse_args()
    for word in chosen.only:
        if word.partition(":")[0] not in GROUPS:
            parser.error(f"--only {word}: there is no such group; they are {', '.join(GROUPS)}")
    if chosen.rounds < 1:
        parser.error(f"--rounds is {chosen.rounds}; it must be at least 1")
    return chosen


def card() -> str:
    try:
        query = [
            "nvidia-smi",
            "--query-gpu=name,driver_version,memory.total",
            "--format=csv,noheader",
        ]
        return subprocess.run(query, capture_output=True, text=True).stdout.strip().splitlines()[0]
    except (OSError, IndexError):
        return "no GPU"


def chosen_rows(words: list[str], ceilings: object, small: bool) -> list:
    found = []
    for group in GROUPS:
        of_group = [word.partition(":")[2] for word in words if word.partition(":")[0] == group]
        if words and not of_group:
            continue
        module = importlib.import_module(f"gpu.groups.{group}")
        for row in module.rows(ceilings, small):
            if not of_group or any(word in row.name for word in of_group):
                found.append(row)
    return found


def main() -> int:
    chosen = options()
    if chosen.list:
        print("\n".join(GROUPS))
        return 0
    sys.path.insert(0, str(HERE.parent))
    if chosen.read:
        return write_what_was_read(chosen)
    import gpu.ceilings
    import harness
    import machine
    from gpu import devices

    ceilings = gpu.ceilings.Ceilings(chosen.small)
    rows = chosen_rows(chosen.only, ceilings, chosen.small)
    for row in rows:
        for name in chosen.skip:
            row.contenders.pop(name, None)
    only = [name for name in chosen.peers.split(",") if name]
    only = [harness.OURS, *(name for name in only if name != "none")] if only else []
    used = {name.split(".")[0] for row in rows for name in row.contenders}
    here = []
    for name in (harness.OURS, *devices.PEERS):
        if name not in used or (only and name not in only):
            continue
        try:
            here.append(devices.on_gpu(name))
        except devices.MissingError as missing:
            print(f"bench: {missing}")
    facts = [f"GPU: {card()}.", *machine.description(here)]
    print("\n".join(facts), flush=True)

    effort = harness.Effort(rounds=chosen.rounds, pause=0.0, too_long=3.0)
    if chosen.small:
        effort = harness.Effort(rounds=2, seconds_a_sample=1e-3, pause=0.0, too_long=1.0)
    results = []
    for row in rows:
        start = time.perf_counter()
        results.append(harness.measure(row, effort, only, devices.on_gpu))
        took = time.perf_counter() - start
        print(
            brief(harness, results[-1], took) if chosen.brief else harness.summary(results[-1]),
            flush=True,
        )
        devices.release()
        if chosen.json:
            harness.write_json(Path(chosen.json), [*facts, *ceilings.facts()], results)
    facts += ceilings.facts()
    print("\n".join(ceilings.facts()))
    lost = [result for result in results if result.lost]
    judged = sum(len(result.verdicts) for result in results)
    print(f"{judged} bars judged, {sum(not v.held for r in results for v in r.verdicts)} lost.")
    if chosen.write:
        write_page(Path(chosen.write), facts, harness.table(results), chosen.small)
    return 1 if lost else 0


def write_what_was_read(chosen: argparse.Namespace) -> int:
    """One page of several runs, such as one a group."""
    import harness

    facts: dict[str, str] = {}  # by what they begin with: the first run that says it counts
    results = []
    for name in chosen.read:
        said, found = harness.read_json(Path(name))
        results += found
        for fact in said:
            facts.setdefault(fact.partition(":")[0].partition(" at commit")[0], fact)
    for result in results:
        print(brief(harness, result, 0.0))
    if chosen.write:
        write_page(Path(chosen.write), list(facts.values()), harness.table(results), False)
    return 1 if any(result.lost for result in results) else 0


def brief(harness, result, took: float) -> str:
    cells = []
    for name in [*result.row.contenders, harness.FLOOR]:
        if name in result.measured:
            cells.append(
                f"{name} {harness.quantity(result.measured[name].median, result.row.unit)}"
            )
        elif name in result.missing:
            cells.append(f"{name} MISSING({result.missing[name][:90]})")
    bars = " ".join(
        f"{'ok' if v.held else 'LOST'} {v.ratio:.2f} ({v.bar})" for v in result.verdicts
    )
    return f"{result.row.name}: {', '.join(cells)} | {bars} [{took:.1f}s]"


def write_page(path: Path, facts: list[str], tables: str, small: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    how = (
        "Medians with 10-90 % in brackets; ratios are of medians of this run. The floor is what the card needs at the "
        "rates it reached in this run. Written by `benchmarks/gpu/run.py --write`."
    )
    note = " Tiny sizes (--small): nothing here is a result." if small else ""
    lines = "\n".join(f"- {fact}" for fact in facts)
    text = f"# Benchmarks on a GPU: {path.stem}\n\n{lines}\n\n{how}{note}\n\n{tables}"
    path.write_text(text.rstrip() + "\n")
    print(f"wrote {path}")


if __name__ == "__main__":
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("bench: stopped.")
