"""Repeats cells: ./dev python tests/engine softmax --mode vjp --dtype float32 --layout transposed --row 0

What is left out takes all values. Prints each cell with its verdict; the exit status is 1 if one is wrong.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import cells
import devices
import modes

import legato.core as core


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="./dev python tests/engine", description=__doc__.splitlines()[0]
    )
    parser.add_argument("op", nargs="+", help="name of an op, or of a family with all its ops")
    parser.add_argument("--mode", choices=list(modes.MODES), action="append")
    parser.add_argument("--dtype", help="float32, or float32,int8 for two inputs")
    parser.add_argument("--layout")
    parser.add_argument("--row", type=int, help="counted from 0 within the op")
    parser.add_argument("--device", default="cpu", help="cpu or gpu (default: cpu)")
    parser.add_argument("--quiet", action="store_true", help="print wrong cells only")
    options = parser.parse_args()
    cases, _ = cells.by_op()
    families = {p.parent.name: list(cells.by_op([p])[0]) for p in cells.files()}
    names = [
        n for word in options.op for n in ([word] if word in cases else families.get(word, [word]))
    ]
    unknown = [n for n in names if n not in cases]
    if unknown:
        print(f"no case is called {unknown[0]!r}; there are: {', '.join(sorted(cases))}")
        return 2
    if options.device not in devices.names(core):
        print(f"there is no device {options.device!r} here; see python -m legato info")
        return 2
    with devices.on(core, options.device):
        return run(names, cases, options)


def run(names: list[str], cases: dict[str, list[cells.Case]], options: argparse.Namespace) -> int:
    ran = wrong = 0
    for name in names:
        for mode in options.mode or modes.MODES:
            for row, cell in cells.cells(name, cases[name], mode, everything=True):
                if options.dtype not in (None, cell.dtype) or options.layout not in (
                    None,
                    cell.layout,
                ):
                    continue
                if options.row not in (None, cell.row):
                    continue
                ran += 1
                verdict = cells.check(core, row, cell)
                wrong += verdict is not None
                if verdict is not None or not options.quiet:
                    print(
                        f"{cell.op} row {cell.row}, {mode}, {cell.dtype}, {cell.layout}: {verdict or 'right'}",
                        flush=True,
                    )
    print(f"{ran} cells, {wrong} wrong" if ran else "no cell is like that")
    return 1 if wrong or not ran else 0


if __name__ == "__main__":
    sys.exit(main())
