"""Quantized layers: what they store, and that they compute with it."""

import numpy as np
import pytest

import legato.core as mx
from legato import nn

pytestmark = pytest.mark.skipif(not hasattr(mx, "quantize"), reason="needs mx.quantize")

MODES = {"affine": (64, 4), "mxfp4": (32, 4), "mxfp8": (32, 8), "nvfp4": (16, 4)}


def table(layer):
    """The weight that a quantized layer stands for."""
    return np.array(
        mx.dequantize(
            layer.weight,
            layer.scales,
            layer.get("biases"),
            layer.group_size,
            layer.bits,
            layer.mode,
            dtype=mx.float32,
        )
    )


@pytest.mark.parametrize("mode", MODES)
def test_linear(mode):
    mx.random.seed(0)
    layer = nn.Linear(64, 8)
    quantized = layer.to_quantized(mode=mode)
    group_size, bits = MODES[mode]
    assert quantized.weight.dtype == mx.uint32
    assert quantized.weight.shape == (8, 64 * bits // 32)
    assert quantized.trainable_parameters() == {}
    assert repr(quantized) == (
        "QuantizedLinear(input_dims=64, output_dims=8, bias=True, "
        f"group_size={group_size}, bits={bits}, mode={mode})"
    )
    weight = table(quantized)
    assert np.abs(weight - np.array(layer.weight)).max() < 0.03
    x = mx.random.normal((3, 64))
    expected = np.array(x) @ weight.T + np.array(layer.bias)
    np.testing.assert_allclose(np.array(quantized(x)), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("mode", MODES)
def test_embedding(mode):
    mx.random.seed(0)
    layer = nn.Embedding(10, 64)
    quantized = layer.to_quantized(mode=mode)
    rows = table(quantized)
    found = np.array(quantized(mx.array([[1, 9]])).astype(mx.float32))
    np.testing.assert_allclose(found, rows[[[1, 9]]], rtol=1e-2)
    x = mx.random.normal((3, 64))
    np.testing.assert_allclose(
        np.array(quantized.as_linear(x)), np.array(x) @ rows.T, rtol=1e-3, atol=1e-3
    )
    group_size, bits = MODES[mode]
    assert repr(quantized) == (
        f"QuantizedEmbedding(10, 64, group_size={group_size}, bits={bits}, mode={mode})"
    )


def test_sizes_are_taken_and_modes_checked():
    layer = nn.Linear(64, 8).to_quantized(32, 8)
    assert (layer.group_size, layer.bits, layer.mode) == (32, 8, "affine")
    assert nn.QuantizedLinear(64, 8, bias=False)(mx.ones((2, 64))).shape == (2, 8)
    assert nn.QuantizedEmbedding(8, 64)(mx.array([1])).shape == (1, 64)
    with pytest.raises(ValueError, match="mode is 'int4', expected one of"):
        nn.Linear(64, 8).to_quantized(mode="int4")
    with pytest.raises(ValueError, match="mode 'affine' can't quantize the input"):
        nn.Linear(64, 8).to_quantized(quantize_input=True)
    with pytest.raises(ValueError, match="bias"):
        nn.Linear(64, 8).to_quantized(mode="nvfp4", quantize_input=True)
    with pytest.raises(ValueError, match="input is indices"):
        nn.Embedding(8, 64).to_quantized(mode="nvfp4", quantize_input=True)


def model():
    return nn.Sequential(
        nn.Linear(64, 64), nn.Embedding(3, 64), nn.ReLU(), nn.Linear(64, 4, bias=False)
    )


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


def test_quantize_a_model():
    m = model()
    assert nn.quantize(m, bits=8) is None
    assert kinds(m) == ["QuantizedLinear", "QuantizedEmbedding", "ReLU", "QuantizedLinear"]
    assert m.layers[0].bits == 8


def test_quantize_what_a_predicate_picks():
    m = model()
    paths = []

    def predicate(path, module):
        paths.append(path)
        return {"group_size": 32} if path == "layers.0" else path == "layers.3"

    nn.quantize(m, bits=2, mode="affine", class_predicate=predicate)
    assert paths == ["layers.0", "layers.1", "layers.2", "layers.3"]
    assert kinds(m) == ["QuantizedLinear", "Embedding", "ReLU", "QuantizedLinear"]
    # A dict replaces all arguments, so that models may mix modes.
    assert (m.layers[0].group_size, m.layers[0].bits) == (32, 4)
    assert m.layers[3].bits == 2


def test_quantize_what_has_no_quantized_form():
    m = model()
    with pytest.raises(ValueError, match=r"'layers\.2' is a ReLU, which has no to_quantized"):
        nn.quantize(m, class_predicate=lambda path, module: True)
    assert kinds(m) == ["Linear", "Embedding", "ReLU", "Linear"]


def test_linear_with_quantized_input_changes_form_with_the_mode():
    layer = nn.Linear(64, 8, bias=False)
    weight = np.array(layer.weight)
    quantized = layer.to_quantized(mode="nvfp4", quantize_input=True)
    assert repr(quantized) == (
        "QQLinear(input_dims=64, output_dims=8, group_size=16, bits=4, mode=nvfp4)"
    )
    assert set(quantized.trainable_parameters()) == {"weight"}
    quantized.eval()
    assert quantized.weight.dtype == mx.uint32
    assert repr(quantized).startswith("QQLinear(input_dims=64, output_dims=8")
    quantized.train()
    assert quantized.weight.dtype == mx.float32
    assert "scales" not in quantized
    assert np.abs(np.array(quantized.weight) - weight).max() < 0.03
