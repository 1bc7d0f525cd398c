"""Training steps of whole models: forward, backward and an Adam update.

Each framework gets the program that its users would write: Legato, MLX and JAX functions of a list of parameters,
PyTorch its modules and its own optimizer. Legato, MLX and JAX compile the step.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from frameworks import Framework
from harness import OURS, Row, at_most, mlx_like

RATE, B1, B2, EPS = 1e-3, 0.9, 0.999, 1e-8
BARS = (at_most(1 / 1.3, "torch"), at_most(1.0, "torch.compile", "jax.jit"))


def rows() -> list[Row]:
    return [mlp(), cnn()]


def adam(parameters, gradients, first, second, sqrt):
    """New parameters and moments; the bias correction is left out in every framework but PyTorch."""
    first = [B1 * m + (1 - B1) * g for m, g in zip(first, gradients, strict=True)]
    second = [B2 * v + (1 - B2) * (g * g) for v, g in zip(second, gradients, strict=True)]
    moved = [
        p - RATE * m / (sqrt(v) + EPS) for p, m, v in zip(parameters, first, second, strict=True)
    ]
    return moved, first, second


def functional(
    loss: Callable, arrays: list[np.ndarray], x: np.ndarray, y: np.ndarray, compiled: bool
):
    """A step for Legato and MLX: state goes in and comes out as lists."""

    def make(mx, f: Framework):
        parameters = [f.array(array) for array in arrays]
        state = [parameters, [p * 0 for p in parameters], [p * 0 for p in parameters]]
        inputs, labels = f.array(x), f.array(y)
        gradient = mx.value_and_grad(lambda parameters, x, y: loss(mx, parameters, x, y))

        def update(state, x, y):
            value, gradients = gradient(state[0], x, y)
            return value, list(adam(state[0], gradients, state[1], state[2], mx.sqrt))

        step = mx.compile(update) if compiled else update

        def run():
            value, state[:] = step(state, inputs, labels)
            mx.eval(value, state)

        return run

    return make


def jax_step(loss: Callable, arrays: list[np.ndarray], x: np.ndarray, y: np.ndarray):
    def make(f: Framework):
        import jax

        parameters = [f.array(array) for array in arrays]
        state = [parameters, [p * 0 for p in parameters], [p * 0 for p in parameters]]
        inputs, labels = f.array(x), f.array(y)

        @jax.jit
        def step(state, x, y):
            value, gradients = jax.value_and_grad(lambda p: loss(p, x, y))(state[0])
            return value, list(adam(state[0], gradients, state[1], state[2], f.module.sqrt))

        def run():
            value, state[:] = step(state, inputs, labels)
            jax.block_until_ready((value, state))

        return run

    return make


def torch_step(model_of: Callable, x: np.ndarray, y: np.ndarray, compiled: bool):
    def make(f: Framework):
        torch = f.module
        torch.manual_seed(0)
        model = model_of(torch)
        optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
        channels_first = x.transpose(0, 3, 1, 2) if x.ndim == 4 else x
        inputs, labels = (
            torch.from_numpy(channels_first.copy()),
            torch.from_numpy(y.astype(np.int64)),
        )
        forward = torch.compile(model) if compiled else model

        def run():
            optimizer.zero_grad()
            value = torch.nn.functional.cross_entropy(forward(inputs), labels)
            value.backward()
            optimizer.step()
            return value

        return run

    return make


def cross_entropy(mx, logits, y):
    picked = mx.take_along_axis(logits, y[:, None], axis=-1)[:, 0]
    return (mx.logsumexp(logits, axis=-1) - picked).mean()


def jax_cross_entropy(logits, y):
    import jax

    picked = jax.numpy.take_along_axis(logits, y[:, None], axis=-1)[:, 0]
    return (jax.nn.logsumexp(logits, axis=-1) - picked).mean()


def row(name: str, lazy_loss, jax_loss, model, arrays, x, y) -> Row:
    contenders = {
        **mlx_like(functional(lazy_loss, arrays, x, y, compiled=False)),
        "torch": torch_step(model, x, y, compiled=False),
        "torch.compile": torch_step(model, x, y, compiled=True),
        "jax.jit": jax_step(jax_loss, arrays, x, y),
    }
    compiled = functional(lazy_loss, arrays, x, y, compiled=True)
    contenders[OURS] = lambda f: compiled(f.module, f)
    contenders["mlx.compile"] = lambda f: compiled(f.module, f)
    return Row(name, "training steps, float32", contenders, BARS)


def mlp() -> Row:
    """784 - 256 - 256 - 10 with ReLU, batch 128."""
    rng = np.random.default_rng(0)
    widths = (784, 256, 256, 10)
    arrays: list[np.ndarray] = []
    for fan_in, fan_out in itertools.pairwise(widths):
        arrays.append((rng.normal(size=(fan_in, fan_out)) / fan_in**0.5).astype(np.float32))
        arrays.append(np.zeros(fan_out, np.float32))
    x = rng.normal(size=(128, 784)).astype(np.float32)
    y = rng.integers(0, 10, 128).astype(np.int32)

    def forward(maximum, p, x):
        for layer in range(0, len(p) - 2, 2):
            x = maximum(x @ p[layer] + p[layer + 1], 0.0)
        return x @ p[-2] + p[-1]

    def model(torch):
        nn = torch.nn
        layers = [
            nn.Linear(784, 256),
            nn.ReLU(),
            nn.Linear(256, 256),
            nn.ReLU(),
            nn.Linear(256, 10),
        ]
        return nn.Sequential(*layers)

    def jax_loss(p, x, y):
        import jax

        return jax_cross_entropy(forward(jax.numpy.maximum, p, x), y)

    return row(
        "MLP 784-256-256-10, batch 128",
        lambda mx, p, x, y: cross_entropy(mx, forward(mx.maximum, p, x), y),
        jax_loss,
        model,
        arrays,
        x,
        y,
    )


def cnn() -> Row:
    """Two 3x3 convolutions with stride 2 and a linear layer on 28x28 images, batch 64."""
    rng = np.random.default_rng(0)
    arrays = [
        (rng.normal(size=(16, 3, 3, 1)) / 3).astype(np.float32),
        np.zeros(16, np.float32),
        (rng.normal(size=(32, 3, 3, 16)) / 12).astype(np.float32),
        np.zeros(32, np.float32),
        (rng.normal(size=(7 * 7 * 32, 10)) / 40).astype(np.float32),
        np.zeros(10, np.float32),
    ]
    x = rng.normal(size=(64, 28, 28, 1)).astype(np.float32)
    y = rng.integers(0, 10, 64).astype(np.int32)

    def forward(conv, maximum, p, x):
        x = maximum(conv(x, p[0]) + p[1], 0.0)
        x = maximum(conv(x, p[2]) + p[3], 0.0)
        return x.reshape(64, -1) @ p[4] + p[5]

    def lazy_loss(mx, p, x, y):
        return cross_entropy(
            mx, forward(lambda x, w: mx.conv2d(x, w, stride=2, padding=1), mx.maximum, p, x), y
        )

    def jax_loss(p, x, y):
        import jax

        def conv(x, w):
            layout = ("NHWC", "OHWI", "NHWC")
            return jax.lax.conv_general_dilated(
                x, w, (2, 2), [(1, 1)] * 2, dimension_numbers=layout
            )

        return jax_cross_entropy(forward(conv, jax.numpy.maximum, p, x), y)

    def model(torch):
        nn = torch.nn
        first = nn.Conv2d(1, 16, 3, stride=2, padding=1)
        second = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), nn.Linear(1568, 10))

    return row("CNN on 28x28, batch 64", lazy_loss, jax_loss, model, arrays, x, y)
