"""Positional encodings, recurrent layers and transformers against NumPy."""

import math

import numpy as np
import pytest

import legato.core as mx
from legato import nn
from legato.utils import tree_flatten

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def weights(module):
    """Parameters by path; sets biases of 0 to something else first."""
    module.apply(lambda x: x if x.ndim > 1 else mx.array(normal(*x.shape)))
    return {path: np.array(x) for path, x in tree_flatten(module.parameters())}


def close(found, expected, tol=2e-5):
    assert tuple(found.shape) == np.shape(expected)
    np.testing.assert_allclose(np.array(found), expected, rtol=tol, atol=tol)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# -- positional encodings -------------------------------------------------------------------


@pytest.mark.parametrize("traditional", [False, True])
@pytest.mark.parametrize("offset", [0, 3])
def test_rope(traditional, offset):
    x = normal(2, 3, 5, 8)
    layer = nn.RoPE(6, traditional=traditional, base=100.0, scale=0.5)
    angles = np.outer(0.5 * (offset + np.arange(5)), 100.0 ** (-np.arange(3) / 3))
    first, second = (slice(0, 6, 2), slice(1, 6, 2)) if traditional else (slice(3), slice(3, 6))
    expected = x.copy()
    expected[..., first] = x[..., first] * np.cos(angles) - x[..., second] * np.sin(angles)
    expected[..., second] = x[..., first] * np.sin(angles) + x[..., second] * np.cos(angles)
    close(layer(mx.array(x), offset=offset), expected)
    assert repr(layer) == f"RoPE(6, traditional={traditional})"


@pytest.mark.parametrize("cos_first", [False, True])
@pytest.mark.parametrize(
    ("options", "turn", "scale"),
    [({}, 1, 0.5), ({"full_turns": True, "scale": 2.0}, 2 * math.pi, 2.0)],
)
def test_sinusoidal_positional_encoding(cos_first, options, turn, scale):
    layer = nn.SinusoidalPositionalEncoding(8, 0.01, 10.0, cos_first=cos_first, **options)
    frequencies = turn * 10.0 ** np.array([1, 0, -1, -2])
    x = normal(2, 5)
    parts = [np.sin(x[..., None] * frequencies), np.cos(x[..., None] * frequencies)]
    expected = scale * np.concatenate(parts[::-1] if cos_first else parts, -1)
    close(layer(mx.array(x)), expected, 1e-4)
    assert layer.parameters() == {}


def test_alibi():
    np.testing.assert_allclose(
        np.array(nn.ALiBi.create_alibi_slope(8)).flatten(), 2.0 ** -np.arange(1, 9)
    )
    six = [0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125]
    np.testing.assert_allclose(np.array(nn.ALiBi.create_alibi_slope(6)).flatten(), six)
    scores, mask = normal(2, 6, 3, 5), normal(3, 5)
    distance = np.abs(2 + np.arange(3)[:, None] - np.arange(5))
    expected = scores - distance * np.array(six)[:, None, None]
    close(nn.ALiBi()(mx.array(scores), offset=2), expected)
    close(nn.ALiBi()(mx.array(scores), 2, mx.array(mask)), expected + mask)
    assert nn.ALiBi.create_alibi_matrix(5, 7, 6, 2, mx.float16).shape == (1, 6, 3, 7)


# -- recurrent layers -----------------------------------------------------------------------


def steps(x, one, *state):
    outputs = []
    for i in range(x.shape[-2]):
        state = one(x[..., i, :], *state)
        outputs.append(state)
    return [np.stack(s, -2) for s in zip(*outputs, strict=True)]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("batch", [(), (2,)])
@pytest.mark.parametrize("given", [False, True])
def test_rnn(bias, batch, given):
    layer = nn.RNN(3, 4, bias=bias)
    w, x = weights(layer), normal(*batch, 5, 3)
    h = normal(*batch, 4) if given else np.zeros((*batch, 4), np.float32)

    def one(x, h):
        return (np.tanh(x @ w["Wxh"].T + h @ w["Whh"].T + w.get("bias", 0)),)

    (expected,) = steps(x, one, h)
    close(layer(mx.array(x), mx.array(h)) if given else layer(mx.array(x)), expected)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("batch", [(), (2,)])
@pytest.mark.parametrize("given", [False, True])
def test_lstm(bias, batch, given):
    layer = nn.LSTM(3, 4, bias=bias)
    w, x = weights(layer), normal(*batch, 5, 3)
    h, c = normal(*batch, 4) * given, normal(*batch, 4) * given

    def one(x, h, c):
        gates = x @ w["Wx"].T + h @ w["Wh"].T + w.get("bias", 0)
        i, f, g, o = np.split(gates, 4, -1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c

    hiddens, cells = steps(x, one, h, c)
    state = (mx.array(h), mx.array(c)) if given else ()
    found = layer(mx.array(x), *state)
    close(found[0], hiddens)
    close(found[1], cells)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("batch", [(), (2,)])
@pytest.mark.parametrize("given", [False, True])
def test_gru(bias, batch, given):
    layer = nn.GRU(3, 4, bias=bias)
    w, x = weights(layer), normal(*batch, 5, 3)
    assert ("b" in w, "bhn" in w) == (bias, bias)
    h = normal(*batch, 4) * given

    def one(x, h):
        xr, xz, xn = np.split(x @ w["Wx"].T + w.get("b", 0), 3, -1)
        hr, hz, hn = np.split(h @ w["Wh"].T, 3, -1)
        r, z = sigmoid(xr + hr), sigmoid(xz + hz)
        n = np.tanh(xn + r * (hn + w.get("bhn", 0)))
        return ((1 - z) * n + z * h,)

    (expected,) = steps(x, one, h)
    close(layer(mx.array(x), mx.array(h)) if given else layer(mx.array(x)), expected)


def test_recurrent_layers_print_and_check():
    assert repr(nn.LSTM(3, 4)) == "LSTM(input_dims=3, hidden_size=4, bias=True)"
    assert repr(nn.GRU(3, 4, bias=False)) == "GRU(input_dims=3, hidden_size=4, bias=False)"
    assert "nonlinearity=tanh" in repr(nn.RNN(3, 4))
    x = mx.array(normal(2, 5, 3))
    assert (nn.RNN(3, 4, nonlinearity=nn.relu)(x) >= 0).all().item()
    with pytest.raises(ValueError, match="nonlinearity must be callable, but is 3"):
        nn.RNN(3, 4, nonlinearity=3)


@pytest.mark.parametrize("shape", [(3,), (0, 3), (2, 0, 3)])
def test_recurrent_layers_need_a_sequence(shape):
    for layer in (nn.RNN(3, 4), nn.GRU(3, 4), nn.LSTM(3, 4)):
        with pytest.raises(ValueError, match="at least one step, but its shape is"):
            layer(mx.zeros(shape))


def test_gradients_pass_through_all_steps():
    for layer in (nn.RNN(3, 4), nn.GRU(3, 4), nn.LSTM(3, 4)):

        def last(x):
            y = layer(x)  # noqa: B023
            return (y[0] if isinstance(y, tuple) else y)[-1].sum()

        assert (np.abs(np.array(mx.grad(last)(mx.array(normal(5, 3))))) > 0).all()


# -- transformers ---------------------------------------------------------------------------


def layer_norm(x, w, name):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return x * w[f"{name}.weight"] + w[f"{name}.bias"]


def linear(x, w, name):
    return x @ w[f"{name}.weight"].T + w.get(f"{name}.bias", 0)


def attention(q, k, v, w, name, heads, mask=0.0):
    q, k, v = (
        linear(x, w, f"{name}{part}_proj") for x, part in [(q, "query"), (k, "key"), (v, "value")]
    )
    q, k, v = (x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3) for x in (q, k, v))
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1]) + mask
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    y = scores / scores.sum(-1, keepdims=True) @ v
    y = y.transpose(0, 2, 1, 3)
    return linear(y.reshape(*y.shape[:2], -1), w, f"{name}out_proj")


def perceptron(x, w, name):
    return linear(np.maximum(linear(x, w, f"{name}linear1"), 0), w, f"{name}linear2")


def encoder_layer(x, w, name, heads, norm_first, mask=0.0):
    def attend(x):
        return attention(x, x, x, w, f"{name}attention.", heads, mask)

    if norm_first:
        x = x + attend(layer_norm(x, w, f"{name}ln1"))
        return x + perceptron(layer_norm(x, w, f"{name}ln2"), w, name)
    x = layer_norm(x + attend(x), w, f"{name}ln1")
    return layer_norm(x + perceptron(x, w, name), w, f"{name}ln2")


def decoder_layer(x, memory, w, name, heads, norm_first, mask=0.0):
    def attend(x):
        return attention(x, x, x, w, f"{name}self_attention.", heads, mask)

    def attend_to(x):
        return attention(x, memory, memory, w, f"{name}cross_attention.", heads)

    if norm_first:
        x = x + attend(layer_norm(x, w, f"{name}ln1"))
        x = x + attend_to(layer_norm(x, w, f"{name}ln2"))
        return x + perceptron(layer_norm(x, w, f"{name}ln3"), w, name)
    x = layer_norm(x + attend(x), w, f"{name}ln1")
    x = layer_norm(x + attend_to(x), w, f"{name}ln2")
    return layer_norm(x + perceptron(x, w, name), w, f"{name}ln3")


CAUSAL = np.triu(np.full((5, 5), -1e9, np.float32), 1)


@pytest.mark.parametrize("bias", [False, True])
def test_multi_head_attention(bias):
    layer = nn.MultiHeadAttention(
        8, 2, query_input_dims=3, key_input_dims=4, value_input_dims=5, value_dims=6,
        value_output_dims=7, bias=bias,
    )  # fmt: skip
    w = weights(layer)
    q, k, v = normal(2, 5, 3), normal(2, 6, 4), normal(2, 6, 5)
    close(layer(*map(mx.array, (q, k, v))), attention(q, k, v, w, "", 2))


def test_masks_of_attention():
    layer = nn.MultiHeadAttention(8, 2)
    w, x = weights(layer), normal(2, 5, 8)
    expected = attention(x, x, x, w, "", 2, CAUSAL)
    a = mx.array(x)
    additive = nn.MultiHeadAttention.create_additive_causal_mask(5)
    for mask in (mx.array(CAUSAL), mx.array(CAUSAL == 0), "causal", additive):
        close(layer(a, a, a, mask), expected)


def test_additive_causal_mask():
    mask = nn.MultiHeadAttention.create_additive_causal_mask(3, mx.float16)
    assert mask.dtype == mx.float16
    low = float(np.finfo(np.float16).min)
    assert mask.tolist() == [[0.0, low, low], [0.0, 0.0, low], [0.0, 0.0, 0.0]]


def test_attention_needs_heads_that_divide():
    with pytest.raises(ValueError, match=r"5 features of queries and keys .* among 2 heads"):
        nn.MultiHeadAttention(5, 2)
    with pytest.raises(ValueError, match="3 of values can't be divided"):
        nn.MultiHeadAttention(4, 2, value_dims=3)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("checkpoint", [False, True])
def test_transformer(norm_first, checkpoint):
    model = nn.Transformer(8, 2, 2, 2, mlp_dims=12, norm_first=norm_first, checkpoint=checkpoint)
    w = weights(model)
    src, tgt = normal(2, 6, 8), normal(2, 5, 8)
    memory = src
    for i in range(2):
        memory = encoder_layer(memory, w, f"encoder.layers.{i}.", 2, norm_first)
    memory = layer_norm(memory, w, "encoder.ln")
    y = tgt
    for i in range(2):
        y = decoder_layer(y, memory, w, f"decoder.layers.{i}.", 2, norm_first, CAUSAL)
    y = layer_norm(y, w, "decoder.ln")
    close(model(mx.array(src), mx.array(tgt), None, mx.array(CAUSAL), None), y, 1e-4)


def test_transformer_with_parts_of_ones_own():
    class Same(nn.Module):
        def __call__(self, x, *others):
            return x

    model = nn.Transformer(8, 2, custom_encoder=Same(), custom_decoder=Same())
    x = mx.ones((1, 2, 8))
    assert model(x, x, None, None, None) is x
    assert model.parameters() == {"encoder": {}, "decoder": {}}


def test_dropout_and_activation_of_a_transformer():
    layer = nn.TransformerEncoderLayer(8, 2, dropout=0.5, activation=nn.gelu)
    x = mx.array(normal(2, 5, 8))
    assert not mx.array_equal(layer(x, None), layer(x, None)).item()
    layer.eval()
    assert mx.array_equal(layer(x, None), layer(x, None)).item()
    assert layer.linear1.weight.shape == (32, 8)
