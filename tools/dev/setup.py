"""./dev setup: packages of the distribution by apt, everything else into .venv from PyPI."""

import hashlib
import os
import re
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

from common import CACHE, ROOT, VENV, VENV_PYTHON, Failure, output, run, say

REQUIREMENTS = ROOT / "tools" / "requirements.txt"
CUDA_REQUIREMENTS = ROOT / "tools" / "requirements-cuda.txt"
PEER_REQUIREMENTS = ROOT / "tools" / "requirements-peers.txt"
STAMP = VENV / ".legato-setup"
OLDEST_PYTHON = (3, 11)


class Need(NamedTuple):
    """Something the distribution provides."""

    package: str  # its Debian and Ubuntu name
    present: bool
    required: bool
    why: str


def interpreter() -> str:
    """The interpreter .venv is made from: the one running, or the newest on the path if that is too old."""
    if sys.version_info >= OLDEST_PYTHON:
        return sys.executable
    for minor in range(14, OLDEST_PYTHON[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found and output(
            [found, "-c", "print(1)"]
        ):  # a launcher may stand there without its Python
            return found
    raise Failure(
        f"Legato is developed with Python {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer, "
        f"and this python3 is {sys.version_info[0]}.{sys.version_info[1]}. Install a newer one, "
        "for example python3.11 and python3.11-venv."
    )


def compiler_version() -> Optional[str]:
    """ "g++ 12.2", or None if the default compiler is missing or too old to build Legato."""
    text = output([os.environ.get("CXX", "c++"), "--version"])
    match = re.search(r"(\d+)\.(\d+)[.\d]*", text.splitlines()[0] if text else "")
    if not match:
        return None
    name, oldest = ("clang", 14) if "clang" in text else ("g++", 12)
    return f"{name} {match[1]}.{match[2]}" if int(match[1]) >= oldest else None


def header(name: str) -> bool:
    folders = ["/usr/include", "/usr/local/include", *os.environ.get("CPATH", "").split(os.pathsep)]
    return any((Path(folder) / name).exists() for folder in folders if folder)


def python_needs() -> List[Need]:
    """Headers and venv of the interpreter that .venv is made from."""
    python = interpreter()
    script = (
        "import sysconfig, sys; print(sysconfig.get_paths()['include']); print(sys.version_info[1])"
    )
    if python == sys.executable:
        include, minor = sysconfig.get_paths()["include"], str(sys.version_info[1])
    else:
        include, minor = output([python, "-c", script]).splitlines()
    of_system = Path(python).resolve().parent == Path("/usr/bin")
    name = f"python3.{minor}" if of_system else "python3"
    has_venv = bool(output([python, "-c", "import ensurepip, venv; print(1)"]))
    return [
        Need(f"{name}-venv", has_venv, True, "to make .venv"),
        Need(
            f"{name}-dev",
            Path(include, "Python.h").exists(),
            True,
            "Python's headers, for the extension module",
        ),
    ]


def needs() -> List[Need]:
    return [
        Need(
            "g++",
            compiler_version() is not None,
            True,
            "a C++20 compiler: g++ 12 or clang 14, or newer",
        ),
        *python_needs(),
        Need(
            "nlohmann-json3-dev",
            header("nlohmann/json.hpp"),
            True,
            "reads the headers of model files",
        ),
        Need("zlib1g-dev", header("zlib.h"), True, "reads and writes compressed .npz files"),
        Need(
            "libasmjit-dev",
            header("asmjit/asmjit.h"),
            False,
            "writes the machine code of fused programs",
        ),
        Need("doctest-dev", header("doctest/doctest.h"), False, "for the C++ tests"),
        Need("ccache", shutil.which("ccache") is not None, False, "makes rebuilds quick"),
        Need("git", shutil.which("git") is not None, False, "for ./dev lint"),
        Need(
            "ca-certificates",
            Path("/etc/ssl/certs/ca-certificates.crt").exists(),
            False,
            "to reach PyPI",
        ),
    ]


def install_system_packages() -> None:
    missing = [need for need in needs() if not need.present]
    if not missing:
        return
    packages = [need.package for need in missing]
    if os.geteuid() == 0 and shutil.which("apt-get"):
        say("installing with apt-get: " + " ".join(packages))
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update", "-qq"], "apt-get update failed, see above.", env, quiet=True)
        run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
            "apt-get could not install what Legato needs, see above.",
            env,
            quiet=True,
        )
        missing = [need for need in needs() if not need.present]
        if not any(need.required for need in missing):
            return
    for need in missing:
        say(f"missing: {need.package} ({need.why}{'' if need.required else '; optional'})")
    say("install with: sudo apt-get install -y " + " ".join(need.package for need in missing))
    if any(need.required for need in missing):
        raise Failure(
            "run that line (or its like on another distribution), then this command again."
        )


def fingerprint() -> str:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return hashlib.sha256(REQUIREMENTS.read_bytes() + version.encode()).hexdigest()


def is_done() -> bool:
    return STAMP.is_file() and STAMP.read_text() == fingerprint() and VENV_PYTHON.exists()


def pip_install(python: Path, requirements: Path) -> None:
    run(
        [
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-r",
            str(requirements),
        ],
        f"pip could not install {requirements.relative_to(ROOT)}, see above; it needs the network this once.",
        quiet=True,
    )


def make_venv(folder: Path) -> None:
    """Makes it anew; what stood there goes. A link is somebody else's folder, perhaps in use: that is refused."""
    if folder.is_symlink():
        raise Failure(
            f"{folder.relative_to(ROOT)} is a link to {folder.resolve()}, which was made for another Python or other "
            "requirements and would be emptied. Remove the link, or bring that folder up to date from where it is."
        )
    run(
        [interpreter(), "-m", "venv", "--clear", str(folder)],
        f"could not make {folder.relative_to(ROOT)}, see above.",
    )


def ensure() -> None:
    """Installs what is missing; costs a file read when nothing is."""
    if is_done():
        return
    install_system_packages()
    say("installing tools into .venv (about a minute)")
    make_venv(VENV)
    pip_install(VENV_PYTHON, REQUIREMENTS)
    STAMP.write_text(fingerprint())


def ensure_peers() -> Path:
    """The interpreter of .cache/peers, where the frameworks stand that ./dev bench compares with."""
    folder = CACHE / "peers"
    python = folder / "bin" / "python"
    stamp = folder / ".legato-setup"
    wanted = hashlib.sha256(PEER_REQUIREMENTS.read_bytes()).hexdigest()
    if not (stamp.is_file() and stamp.read_text() == wanted):
        say("installing the peers into .cache/peers (about 2 GB, some minutes)")
        make_venv(folder)
        pip_install(python, PEER_REQUIREMENTS)
        stamp.write_text(wanted)
    return python


def nvcc() -> Optional[str]:
    """The path of CUDA's compiler, or None."""
    for home in (os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"):
        if home and (Path(home) / "bin" / "nvcc").exists():
            return str(Path(home) / "bin" / "nvcc")
    return shutil.which("nvcc")


def need_nvcc() -> None:
    if nvcc() is None:
        raise Failure(
            "nvcc was not found, and the CUDA backend is compiled with it. Install the CUDA toolkit 13 "
            "(developer.nvidia.com/cuda-downloads), or set CUDA_HOME to its folder."
        )


def ensure_nvrtc() -> Path:
    """The run-time compiler that tests use, from PyPI in .cache/cuda."""
    folder = CACHE / "cuda"
    stamp = folder / ".legato-setup"
    wanted = hashlib.sha256(CUDA_REQUIREMENTS.read_bytes()).hexdigest()
    if not (stamp.is_file() and stamp.read_text() == wanted):
        say("installing CUDA's run-time compiler into .cache/cuda (90 MB)")
        make_venv(folder)
        pip_install(folder / "bin" / "python", CUDA_REQUIREMENTS)
        stamp.write_text(wanted)
    found = sorted(folder.glob("lib/python3*/site-packages/nvidia/*/lib/libnvrtc.so.*"))
    if not found:
        raise Failure("libnvrtc.so is not in .cache/cuda; ./dev clean --all, then try again.")
    return found[0]


def cuda_libraries() -> Dict[str, Path]:
    """Knob -> library, for Legato in its build folder, which has no site-packages beside it: the toolkit's libraries,
    or, for the run-time compiler, PyPI's."""
    found: Dict[str, Path] = {}
    compiler = nvcc()
    if compiler:
        folder = Path(compiler).resolve().parents[1] / "lib64"
        for knob, name in (("LEGATO_NVRTC", "libnvrtc"), ("LEGATO_CUBLASLT", "libcublasLt")):
            here = sorted(folder.glob(f"{name}.so.[0-9][0-9]"))
            if here:
                found[knob] = here[-1]
    if "LEGATO_NVRTC" not in found:
        found["LEGATO_NVRTC"] = ensure_nvrtc()
    return found


def main(force: bool) -> None:
    if force and STAMP.exists():
        STAMP.unlink()
    done = is_done()
    ensure()
    say("everything is in place." if done else "ready. Next: ./dev test, or ./dev demo.")
