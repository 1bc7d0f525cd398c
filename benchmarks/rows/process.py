"""A fresh process: time to import, memory after it, time to the first training step."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from frameworks import Framework
from harness import OURS, Bar, Row, at_most

IMPORTS = {
    OURS: "legato.core",
    "mlx": "mlx.core",
    "torch": "torch",
    "jax": "jax.numpy",
    "numpy": "numpy",
}
COLD_START = Path(__file__).resolve().parents[1] / "cold_start.py"


def child(*arguments: str) -> float:
    """The number that another interpreter prints last."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        raise RuntimeError(
            done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "the process failed"
        )
    return float(done.stdout.split()[-1])


def import_time(module: str):
    script = (
        f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    )
    return lambda f: lambda: 1e3 * child("-c", script)


def import_memory(module: str):
    script = (
        f"import {module}\n"
        "for line in open('/proc/self/status'):\n"
        "    if line.startswith('VmRSS'): print(int(line.split()[1]) / 1024)\n"
    )
    return lambda f: lambda: child("-c", script)


def cold_start(name: str):
    def make(f: Framework):
        return lambda: child(str(COLD_START), name)

    return make


def rows() -> list[Row]:
    names = IMPORTS.items()
    starts = ("torch", "torch.compile", "jax.jit", "mlx")
    return [
        Row(
            "import",
            "a fresh process",
            {n: import_time(m) for n, m in names},
            (Bar(40),),
            unit="ms",
            repeats=7,
        ),
        Row(
            "memory after import",
            "a fresh process",
            {n: import_memory(m) for n, m in names},
            (Bar(45),),
            unit="MiB",
            repeats=3,
        ),
        Row(
            "from the import to the end of two training steps of an MLP",
            "a fresh process",
            {n: cold_start(n) for n in (OURS, *starts)},
            (at_most(0.5, *starts),),
            unit="s, cold",
            repeats=3,
        ),
    ]
