"""The rows of check_attention.py on the emulated GPU: the portable kernels. Those of Hopper are checked where
`python tests/cuda/check_attention.py` runs on one (tools/gpu/run attention)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_emulated import EMULATOR, ROOT, pytestmark  # noqa: F401

CHOSEN = {
    "odd": ["1 2/1 70x77"],
    "added to every other": ["130x150", "every-second"],
    "hidden": ["1 2/1 70x77", "lowest"],
    "wide": ["193x129"],
    "unusual": ["1x150"],
}


@pytest.mark.parametrize("patterns", CHOSEN.values(), ids=CHOSEN)
def test_attention_by_masks_is_right(patterns, cache):
    check = Path(ROOT, "tests", "cuda", "check_attention.py")
    libraries = ("LEGATO_CUDA_DRIVER", "LEGATO_NVRTC", "LEGATO_CUBLASLT", "LEGATO_CUDNN")
    env = {**os.environ, **dict.fromkeys(libraries, str(EMULATOR)), "LEGATO_CACHE_DIR": cache}
    done = subprocess.run(
        [sys.executable, str(check), *patterns],
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stdout.startswith("0 rows")
