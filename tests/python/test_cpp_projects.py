"""C++ projects outside the repository: Legato installed into a folder, found by find_package."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("LEGATO_BUILD_DIR", ROOT / "build" / "release"))
CMAKE, NINJA = shutil.which("cmake"), shutil.which("ninja")


def run(*command, **kwargs):
    done = subprocess.run(
        [str(c) for c in command], capture_output=True, text=True, timeout=600, **kwargs
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(source: Path, folder: Path, prefix: Path) -> None:
    generator = ["-G", "Ninja"] if NINJA else []
    run(CMAKE, "-S", source, "-B", folder, *generator, f"-DCMAKE_PREFIX_PATH={prefix}")
    run(CMAKE, "--build", folder)


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """Where Legato is installed."""
    cache = BUILD / "CMakeCache.txt"
    if CMAKE is None or not cache.exists():
        pytest.skip("there is no CMake build to install")
    if re.search(r"^LEGATO_SANITIZE:STRING=.", cache.read_text(), re.MULTILINE):
        pytest.skip("programs of users are not linked with sanitizers")
    folder = tmp_path_factory.mktemp("prefix")
    run(CMAKE, "--install", BUILD, "--prefix", folder)
    return folder


def test_what_installed_headers_include_is_installed(prefix):
    include = prefix / "include"
    assert '"legato/nn/nn.h"' in (include / "legato" / "legato.h").read_text()
    seen, waiting = set(), ["legato/legato.h"]
    while waiting:
        header = waiting.pop()
        if header not in seen:
            seen.add(header)
            assert (include / header).is_file(), header
            waiting += re.findall(r'^#include "(.*)"', (include / header).read_text(), re.M)
    assert len(seen) > 40
    assert not [header for header in seen if "/backends/" in header]  # no kernel's own business


def test_the_example_trains_on_an_installed_legato(prefix, tmp_path):
    build(ROOT / "examples" / "cpp" / "digits", tmp_path / "build", prefix)
    program = tmp_path / "build" / "digits"
    said = run(program, "--epochs", "4", cwd=tmp_path)
    accuracies = [float(x) for x in re.findall(r"accuracy .* ([\d.]+) %", said)]
    assert len(accuracies) == 2, said
    assert accuracies[0] == accuracies[1] > 90, said
    wrong = subprocess.run(
        [str(program), "--data", "nothing.npz"], capture_output=True, text=True, timeout=60
    )
    assert wrong.returncode == 1
    assert "nothing.npz" in wrong.stderr


def test_the_program_of_the_readme_runs(prefix, tmp_path):
    blocks = dict(
        re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    )
    (tmp_path / "program.cpp").write_text(blocks["cpp"])
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\nproject(readme LANGUAGES CXX)\n"
        + blocks["cmake"].replace("target_link", "add_executable(program program.cpp)\ntarget_link")
    )
    build(tmp_path, tmp_path / "build", prefix)
    losses = [float(line) for line in run(tmp_path / "build" / "program").split()]
    assert losses[-1] < 0.1 * losses[0], losses
