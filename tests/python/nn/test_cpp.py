"""Layers and optimizers of C++ against those of Python, through files of weights.

The C++ half is tests/cpp/test_nn_exchange.cpp: both make the layers below with the same arguments.
"""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

import legato.core as mx
import legato.nn as nn
import legato.optimizers as optim
from legato.utils import tree_flatten, tree_unflatten

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = Path(os.environ.get("LEGATO_BUILD_DIR", ROOT / "build" / "release")) / "legato_tests"
RNG = np.random.default_rng(0)


def normal(*shape):
    return mx.array(RNG.normal(size=shape).astype(np.float32))


def evaluated(module):
    module.eval()
    return module


# name: (layer, inputs[, call])
LAYERS = {
    "Linear": (lambda: nn.Linear(4, 3), [normal(2, 4)]),
    "LinearNoBias": (lambda: nn.Linear(4, 3, bias=False), [normal(4)]),
    "Bilinear": (lambda: nn.Bilinear(3, 4, 5), [normal(2, 3), normal(2, 4)]),
    "Embedding": (lambda: nn.Embedding(6, 4), [mx.array([[1, 5], [0, 1]])]),
    "EmbeddingAsLinear": (lambda: nn.Embedding(6, 4), [normal(2, 4)], lambda m, x: m.as_linear(x)),
    "Conv1d": (
        lambda: nn.Conv1d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2),
        [normal(2, 9, 4)],
    ),
    "Conv2d": (lambda: nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=1), [normal(2, 6, 5, 3)]),
    "Conv3d": (lambda: nn.Conv3d(2, 3, 2, bias=False), [normal(1, 3, 4, 3, 2)]),
    "ConvTranspose1d": (
        lambda: nn.ConvTranspose1d(3, 2, 4, stride=2, padding=1, output_padding=1),
        [normal(2, 5, 3)],
    ),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(3, 2, 3, stride=2), [normal(1, 3, 4, 3)]),
    "ConvTranspose3d": (lambda: nn.ConvTranspose3d(2, 2, 2), [normal(1, 2, 3, 2, 2)]),
    "LayerNorm": (lambda: nn.LayerNorm(4), [normal(3, 4)]),
    "LayerNormNoBias": (lambda: nn.LayerNorm(4, eps=1e-3, bias=False), [normal(3, 4)]),
    "RMSNorm": (lambda: nn.RMSNorm(4), [normal(3, 4)]),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), [normal(2, 3, 3, 4)]),
    "GroupNormTorch": (
        lambda: nn.GroupNorm(2, 4, pytorch_compatible=True),
        [normal(2, 3, 3, 4)],
    ),
    "InstanceNorm": (lambda: nn.InstanceNorm(4, affine=True), [normal(2, 3, 3, 4)]),
    "BatchNorm": (lambda: nn.BatchNorm(4), [normal(5, 3, 4)]),
    "BatchNormEval": (lambda: evaluated(nn.BatchNorm(4)), [normal(5, 4)]),
    "MaxPool2d": (lambda: nn.MaxPool2d(2, stride=1, padding=1), [normal(2, 4, 5, 3)]),
    "AvgPool2d": (lambda: nn.AvgPool2d((2, 3)), [normal(2, 5, 6, 3)]),
    "MaxPool1d": (lambda: nn.MaxPool1d(2), [normal(2, 5, 3)]),
    "AvgPool3d": (lambda: nn.AvgPool3d(2), [normal(1, 4, 2, 5, 2)]),
    "UpsampleNearest": (lambda: nn.Upsample(2), [normal(1, 3, 4, 2)]),
    "UpsampleNearestBy": (lambda: nn.Upsample((1.5, 0.6)), [normal(1, 4, 5, 2)]),
    "UpsampleLinear": (lambda: nn.Upsample((1.5, 2.5), mode="linear"), [normal(1, 4, 5, 2)]),
    "UpsampleAligned": (
        lambda: nn.Upsample(1.7, mode="linear", align_corners=True),
        [normal(1, 4, 5, 2)],
    ),
    "UpsampleCubic": (lambda: nn.Upsample(2, mode="cubic"), [normal(1, 4, 5, 2)]),
    "UpsampleSmaller": (
        lambda: nn.Upsample(0.6, mode="cubic", antialias=True),
        [normal(1, 7, 5, 2)],
    ),
    "RoPE": (lambda: nn.RoPE(4, traditional=True), [normal(1, 5, 6)], lambda m, x: m(x, 3)),
    "Sinusoidal": (
        lambda: nn.SinusoidalPositionalEncoding(6, cos_first=True, full_turns=True),
        [normal(5)],
    ),
    "ALiBi": (lambda: nn.ALiBi(), [normal(1, 3, 2, 5)], lambda m, x: m(x, 2)),
    "RNN": (lambda: nn.RNN(3, 4), [normal(2, 5, 3)]),
    "RNNFrom": (lambda: nn.RNN(3, 4, bias=False), [normal(5, 3), normal(4)]),
    "GRU": (lambda: nn.GRU(3, 4), [normal(2, 5, 3)]),
    "GRUFrom": (lambda: nn.GRU(3, 4, bias=False), [normal(2, 5, 3), normal(2, 4)]),
    "LSTM": (lambda: nn.LSTM(3, 4), [normal(2, 5, 3)]),
    "PReLU": (lambda: nn.PReLU(4), [normal(3, 4)]),
    "GELU": (lambda: nn.GELU("tanh"), [normal(3, 4)]),
    "Attention": (
        lambda: nn.MultiHeadAttention(4, 2, key_input_dims=3, value_dims=6, bias=True),
        [normal(2, 3, 4), normal(2, 5, 3)],
        lambda m, x, y: m(x, y, y),
    ),
    "Encoder": (
        lambda: nn.TransformerEncoder(2, 4, 2, mlp_dims=5),
        [normal(2, 3, 4)],
        lambda m, x: m(x, "causal"),
    ),
    "EncoderLast": (
        lambda: nn.TransformerEncoder(
            1, 4, 2, activation=nn.gelu, norm_first=False, checkpoint=True
        ),
        [normal(2, 3, 4)],
        lambda m, x: m(x, None),
    ),
    "Transformer": (
        lambda: nn.Transformer(4, 2, 1, 2),
        [normal(2, 5, 4), normal(2, 3, 4)],
        lambda m, x, y: m(
            x, y, None, m.decoder.layers[0].self_attention.create_additive_causal_mask(3), None
        ),
    ),
    "Sequential": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), lambda x: x.flatten(1), nn.Linear(16, 2)
        ),
        [normal(2, 6, 6, 3)],
    ),
}

OPTIMIZERS = {
    "SGD": lambda: optim.SGD(0.1, momentum=0.9, weight_decay=0.01, nesterov=True),
    "RMSprop": lambda: optim.RMSprop(0.1),
    "Adagrad": lambda: optim.Adagrad(0.1),
    "AdaDelta": lambda: optim.AdaDelta(0.1),
    "Adam": lambda: optim.Adam(0.1),
    "AdamCorrected": lambda: optim.Adam(optim.cosine_decay(0.1, 10), bias_correction=True),
    "AdamW": lambda: optim.AdamW(0.1),
    "Adamax": lambda: optim.Adamax(0.1),
    "Lion": lambda: optim.Lion(0.1, weight_decay=0.1),
    "Adafactor": lambda: optim.Adafactor(),
    "AdafactorRate": lambda: optim.Adafactor(
        0.1, beta_1=0.9, weight_decay=0.1, relative_step=False
    ),
    "Muon": lambda: optim.Muon(0.1),
    "Multi": lambda: optim.MultiOptimizer(
        [optim.Muon(0.1), optim.AdamW(0.1)], [lambda path, _: path == "a.weight"]
    ),
}
PARAMETERS = {"a": {"weight": normal(4, 3), "bias": normal(4)}, "list": [normal(2, 3, 2)]}
GRADIENTS = [
    {"a": {"weight": normal(4, 3), "bias": normal(4)}, "list": [normal(2, 3, 2)]} for _ in range(3)
]


def flat(tree):
    return dict(tree_flatten(tree))


def savez(path, arrays):
    mx.savez(str(path), **arrays)


def close(found, expected, what):
    assert sorted(found) == sorted(expected), what
    for name in expected:
        assert found[name].dtype == expected[name].dtype, (what, name)
        np.testing.assert_allclose(
            np.array(found[name]),
            np.array(expected[name]),
            rtol=2e-5,
            atol=2e-6,
            err_msg=f"{what} {name}",
        )


@pytest.fixture(scope="module")
def on_the_cpu():
    """The C++ half has no other device; normal numbers of a GPU differ from its in their last bits."""
    before = mx.default_device()
    mx.set_default_device(mx.cpu)
    yield
    mx.set_default_device(before)


@pytest.fixture(scope="module")
def exchanged(tmp_path_factory, on_the_cpu):
    """Runs the C++ half once; returns the folder, and for each name what Python computed."""
    if not PROGRAM.exists():
        pytest.skip("the C++ tests are not built")
    folder = tmp_path_factory.mktemp("exchange")
    expected = {}
    for name, (make, inputs, *call) in LAYERS.items():
        mx.random.seed(7)
        layer = make()
        first = flat(layer.parameters())
        mx.random.seed(8)
        layer.apply(lambda x: x + 0.1 * mx.random.normal(x.shape))
        layer.save_weights(str(folder / f"{name}.safetensors"))
        savez(folder / f"{name}.in.npz", {f"in{i}": x for i, x in enumerate(inputs)})

        def loss(layer=layer, call=call, inputs=inputs):
            out = call[0](layer, *inputs) if call else layer(*inputs)
            out = out if isinstance(out, tuple) else (out,)
            return sum((x.square().sum() for x in out[1:]), out[0].square().sum()), *out

        (_, *out), gradients = nn.value_and_grad(layer, loss)()
        expected[name] = (
            first,
            {f"out{i}": x for i, x in enumerate(out)}
            | {f"grad.{k}": g for k, g in tree_flatten(gradients)},
            flat(layer.parameters()),
        )
    savez(folder / "parameters.npz", flat(PARAMETERS))
    for i, gradients in enumerate(GRADIENTS):
        savez(folder / f"gradients{i}.npz", flat(gradients))
    for name, make in OPTIMIZERS.items():
        rule, parameters = make(), PARAMETERS
        rule.init(parameters)
        for gradients in GRADIENTS:
            parameters = rule.apply_gradients(gradients, parameters)
        state = flat(rule.state)
        savez(folder / f"{name}.python.npz", state)
        fourth = rule.apply_gradients(GRADIENTS[0], parameters)
        expected[name] = (flat(parameters), state, flat(fourth))

    env = {**os.environ, "LEGATO_EXCHANGE": str(folder)}
    env.pop("LD_PRELOAD", None)
    done = subprocess.run(
        [str(PROGRAM), "--test-case=nn: exchange with Python"],
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, expected


@pytest.mark.parametrize("name", LAYERS)
def test_layer_in_cpp_computes_what_it_does_in_python(exchanged, name):
    folder, expected = exchanged
    first, out, after = expected[name]
    same_seed = mx.load(str(folder / f"{name}.first.npz"))
    assert list(same_seed) == list(first)
    for key, value in first.items():  # the same seed makes the same weights, to the bit
        assert np.array_equal(np.array(same_seed[key]), np.array(value)), key
    close(mx.load(str(folder / f"{name}.out.npz")), out, name)
    layer = LAYERS[name][0]()
    layer.load_weights(str(folder / f"{name}.back.safetensors"))
    close(flat(layer.parameters()), after, name)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_in_cpp_makes_the_steps_of_python(exchanged, name):
    folder, expected = exchanged
    parameters, state, fourth = expected[name]
    close(mx.load(str(folder / f"{name}.out.npz")), parameters, name)
    found = mx.load(str(folder / f"{name}.state.npz"))
    close(found, state, name)
    close(mx.load(str(folder / f"{name}.fourth.npz")), fourth, name)
    rule = OPTIMIZERS[name]()  # and back
    rule.state = tree_unflatten(list(found.items()))
    again = rule.apply_gradients(GRADIENTS[0], tree_unflatten(list(parameters.items())))
    close(flat(again), fourth, name)


def test_every_layer_has_a_counterpart_in_cpp():
    """What Python's nn has and C++ lacks is listed here, with the reason."""
    headers = "\n".join(p.read_text() for p in (ROOT / "legato" / "nn").glob("*.h"))
    absent = {
        "QQLinear",
        "QuantizedEmbedding",
        "QuantizedLinear",
        "quantize",
    }  # no such ops in C++ yet
    for name in nn.layers.__all__:
        declared = any(
            f"{before}{name}{after}" in headers
            for before in (" ", "(", "using ", "legato::")
            for after in (" ", "(", ";", ",", " :")
        )
        assert declared != (name in absent), name
    for name in optim.optimizers.__dict__:
        if name[0].isupper() and name != "TYPE_CHECKING":
            assert f" {name} " in headers, name
