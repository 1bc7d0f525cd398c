"""The package: imports, their time, the mlx alias, the command line, the stubs."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import legato as lg

ROOT = Path(__file__).resolve().parents[2]


def run(*args, **kwargs):
    return subprocess.run(
        [sys.executable, *args], capture_output=True, text=True, timeout=120, **kwargs
    )


def test_import_is_quick_and_loads_little():
    # Processor time, and the best of several: other work on the machine is not the package's.
    code = (
        "import sys, time; before = set(sys.modules); t = time.process_time(); import legato; "
        "t = time.process_time() - t; import json; "
        "print(json.dumps([t, sorted(set(sys.modules) - before)]))"
    )
    times = []
    for _ in range(10):
        seconds, loaded = json.loads(run("-c", code).stdout)
        times.append(seconds)
        if seconds < 0.040:
            break
    assert min(times) < 0.040, times
    assert not {"numpy", "legato.nn", "legato.optimizers", "inspect", "pathlib"} & set(loaded)


def test_submodules_load_when_used():
    done = run(
        "-c",
        "import legato as lg; lg.nn.Linear; lg.optimizers.SGD; lg.utils.tree_flatten; print(dir(lg)[:1])",
    )
    assert done.returncode == 0, done.stderr
    done = run("-c", "import legato; legato.nothing")
    assert "no attribute 'nothing'" in done.stderr


def test_programs_for_mlx_run(tmp_path):
    script = tmp_path / "program.py"
    script.write_text(
        "import sys\nimport mlx.core as mx\nimport mlx.nn as nn\nfrom mlx.utils import tree_flatten\n"
        "import mlx.optimizers as optim\nimport legato.core\n"
        "assert mx is legato.core\nassert __name__ == '__main__'\n"
        "print(mx.array([1, 2]) + 1, sys.argv[1:])\n"
    )
    done = run("-m", "legato.mlx", str(script), "a", "-b")
    assert done.stdout == "array([2, 3], dtype=int32) ['a', '-b']\n", done.stderr
    script.write_text("import mlx.nonsense\n")
    assert "Legato has no legato.nonsense" in run("-m", "legato.mlx", str(script)).stderr
    assert run("-m", "legato.mlx", str(tmp_path / "absent.py")).returncode == 2
    assert run("-m", "legato.mlx").returncode == 2


def test_info():
    done = run("-m", "legato", "info")
    assert done.returncode == 0, done.stderr
    assert "Device(cpu, 0)" in done.stdout
    assert "Device(gpu, 0)" in done.stdout or "no GPU: " in done.stdout  # and why there is none


def with_device(value, *args):
    return run(*args, env={**os.environ, "LEGATO_DEVICE": value})


def settled_by(value):
    code = (
        "import legato as lg; from legato import _core; "
        "print(lg.default_device(), _core._why_default_device())"
    )
    return with_device(value, "-c", code)


def test_the_environment_chooses_the_default_device():
    assert settled_by("cpu").stdout == "Device(cpu, 0) LEGATO_DEVICE=cpu says so\n"
    assert "must be cpu, gpu or gpu:1 (a number), found 'cuda'" in settled_by("cuda").stderr
    if lg.is_available(lg.gpu):
        assert settled_by("gpu").stdout.startswith("Device(gpu, 0)")
        assert settled_by("").stdout.startswith("Device(gpu, 0)")
    else:
        assert "LEGATO_DEVICE=gpu asks for a device that is not here. " in settled_by("gpu").stderr
        assert settled_by("").stdout.startswith("Device(cpu, 0) there is no GPU for Legato: ")
        done = with_device("gpu", "-m", "legato", "info")
        assert "no default device: LEGATO_DEVICE" in done.stdout


def test_the_default_device_holds_in_all_threads_and_import_settles_nothing():
    code = (
        "import threading, legato as lg, legato.nn as nn\n"
        "lg.set_default_device(lg.cpu)\n"
        "work = lambda: print(lg.default_device(), (lg.zeros(2) + 1).tolist())\n"
        "t = threading.Thread(target=work); t.start(); t.join()\n"
    )
    assert with_device("nothing", "-c", code).stdout == "Device(cpu, 0) [1.0, 1.0]\n"


def test_stubs_are_up_to_date():
    done = run(str(ROOT / "tools" / "stubs.py"), "--check")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed")
def test_stubs_pass_mypy():
    done = run(
        "-m",
        "mypy",
        "--no-incremental",
        str(ROOT / "python" / "legato" / "core" / "__init__.pyi"),
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout
