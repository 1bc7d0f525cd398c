"""./dev demo, bench, python, docs, wheel, clean."""

import os
import shutil
import sys
from typing import Optional, Sequence

import setup
from build import build, python_environment
from common import (
    CACHE,
    ROOT,
    VENV,
    VENV_PYTHON,
    Failure,
    environment,
    output,
    replace_process,
    run,
    say,
)


def demo(arguments: Sequence[str]) -> None:
    script = ROOT / "examples" / "digits_diffusion" / "train.py"
    if not script.exists():
        raise Failure(f"{script.relative_to(ROOT)} is not in this checkout.")
    on_gpu = wants_gpu(arguments)
    build(cuda=on_gpu)
    env = python_environment("release")
    if on_gpu:
        for name, library in setup.cuda_libraries().items():
            env.setdefault(name, str(library))
    replace_process([str(VENV_PYTHON), str(script), *arguments], env)


def wants_gpu(arguments: Sequence[str]) -> bool:
    """Whether `--device gpu` is among the options of a program, in one of the forms that argparse takes."""
    return "--device=gpu" in arguments or " --device gpu " in f" {' '.join(arguments)} "


def python(preset: str, arguments: Sequence[str]) -> None:
    build_quietly(preset)
    replace_process([str(VENV_PYTHON), *arguments], python_environment(preset))


def build_quietly(preset: str) -> None:
    """`./dev python` runs what was built last; it builds only where nothing was built yet."""
    package = ROOT / "build" / preset / "python" / "legato"
    if not list(package.glob("_core*.so")):
        build(preset)


def bench(peers: bool, interpreter: Optional[str], arguments: Sequence[str]) -> None:
    build("release", targets=["all", "benchmarks"])
    chosen = str(setup.ensure_peers()) if peers else interpreter or str(VENV_PYTHON)
    replace_process(
        [chosen, str(ROOT / "benchmarks" / "run.py"), *arguments], python_environment("release")
    )


def docs() -> None:
    build()
    run(
        [str(VENV_PYTHON), str(ROOT / "tools" / "docs.py")],
        "the documentation has faults, see above.",
        python_environment("release"),
    )


def wheel(version: Optional[str], cuda: bool) -> None:
    """Builds dist/legato-*.whl for one Python, in an environment of its own."""
    setup.ensure()
    if cuda:
        setup.need_nvcc()
    python_path = str(VENV_PYTHON)
    if version:
        found = shutil.which(f"python{version}")
        if found is None or not output([found, "-c", "print(1)"]):
            raise Failure(
                f"python{version} was not found on the path, so no wheel can be built for it."
            )
        venv = CACHE / f"wheel-{version}"
        if not (venv / "bin" / "pip").exists():
            run(
                [found, "-m", "venv", "--clear", str(venv)],
                f"could not make a virtual environment with {found}; is python{version}-venv installed?",
            )
        python_path = str(venv / "bin" / "python")
    run(
        [
            python_path,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--wheel-dir",
            str(ROOT / "dist"),
            *(["-C", "cmake.define.LEGATO_CUDA=ON"] if cuda else []),
            str(ROOT),
        ],
        "the wheel could not be built, see above.",
        environment(),
    )
    newest = max((ROOT / "dist").glob("legato-*.whl"), key=os.path.getmtime)
    say(f"wrote {newest.relative_to(ROOT)} ({newest.stat().st_size / 1e6:.1f} MB)")


def clean(everything: bool, preset: Optional[str]) -> None:
    folders = (
        [ROOT / "build" / preset]
        if preset
        else [ROOT / "build", ROOT / "dist", ROOT / "docs" / "_build"]
    )
    if everything:
        folders += [VENV, CACHE]
    for folder in folders:
        if folder.exists():
            shutil.rmtree(folder)
            say(f"removed {folder.relative_to(ROOT)}/")
    link = ROOT / "compile_commands.json"
    if link.is_symlink() and not link.exists():
        link.unlink()
    sys.stderr.flush()
