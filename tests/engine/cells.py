"""Which cells there are: rows × modes × data types × layouts; running them; naming those that fail."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import modes
import numpy as np
from layouts import LAYOUTS, SHAPES
from numeric import INEXACT, core_dtype, promote
from use import Mismatch, Use, following, pinned

from legato.testing import Case, Error, Spec, flatten, load

ROOT = Path(__file__).resolve().parents[2]
FULL = os.environ.get("LEGATO_TEST_FULL", "") not in ("", "0")
SHOWN = 8  # failing cells of one test that are printed

# Modes that repeat the forward computation another way: what they add does not depend on the data type,
# so that a few types and layouts a row do by default.
REPEATS = {"fused": 6, "unfused": 4, "compiled": 5, "shapeless": 3, "vmap": 5}
SECOND = ("vjp_of_vjp", "jvp_of_vjp", "vmap_of_vjp")


class Cell(NamedTuple):
    op: str
    row: int  # counted within the op
    mode: str
    dtype: str
    layout: str

    def command(self) -> str:
        """Repeats exactly this cell."""
        which = ["--row", str(self.row), "--mode", self.mode, "--dtype", self.dtype]
        return shlex.join(
            ["./dev", "python", "tests/engine", self.op, *which, "--layout", self.layout]
        )


def files() -> list[Path]:
    return sorted((ROOT / "legato" / "ops").glob("*/cases.py"))


def by_op(paths: list[Path] | None = None) -> tuple[dict[str, list[Case]], list[Error]]:
    """The rows of each op, and the error rows, of all families."""
    cases: dict[str, list[Case]] = {}
    errors: list[Error] = []
    for path in files() if paths is None else paths:
        for row in load(path):
            if isinstance(row, Error):
                errors.append(row)
            else:
                cases.setdefault(row.op, []).append(row)
    return cases, errors


# What a row says that it skips takes with it what is made of that.
PARTS = {
    "shapeless": ("compiled",),
    "vjp_of_vjp": ("vjp",),
    "jvp_of_vjp": ("vjp", "jvp"),
    "vmap_of_vjp": ("vjp", "vmap"),
}


def applies(row: Case, mode: str) -> bool:
    """Whether a mode has any meaning for a row."""
    if any(m in row.skip for m in (mode, *PARTS.get(mode, ()))):
        return False
    if not row.specs():
        return mode in ("eager", "compiled")
    if mode == "specials":
        return row.pointwise and row.specials
    if mode == "exhaustive":
        return row.pointwise and row.specials and len(row.specs()) == 1
    if mode == "mixed":
        return row.pointwise and following(row) > 1 and len(row.dtypes) > 1
    if mode in modes.DERIVATIVE:
        if row.reference is None and row.result_shape is not None:
            return False
        return bool(differentiable_dtypes(row, mode))
    return True


def differentiable_dtypes(row: Case, mode: str) -> list[str]:
    kept = []
    for dtype in row.dtypes:
        use = Use(None, row, dtype, "contiguous")
        if use.differentiable() and any(d in INEXACT for d in use.out):
            kept.append(dtype)
    if mode in SECOND and not FULL:
        kept = [d for d in kept if d in ("float32", "complex64")]
    elif not FULL:
        kept = [d for d in kept if d in ("float32", "float64", "complex64")]
    if mode in SECOND:  # compared with differences of the vjp in the widest type of the kind
        kept = [
            d
            for d in kept
            if ("complex128" if d.startswith("complex") else "float64") in row.dtypes
        ]
        kept = [d for d in kept if d not in ("float16", "bfloat16")]
    return kept


def mixed_dtypes(row: Case, everything: bool) -> list[str]:
    """Pairs of the row's data types. uint64 meets signed integers in float32: left out if the row has no floats."""
    floats = any(d in INEXACT for d in row.dtypes)
    found = modes.pairs(row.dtypes, everything)
    return [p for p in found if floats or promote(*p.split(",")) not in INEXACT]


def layouts_of(row: Case, mode: str) -> list[str]:
    """Layouts that change something for some input of the row."""
    ranks = [2 if row.pointwise and s.shape == () else len(s.shape) for s in row.specs()]
    free = any(s.free for s in row.specs())
    names = [
        name
        for name in LAYOUTS
        if name == "contiguous" or (max(ranks, default=0) >= (2 if name == "transposed" else 1))
    ]
    if not free:
        names.remove("broadcast") if "broadcast" in names else None
    if any(s.shape == () for s in row.specs()) and row.pointwise:
        n = len(row.specs())
        wanted = [
            name
            for name, shapes in SHAPES.items()
            if n > 1 or len(shapes) == 1 or name in ("odd rows",)
        ]
        if mode in modes.DERIVATIVE:
            wanted = [name for name in wanted if not name.startswith("odd")]
        names += wanted
    return [name for name in names if name not in row.skip]


def cells(
    op: str, rows: list[Case], mode: str, everything: bool = FULL
) -> Iterator[tuple[Case, Cell]]:
    """The cells of one test. By default each data type and each layout occurs, not every pair of them."""
    for number, row in enumerate(rows):
        if not applies(row, mode):
            continue
        dtypes, layouts = list(row.dtypes), layouts_of(row, mode)
        if mode in ("specials", "exhaustive"):
            layouts = ["contiguous"]
        if mode == "exhaustive":
            dtypes = [d for d in dtypes if d in ("float16", "bfloat16", "int16", "uint16")]
        elif mode == "mixed":
            dtypes, layouts = mixed_dtypes(row, everything), ["contiguous"]
        elif mode in modes.DERIVATIVE:
            dtypes = differentiable_dtypes(row, mode)
        if everything or mode in ("specials", "exhaustive", "mixed"):
            chosen = [(d, layout) for d in dtypes for layout in layouts]
        else:
            chosen = cover(dtypes, layouts, seed=number)
            if mode in REPEATS:
                chosen = spread(chosen, REPEATS[mode], number)
            elif mode in SECOND:
                chosen = spread(chosen, 2, number)
            elif mode in modes.DERIVATIVE:
                chosen = spread(chosen, 4, number)
        for dtype, layout in chosen:
            yield row, Cell(op, number, mode, dtype, layout)


def cover(dtypes: list[str], layouts: list[str], seed: int) -> list[tuple[str, str]]:
    """Pairs in which each data type and each layout occurs; the first is the plainest."""
    n = max(len(dtypes), len(layouts)) if dtypes else 0
    rotated = layouts[1:]
    shift = seed % len(rotated) if rotated else 0
    layouts = [*layouts[:1], *rotated[shift:], *rotated[:shift]]
    return [(dtypes[i % len(dtypes)], layouts[i % len(layouts)]) for i in range(n)]


def spread(items: list[Any], count: int, seed: int) -> list[Any]:
    """The first of `items` and others at equal distances, `count` at most."""
    if len(items) <= count:
        return items
    rest = items[1:]
    step = len(rest) / (count - 1)
    return [items[0], *[rest[int(seed + i * step) % len(rest)] for i in range(count - 1)]]


def available(core: Any, row: Case, cell: Cell) -> bool:
    """Whether the core has the data types of a cell (a build, or a peer it is compared with, may lack some)."""
    try:
        for d in cell.dtype.split(","):
            core_dtype(core, d)
    except AttributeError:
        return False
    return True


def check(core: Any, row: Case, cell: Cell) -> str | None:
    """Runs one cell; what is wrong, or None."""
    try:
        modes.MODES[cell.mode](Use(core, row, cell.dtype, cell.layout))
    except Mismatch as mismatch:
        return str(mismatch)
    except Exception as e:
        return f"{type(e).__name__}: {e}"
    return None


def run(core: Any, op: str, rows: list[Case], mode: str, everything: bool = FULL) -> None:
    """All cells of an op in a mode. Raises Mismatch that names each failing one."""
    failed: list[tuple[Cell, str]] = []
    ran = 0
    for row, cell in cells(op, rows, mode, everything):
        if not available(core, row, cell):
            continue
        ran += 1
        wrong = check(core, row, cell)
        if wrong is not None:
            failed.append((cell, wrong))
    if failed:
        raise Mismatch(report(failed, ran))


def report(failed: list[tuple[Cell, str]], ran: int) -> str:
    lines = [f"{len(failed)} of {ran} cells are wrong:"]
    for cell, wrong in failed[:SHOWN]:
        lines += [
            f"{cell.op}, {cell.mode}, {cell.dtype}, {cell.layout}: {wrong}",
            f"    {cell.command()}",
        ]
    if len(failed) > SHOWN:
        lines.append(
            "and: "
            + "; ".join(f"{c.dtype} {c.layout} row {c.row}" for c, _ in failed[SHOWN : 5 * SHOWN])
        )
    return "\n".join(lines)


def refused(core: Any, row: Error) -> str | None:
    """What is wrong with how an error row is refused, or None."""
    kinds = {spec.kind for spec in flatten(list(row.inputs)) if isinstance(spec, Spec)}
    dtype = "float32" if "float" in kinds or not kinds else "int32" if "int" in kinds else "bool"
    as_case = Case(row.op, row.inputs, row.attrs, dtypes=(dtype,), result_shape=(), call=row.call)
    use = Use(core, as_case, dtype, "contiguous")
    arrays = [use.array(np.asarray(v), d) for v, d in zip(use.draw(), use.dtypes, strict=True)]
    try:
        results = use.op()(*arrays)
        core.eval([y for y in results if isinstance(y, core.array)])
    except row.raises as e:
        if re.search(row.match, str(e)):
            return None
        return f"message {str(e)!r} does not match {row.match!r}"
    except Exception as e:
        return f"raised {type(e).__name__}: {e}, expected {row.raises}"
    return f"was not refused, gave {results}"


def together(rows: list[Case]) -> list[list[Use]]:
    """Rows with inputs of the same shapes and values, in groups: to be compiled in one function."""
    groups: dict[Any, list[Case]] = {}
    for row in rows:
        specs = row.specs()
        if (
            "compiled" in row.skip
            or "float32" not in row.dtypes
            or not specs
            or row.result_shape is not None
        ):
            continue
        key = tuple((s.shape, s.domain, pinned(row, s)) for s in specs)
        if all(s.domain for s in specs):
            groups.setdefault((key, row.pointwise), []).append(row)
    return [
        [Use(None, r, "float32", "contiguous") for r in group]
        for group in groups.values()
        if len(group) > 1
    ]


__all__ = [
    "Cell",
    "Spec",
    "by_op",
    "cells",
    "check",
    "files",
    "refused",
    "report",
    "run",
    "together",
]
