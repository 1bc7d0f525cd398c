"""What all subcommands share: where things are, how commands are run, how failures are said."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, NoReturn, Optional, Sequence

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
CACHE = ROOT / ".cache"
VENV_PYTHON = VENV / "bin" / "python"
PRESETS = ("release", "debug", "asan", "tsan")


class Failure(Exception):
    """Ends the command with a sentence for the user and an exit status."""

    def __init__(self, message: str, status: int = 1):
        super().__init__(message)
        self.status = status


def say(message: str) -> None:
    print(f"dev: {message}", file=sys.stderr, flush=True)


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment(preset: Optional[str] = None) -> Dict[str, str]:
    """The environment of every command: the tools of .venv first, ccache set up so that clones share its entries.

    With a preset, `legato` is importable from that build, and a sanitizer's run-time library is loaded first.
    """
    env = dict(os.environ)
    env["PATH"] = f"{VENV / 'bin'}{os.pathsep}{env.get('PATH', '')}"
    env.setdefault("CCACHE_BASEDIR", str(ROOT))
    env.setdefault("CCACHE_NOHASHDIR", "1")
    if preset is not None:
        folders = [str(build_folder(preset) / "python"), env.get("PYTHONPATH", "")]
        env["PYTHONPATH"] = os.pathsep.join(folder for folder in folders if folder)
    return env


def sanitizer_environment(preset: str) -> Dict[str, str]:
    """What a Python that loads a sanitized library needs beside `environment`; the C++ tests do not."""
    libraries = {"asan": ("libasan.so", "libubsan.so"), "tsan": ("libtsan.so",)}.get(preset, ())
    if not libraries:
        return {}
    compiler = os.environ.get("CXX", "c++")
    paths = [output([compiler, f"-print-file-name={name}"]) for name in libraries]
    return {
        "LD_PRELOAD": " ".join(paths),
        # Python itself leaves memory to the end of the process.
        "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "detect_leaks=0"),
    }


def build_folder(preset: str) -> Path:
    return ROOT / "build" / preset


def run(
    command: Sequence[str], failure: str, env: Optional[Dict[str, str]] = None, quiet: bool = False
) -> None:
    """Runs a command in the root; if it fails, raises Failure with that sentence (after its output, if quiet)."""
    try:
        done = subprocess.run(
            list(command),
            cwd=ROOT,
            env=env or environment(),
            stdout=subprocess.PIPE if quiet else None,
            stderr=subprocess.STDOUT if quiet else None,
            text=True,
        )
    except OSError as error:
        raise Failure(
            f"{failure} ({shlex.join(command)} could not be started: {error.strerror})"
        ) from None
    if done.returncode != 0:
        if quiet:
            sys.stderr.write(done.stdout)
        raise Failure(failure, done.returncode if 0 < done.returncode < 128 else 1)


def output(command: Sequence[str]) -> str:
    """What a command prints, or an empty string if it cannot be run or fails."""
    try:
        done = subprocess.run(
            list(command),
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def replace_process(command: Sequence[str], env: Dict[str, str]) -> NoReturn:
    """Becomes that command, in the caller's folder, so that signals and the exit status are its own."""
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvpe(command[0], list(command), env)
    except OSError as error:
        raise Failure(f"{command[0]} could not be started: {error.strerror}.") from None


def tracked_files(*suffixes: str) -> List[Path]:
    """Files of the repository that git knows or would add, by suffix."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        raise Failure("this needs git and a clone of the repository; a source archive will not do.")
    listed = output(["git", "ls-files", "--cached", "--others", "--exclude-standard"]).splitlines()
    return [ROOT / name for name in listed if name.endswith(suffixes) and (ROOT / name).is_file()]
