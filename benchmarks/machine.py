"""What a table of results says about where it was measured."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path

from frameworks import Framework, threads

ROOT = Path(__file__).resolve().parents[1]


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


def cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def description(frameworks: list[Framework]) -> list[str]:
    """Sentences about machine, load and versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[0]
    if load > 0.5:
        print(
            f"bench: the load is {load:.1f}: other programs run here, and what follows is not worth reporting"
        )
    compiler = _output(os.environ.get("CXX", "c++"), "--version").splitlines()[:1]
    return [
        f"Machine: {cpu_name()}, {threads()} threads used of {os.cpu_count()}, {memory:.0f} GiB.",
        f"System: {platform.system()} {platform.release()}, Python {platform.python_version()}, "
        f"{compiler[0] if compiler else 'no compiler'}.",
        f"Load when the run began: {load:.1f}.",
        "Versions: " + ", ".join(f"{one.name} {one.version}" for one in frameworks) + ".",
        f"Legato at commit {_output('git', 'describe', '--always', '--dirty') or 'unknown'}, "
        f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC.",
    ]
