"""The U-Net of examples/stable_diffusion has the published architecture."""

import importlib
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import legato.core as mx
from legato.utils import tree_flatten

EXAMPLE = Path(__file__).parents[2] / "examples" / "stable_diffusion"


@pytest.fixture(scope="module")
def unet():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(os.fspath(EXAMPLE))
        yield importlib.import_module("unet")
    sys.modules.pop("unet", None)


def shapes(module):
    return {name: value.shape for name, value in tree_flatten(module.parameters())}


def size(module):
    return sum(int(np.prod(shape)) for shape in shapes(module).values())


@pytest.fixture(scope="module")
def small(unet):
    mx.random.seed(0)
    return unet.UNet(unet.Config(widths=(32, 64, 96), blocks=1, heads=4, text=24))


def test_it_has_as_many_parameters_as_published(unet):
    # Weights are drawn when somebody reads them: this takes milliseconds.
    assert size(unet.UNet()) == 859_520_964


def test_the_parts_have_the_published_sizes(unet):
    network = unet.UNet()
    assert [len(level.residual) for level in network.down] == [2, 2, 2, 2]
    assert [len(level.transformer) for level in network.down] == [2, 2, 2, 0]
    assert [len(level.residual) for level in network.up] == [3, 3, 3, 3]
    assert [len(level.transformer) for level in network.up] == [0, 3, 3, 3]
    found = shapes(network)
    assert found["enter.weight"] == (320, 3, 3, 4)
    assert found["time1.weight"] == (1280, 320)
    assert found["down.1.residual.0.shortcut.weight"] == (640, 320)
    assert found["down.0.transformer.0.of_text.key.weight"] == (320, 768)
    assert found["down.2.transformer.1.feed_forward.widen.weight"] == (10240, 1280)
    assert found["up.0.residual.2.conv1.weight"] == (1280, 3, 3, 2560)
    assert found["up.3.residual.0.conv1.weight"] == (320, 3, 3, 960)
    assert found["leave.weight"] == (4, 3, 3, 320)


def test_it_predicts_an_array_of_the_shape_of_the_latent(small):
    x, text = mx.random.normal((2, 8, 12, 4)), mx.random.normal((2, 5, 24))
    noise = small(x, mx.array([1, 999]), text)
    assert noise.shape == x.shape
    assert noise.dtype == mx.float32
    assert np.isfinite(np.array(noise)).all()


def test_time_text_and_the_other_pictures_of_a_batch(small):
    x, text = mx.random.normal((1, 8, 8, 4)), mx.random.normal((1, 5, 24))
    alone = np.array(small(x, mx.array([10]), text))
    both = small(mx.concatenate([x, x + 1]), mx.array([10, 500]), mx.concatenate([text, -text]))
    np.testing.assert_allclose(np.array(both)[:1], alone, atol=1e-4)
    assert np.abs(np.array(small(x, mx.array([900]), text)) - alone).max() > 1e-3
    assert np.abs(np.array(small(x, mx.array([10]), -text)) - alone).max() > 1e-3


def test_compiled_and_in_half_precision_it_says_about_the_same(unet):
    mx.random.seed(1)
    block = unet.TransformerBlock(32, 4, 24)
    x, text = mx.random.normal((2, 4, 4, 32)), mx.random.normal((2, 5, 24))
    want = np.array(block(x, text))
    np.testing.assert_allclose(np.array(mx.compile(block)(x, text)), want, atol=1e-5)
    block.set_dtype(mx.float16)
    half = block(x.astype(mx.float16), text.astype(mx.float16))
    assert half.dtype == mx.float16
    np.testing.assert_allclose(np.array(half.astype(mx.float32)), want, atol=0.02)


def test_gradients_reach_every_parameter(unet):
    import legato.nn as nn

    mx.random.seed(2)
    network = unet.UNet(unet.Config(widths=(32, 64), blocks=1, heads=2, text=8))
    x, text = mx.random.normal((1, 4, 4, 4)), mx.random.normal((1, 3, 8))

    def loss():
        return mx.sum(network(x, mx.array([30]), text) ** 2)

    _, gradients = nn.value_and_grad(network, loss)()
    for name, gradient in tree_flatten(gradients):
        assert mx.max(mx.abs(gradient)).item() > 0, name
