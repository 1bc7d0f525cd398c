"""The main example: short runs of train.py and generate.py as a user starts them."""

import importlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits_diffusion"
TINY = ["--size", "tiny", "--batch", "8", "--steps", "4", "--classifier-steps", "2", "--drawn", "1"]


def start(script, *options):
    command = [sys.executable, str(EXAMPLE / script), *map(str, options)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err, err
    return process.returncode, out, err


@pytest.fixture(scope="module")
def example():
    """Makes the modules of the example importable, and forgets them afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(os.fspath(EXAMPLE))
        yield importlib.import_module
    for path in EXAMPLE.glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.fixture(scope="module")
def run(example):
    """Calls the `main` of a script with options: starting a process for each call would take longer."""

    def call(script, *options):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [script, *map(str, options)])
            return example(script.removesuffix(".py")).main()

    return call


@pytest.fixture(scope="module")
def runs(run, tmp_path_factory):
    """A folder with three short runs, two of one seed, in different processes; what the first said."""
    folder = tmp_path_factory.mktemp("digits")
    first = start("train.py", *TINY, "--seed", 1, "--out", folder / "first")
    assert run("train.py", *TINY, "--seed", 1, "--out", folder / "same") == 0
    assert run("train.py", *TINY, "--seed", 2, "--out", folder / "other") == 0
    status, printed, err = finish(first)
    assert status == 0, err
    return folder, printed


def test_a_run_leaves_pictures_metrics_and_weights_and_says_where(runs):
    folder, printed = runs
    for name in ("samples.png", "loss.png"):
        assert (folder / "first" / name).read_bytes().startswith(b"\x89PNG")
        assert str(folder / "first" / name) in printed.splitlines()[-1]
    assert "real digits held out" in printed
    assert "drawn digits as the digit asked for" in printed

    metrics = json.loads((folder / "first" / "metrics.json").read_text())
    assert (metrics["seed"], metrics["steps"], metrics["batch"], metrics["size"]) == (
        1,
        4,
        8,
        "tiny",
    )
    assert metrics["generated"] == 10
    for name in ("classifier_accuracy", "generated_accuracy"):
        assert 0 <= metrics[name] <= 1
    for name in ("train_seconds", "images_per_second", "sample_seconds", "loss"):
        assert metrics[name] > 0


def test_same_seed_same_weights_and_pictures_another_seed_others(runs):
    folder, _ = runs
    for name in ("weights.safetensors", "samples.png"):
        first, same, other = (
            (folder / run / name).read_bytes() for run in ("first", "same", "other")
        )
        assert first == same
        assert first != other


def test_generate_draws_without_training_and_the_same_for_the_same_seed(run, runs, tmp_path):
    weights = runs[0] / "first" / "weights.safetensors"
    for name, seed in {"a": 3, "b": 3, "c": 4}.items():
        options = [
            "--weights",
            weights,
            "--seed",
            seed,
            "--steps",
            2,
            "--out",
            tmp_path / f"{name}.png",
        ]
        assert run("generate.py", "--digits", "7294", *options) == 0
    a, b, c = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_ctrl_c_saves_and_says_where(run, tmp_path):
    out = tmp_path / "stopped"
    process = start("train.py", "--size", "tiny", "--batch", 8, "--steps", 1_000_000, "--out", out)
    while "learns" not in process.stdout.readline():
        assert process.poll() is None, process.stderr.read()
    process.send_signal(signal.SIGINT)
    status, printed, _ = finish(process)
    assert status == 130
    weights = out / "weights.safetensors"
    assert f"Saved {weights}" in printed
    assert json.loads((out / "metrics.json").read_text())["steps"] < 1_000_000
    options = ["--weights", weights, "--steps", 1, "--out", tmp_path / "x.png"]
    assert run("generate.py", "--digits", "0", *options) == 0


def test_mistakes_are_answered_by_a_sentence(run, tmp_path, capsys):
    a_file = tmp_path / "file"
    a_file.write_text("no weights")
    picture = tmp_path / "x.png"
    for script, options, sentence in [
        ("train.py", ["--steps", 0], "--steps: expected a whole number of at least 1, found '0'"),
        ("train.py", ["--seed", "x"], "--seed: expected a whole number of at least 0, found 'x'"),
        ("train.py", ["--size", "huge"], "--size: invalid choice: 'huge'"),
        ("train.py", ["--batch", 5000, "--out", tmp_path], "at most the 1437 training images"),
        ("train.py", ["--out", a_file / "demo"], f"cannot write into the folder '{a_file}/demo'"),
        ("generate.py", ["--digits", "7a", "--out", picture], "digits such as 7294, found '7a'"),
        ("generate.py", ["--digits", 7, "--out", "x.jpg"], "give it a name that ends in .png"),
        ("generate.py", ["--digits", 7, "--out", picture, "--weights", tmp_path / "none"],
         f"there is no file '{tmp_path}/none'. Train first"),
        ("generate.py", ["--digits", 7, "--out", picture, "--weights", a_file], f"cannot use '{a_file}'"),
    ]:  # fmt: skip
        with pytest.raises(SystemExit) as ended:
            run(script, *options)
        said = ended.value.code if isinstance(ended.value.code, str) else capsys.readouterr().err
        assert ended.value.code != 0, (script, options)
        assert sentence in said, (script, options)


def test_sampling_with_a_perfect_network_returns_its_image(example):
    """If v always points to one image, every stride of DDIM keeps pointing to it."""
    diffusion, mx = example("diffusion"), example("legato.core")
    image = mx.array(np.random.default_rng(0).uniform(-1, 1, (1, 8, 8, 1)).astype(np.float32))

    def network(z, t, labels):
        alpha, sigma = (s.reshape(-1, 1, 1, 1) for s in diffusion.schedule(t))
        return alpha * (z - alpha * image) / sigma - sigma * image

    drawn = diffusion.sample(network, mx.array([3, 7]), seed=5, steps=7, guidance=2.0)
    # v is exact up to rounding, which the last stride divides by sin(pi / 14) = 0.22
    np.testing.assert_allclose(np.array(drawn), np.array(image).repeat(2, axis=0), atol=1e-5)
