"""./dev demo --device gpu builds the GPU's backend and names its libraries; otherwise nothing of CUDA is asked for."""

import importlib
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools" / "dev"


@pytest.fixture
def dev(monkeypatch):
    """The modules of tools/dev, with the build and the program that follows it written down instead."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(TOOLS))
    products = importlib.import_module("products")
    done = {}

    def build(**options):
        done["build"] = options

    def replace_process(command, env):
        done["command"], done["env"] = command, env

    monkeypatch.setattr(products, "build", build)
    monkeypatch.setattr(products, "replace_process", replace_process)
    monkeypatch.setattr(products, "python_environment", lambda preset: {"LEGATO_CUBLASLT": "mine"})
    yield products, done
    for name in set(sys.modules) - before:
        if str(TOOLS) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def toolkit(folder, *libraries):
    (folder / "bin").mkdir()
    (folder / "bin" / "nvcc").touch()
    (folder / "lib64").mkdir()
    for name in libraries:
        (folder / "lib64" / name).touch()


@pytest.mark.parametrize("option", [["--device", "gpu"], ["--device=gpu"]])
def test_the_gpu_is_built_for_and_its_libraries_are_named(dev, option, tmp_path, monkeypatch):
    products, done = dev
    toolkit(tmp_path, "libnvrtc.so.13", "libnvrtc.so.13.0.48", "libcublasLt.so.13")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    products.demo([*option, "--steps", "3"])
    assert done["build"] == {"cuda": True}
    assert done["command"][1].endswith("examples/digits_diffusion/train.py")
    assert done["command"][2:] == [*option, "--steps", "3"]
    assert done["env"]["LEGATO_NVRTC"] == str(tmp_path / "lib64" / "libnvrtc.so.13")
    assert done["env"]["LEGATO_CUBLASLT"] == "mine"  # what the user has set stays


def test_a_toolkit_without_a_run_time_compiler_is_completed_from_pypi(dev, tmp_path, monkeypatch):
    products, done = dev
    toolkit(tmp_path)
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    monkeypatch.setattr(products.setup, "ensure_nvrtc", lambda: Path("/from/pypi"))
    products.demo(["--device", "gpu"])
    assert done["env"]["LEGATO_NVRTC"] == "/from/pypi"


def test_without_the_option_nothing_of_cuda_is_asked_for(dev, monkeypatch):
    products, done = dev
    monkeypatch.setattr(products.setup, "cuda_libraries", lambda: pytest.fail("asked"))
    for options in ([], ["--device", "cpu"], ["--out", "gpu"]):
        products.demo(options)
        assert done["build"] == {"cuda": False}
