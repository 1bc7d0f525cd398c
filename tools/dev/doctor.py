"""./dev doctor: what this machine is and what is missing, a sentence each."""

import os
import platform
import re
from pathlib import Path
from typing import Dict, List

import setup
from common import ROOT, VENV_PYTHON, build_folder, cores, output


def cpu() -> Dict[str, str]:
    facts: Dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            facts.setdefault(name.strip(), value.strip())
    except OSError:
        pass
    return facts


def simd_level(flags: List[str]) -> str:
    """The richest of the levels that the library is compiled for (cmake/SimdLevels.cmake)."""
    has = set(flags)
    if not {"avx2", "fma", "f16c", "bmi1", "bmi2", "abm"} <= has:
        return "base"
    if not {"avx512f", "avx512bw", "avx512vl", "avx512dq"} <= has:
        return "avx2"
    return "avx512, with bf16 products" if "avx512_bf16" in has else "avx512"


def system_name() -> str:
    try:
        for line in Path("/etc/os-release").read_text().splitlines():
            if line.startswith("PRETTY_NAME="):
                return line.partition("=")[2].strip('"')
    except OSError:
        pass
    return platform.platform()


def built_gpu() -> str:
    """What the release build says of its GPU backend; empty if nothing is built yet."""
    package = build_folder("release") / "python"
    if not list((package / "legato").glob("_core*.so")):
        return ""
    script = (
        "import legato as lg; from legato import _core; "
        "print(_core._why_no_device(lg.gpu) or f'The build uses {lg.device_count(lg.gpu)} GPU(s).'); "
        "print(f'Its default is {lg.default_device()}, because {_core._why_default_device()}.')"
    )
    env_python = ["env", f"PYTHONPATH={package}", str(VENV_PYTHON), "-c", script]
    return output(env_python)


def main() -> None:
    facts = cpu()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    print(
        f"The machine is {facts.get('model name', platform.machine())}, {cores()} of its cores usable here, "
        f"{memory:.0f} GiB of memory, under {system_name()}."
    )
    print(f"Its vector level is {simd_level(facts.get('flags', '').split())}.")
    gpu = output(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"])
    print(
        f"NVIDIA GPUs: {'; '.join(gpu.splitlines())}."
        if gpu
        else "No NVIDIA GPU answers to nvidia-smi."
    )
    nvcc = setup.nvcc()
    release = re.search(r"release ([0-9.]+)", output([nvcc, "--version"]) if nvcc else "")
    print(
        f"CUDA's compiler is nvcc {release[1]}: --cuda builds the GPU backend."
        if release
        else "There is no nvcc, so the GPU backend cannot be built here; everything else can."
    )
    reason = built_gpu()
    if reason:
        print(reason)
    compiler = setup.compiler_version()
    print(
        f"The compiler is {compiler}."
        if compiler
        else "No compiler new enough: g++ 12 or clang 14 is needed."
    )
    print(f"Python is {platform.python_version()}.")
    missing = [need for need in setup.needs() if not need.present]
    for need in missing:
        kind = "needed" if need.required else "useful"
        print(f"{need.package} is missing; it is {kind}: {need.why}.")
    if missing:
        print("To install: sudo apt-get install -y " + " ".join(need.package for need in missing))
    if setup.is_done():
        print("The tools in .venv are up to date.")
    else:
        print("The tools in .venv are missing or out of date; ./dev setup installs them.")
    built = [
        folder.parent.name for folder in sorted(build_folder("x").parent.glob("*/CMakeCache.txt"))
    ]
    print(f"Configured builds: {', '.join(built)}." if built else "Nothing has been built yet.")
    version = output(["git", "describe", "--always", "--dirty"])
    print(
        f"The checkout is {version} in a folder named {ROOT.name}."
        if version
        else "This is not a git checkout."
    )
