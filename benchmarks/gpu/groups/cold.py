"""From the start of a process to its first results, with empty caches: a small operation; a block of a U-Net."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gpu.ceilings import Ceilings
from harness import Bar, Row

CHILD = Path(__file__).resolve().parents[1] / "cold_child.py"
CACHES = (
    "LEGATO_CACHE_DIR",
    "CUDA_CACHE_PATH",
    "TORCHINDUCTOR_CACHE_DIR",
    "TRITON_CACHE_DIR",
    "CUPY_CACHE_DIR",
)


def cold(contender: str, what: str, small: bool):
    def make(f: object):
        def run() -> float:
            with tempfile.TemporaryDirectory() as empty:
                env = {**os.environ, **{name: os.path.join(empty, name) for name in CACHES}}
                start = time.monotonic()
                command = [
                    sys.executable,
                    str(CHILD),
                    contender,
                    what,
                    *(["small"] if small else []),
                ]
                done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
            if done.returncode != 0:
                said = done.stderr.strip().splitlines()
                raise RuntimeError(said[-1] if said else "the process failed")
            return float(done.stdout.split()[-1]) - start

        return run

    return make


def rows(ceilings: Ceilings, small: bool) -> list[Row]:
    return [
        Row(
            name,
            "a fresh process, empty caches",
            {contender: cold(contender, what, small) for contender in contenders},
            (Bar(bar),),
            unit="s, cold",
            repeats=2 if small else 3,
        )
        for name, what, contenders, bar in (
            ("first small operation", "small", ("legato", "torch"), 0.4),
            ("first residual block, 64x64x320", "block", ("legato", "torch"), 1.5),
        )
    ]
