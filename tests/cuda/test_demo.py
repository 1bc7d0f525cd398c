"""The demo on the emulated GPU: the picture that generate.py draws there is the CPU's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "digits_diffusion"
BUILD = Path(os.environ.get("LEGATO_BUILD_DIR", ROOT / "build" / "release"))
EMULATOR = BUILD / "lib" / "libcuda_emulator.so"

pytestmark = pytest.mark.skipif(
    not EMULATOR.exists(), reason="the CUDA backend was not built (LEGATO_CUDA=ON, needs nvcc)"
)


def run(script, folder, *options):
    libraries = ("LEGATO_CUDA_DRIVER", "LEGATO_NVRTC", "LEGATO_CUBLASLT", "LEGATO_CUDNN")
    env = {
        **os.environ,
        **{name: str(EMULATOR) for name in libraries},
        "LEGATO_CACHE_DIR": str(folder / "programs"),
    }
    command = [sys.executable, str(EXAMPLE / script), *map(str, options)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_gpu_draws_the_digit_that_the_cpu_draws(tmp_path):
    tiny = ["--size", "tiny", "--batch", 8, "--steps", 3, "--classifier-steps", 1, "--drawn", 1]
    run("train.py", tmp_path, *tiny, "--device", "cpu", "--out", tmp_path)
    pictures = []
    for device in ("cpu", "gpu"):
        pictures.append(tmp_path / f"{device}.png")
        weights = ["--weights", tmp_path / "weights.safetensors", "--out", pictures[-1]]
        run("generate.py", tmp_path, "--digits", 7, "--steps", 2, "--device", device, *weights)
    # The arrays differ by rounding; 256 grey levels do not show it.
    assert pictures[0].read_bytes() == pictures[1].read_bytes()
