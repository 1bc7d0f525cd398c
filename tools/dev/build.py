"""./dev build: configures once, then builds what changed; makes `legato` importable in .venv."""

import os
from pathlib import Path
from typing import List, Optional, Sequence

import setup
from common import ROOT, VENV, VENV_PYTHON, Failure, build_folder, cores, environment, run, say

BYTES_PER_COMPILER = 1 << 30


def jobs() -> int:
    """One compiler a core, as far as memory reaches. LEGATO_JOBS overrides."""
    wanted = os.environ.get("LEGATO_JOBS", "")
    if wanted:
        if not wanted.isdigit() or int(wanted) == 0:
            raise Failure(f"LEGATO_JOBS is '{wanted}'; it must be a positive number.")
        return int(wanted)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(cores(), memory // BYTES_PER_COMPILER))


def configure(preset: str, options: Sequence[str] = ()) -> None:
    folder = build_folder(preset)
    if (folder / "build.ninja").exists() and not options:
        return
    say(f"configuring build/{preset}")
    run(
        [
            "cmake",
            "--preset",
            preset,
            f"-DCMAKE_MAKE_PROGRAM={VENV / 'bin' / 'ninja'}",
            f"-DPython_EXECUTABLE={VENV_PYTHON}",
            "-DLEGATO_BUILD_PYTHON=ON",
            *options,
        ],
        "CMake could not configure the build, see above.",
        quiet=True,
    )


def make_importable(preset: str) -> None:
    """A .pth file, so that .venv's python finds the release build also when it is not started by ./dev."""
    if preset != "release":
        return
    for packages in VENV.glob("lib/python3*/site-packages"):
        path = packages / "legato-build.pth"
        line = f"{build_folder(preset) / 'python'}\n"
        if not path.exists() or path.read_text() != line:
            path.write_text(line)


def cuda_options(preset: str) -> List[str]:
    """What turns the CUDA backend on: for one architecture, because each costs nvcc a minute."""
    setup.need_nvcc()
    cache = build_folder(preset) / "CMakeCache.txt"
    if cache.exists() and "LEGATO_CUDA:BOOL=ON" in cache.read_text():
        return []
    return ["-DLEGATO_CUDA=ON", "-DLEGATO_CUDA_ARCHITECTURES=90"]


def build(
    preset: str = "release",
    targets: Sequence[str] = (),
    options: Sequence[str] = (),
    cuda: bool = False,
) -> None:
    setup.ensure()
    configure(preset, [*(cuda_options(preset) if cuda else []), *options])
    command = ["cmake", "--build", str(build_folder(preset)), "--parallel", str(jobs())]
    for target in targets:
        command += ["--target", target]
    run(
        command,
        f"the build failed; the first error above is the one to read. (build/{preset})",
        quiet=False,
    )
    make_importable(preset)
    link = ROOT / "compile_commands.json"  # where editors and clang-tidy look for it
    database = build_folder(preset) / "compile_commands.json"
    if preset == "release" and database.exists() and not link.exists():
        if link.is_symlink():
            link.unlink()
        link.symlink_to(database.relative_to(ROOT))


def python_environment(preset: str) -> dict:
    """The environment in which `import legato` finds that build."""
    from common import sanitizer_environment

    return {**environment(preset), **sanitizer_environment(preset)}


def program(preset: str, name: str) -> Optional[Path]:
    path = build_folder(preset) / name
    return path if path.exists() else None
