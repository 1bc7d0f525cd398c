"""The rows of benchmarks/gpu are well formed; the suite runs without a GPU and without peers."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SUITE = ROOT / "benchmarks" / "gpu"
BUILD = Path(os.environ.get("LEGATO_BUILD_DIR", ROOT / "build" / "release"))
EMULATOR = BUILD / "lib" / "libcuda_emulator.so"


class OneOfEach:
    """Ceilings of a card that does everything at one a second."""

    def seconds(self, moved=0, operations=0, dtype="float32"):
        return float(moved + operations)


@pytest.fixture(scope="module")
def suite():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SUITE.parent))
        yield importlib.import_module("gpu.run")


def test_every_row_is_well_formed(suite):
    names = set()
    for group in suite.GROUPS:
        for row in importlib.import_module(f"gpu.groups.{group}").rows(OneOfEach(), True):
            assert (row.group, row.name) not in names
            names.add((row.group, row.name))
            assert "legato" in row.contenders, row.name
            for bar in row.bars:
                known = {*row.contenders, "floor", "torch", "jax.jit"}
                assert {*bar.of, bar.by} <= known, f"{row.name}: {bar}"


def test_every_group_has_a_module_and_every_module_is_a_group(suite):
    modules = {path.stem for path in (SUITE / "groups").glob("*.py")} - {"__init__"}
    assert modules == set(suite.GROUPS)


def run(tmp_path, *options):
    emulated = ("LEGATO_CUDA_DRIVER", "LEGATO_NVRTC", "LEGATO_CUBLASLT")
    env = {
        **os.environ,
        **{name: str(EMULATOR) for name in emulated},
        "LEGATO_CACHE_DIR": str(tmp_path / "programs"),
        "PYTHONPATH": str(BUILD / "python"),
    }
    command = [sys.executable, str(SUITE / "run.py"), *options]
    return subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.skipif(not EMULATOR.exists(), reason="the CUDA backend was not built")
def test_the_suite_runs_on_the_emulated_gpu_and_writes_a_page_and_numbers(tmp_path):
    page, numbers = tmp_path / "page.md", tmp_path / "numbers.json"
    options = ["--small", "--peers", "none", "--only", "chain", "--only", "unified:sum"]
    done = run(tmp_path, *options, "--write", str(page), "--json", str(numbers))
    assert done.returncode in (0, 1), done.stderr
    text = page.read_text()
    assert "| 8 pointwise operations on 10⁸ float32 |" in text
    assert "Tiny sizes (--small)" in text
    rows = json.loads(numbers.read_text())["rows"]
    assert [row["missing"].get("legato") for row in rows] == [None, None]
    done = run(tmp_path, "--read", str(numbers), str(numbers), "--write", str(tmp_path / "both.md"))
    assert done.returncode in (0, 1), done.stderr
    assert (tmp_path / "both.md").read_text().count("| 8 pointwise operations") == 2


def test_an_unknown_group_is_answered_by_a_sentence(tmp_path):
    done = run(tmp_path, "--only", "chains")
    assert done.returncode == 2
    assert "there is no such group" in done.stderr
