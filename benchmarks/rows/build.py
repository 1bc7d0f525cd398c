"""Building the project itself, with ccache off. Takes minutes, so only on request: --only build."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from harness import OURS, Bar, Row

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "timed"
TOUCHED = ROOT / "legato" / "ops" / "softmax" / "softmax.cpp"


def build() -> float:
    start = time.perf_counter()
    tools = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        ["cmake", "--build", str(FOLDER), "--parallel", "2"],
        check=True,
        capture_output=True,
        env={**os.environ, "PATH": tools, "CCACHE_DISABLE": "1"},
    )
    return time.perf_counter() - start


def clean_build() -> float:
    shutil.rmtree(FOLDER, ignore_errors=True)
    subprocess.run(
        [
            str(ROOT / ".venv" / "bin" / "cmake"),
            "-G",
            "Ninja",
            "-S",
            str(ROOT),
            "-B",
            str(FOLDER),
            f"-DPython_EXECUTABLE={ROOT / '.venv' / 'bin' / 'python'}",
            f"-DCMAKE_MAKE_PROGRAM={ROOT / '.venv' / 'bin' / 'ninja'}",
        ],
        check=True,
        capture_output=True,
    )
    return build()


def touched_build() -> float:
    if not (FOLDER / "build.ninja").exists():
        clean_build()
    TOUCHED.touch()
    return build()


def rows() -> list[Row]:
    return [
        Row(
            "clean build",
            "building",
            {OURS: lambda f: clean_build},
            (Bar(600),),
            unit="s, wall",
            repeats=1,
        ),
        Row(
            "after touching one family",
            "building",
            {OURS: lambda f: touched_build},
            (Bar(30),),
            unit="s, wall",
            repeats=1,
        ),
    ]
