"""Softmax and normalisations, as single calls."""

from __future__ import annotations

import importlib

import numpy as np

from frameworks import Framework
from harness import Row, at_most, mlx_like

SHAPES = ((256, 128), (1024, 1024), (4096, 1024))
GROUPS = 8
IMAGES = ((8, 28, 28, 64), (64, 8, 8, 128))  # NHWC
BARS = (at_most(1.0, "numpy", "torch", "jax.jit", "mlx"),)
EPS = 1e-5


def rows() -> list[Row]:
    rng = np.random.default_rng(0)
    found = []
    for shape in SHAPES:
        x = rng.normal(size=shape).astype(np.float32)
        w, b = (rng.normal(size=shape[-1:]).astype(np.float32) for _ in range(2))
        size = "x".join(map(str, shape))
        for name, makers in (
            ("softmax", softmax(x)),
            ("layer norm", layer_norm(x, w, b)),
            ("rms norm", rms(x, w)),
        ):
            found.append(
                Row(f"{name} {size}", "norms, float32", makers, BARS, work=(8.0 * x.size, "B"))
            )
    for image in IMAGES:
        x = rng.normal(size=image).astype(np.float32)
        makers = group_norm(x)
        size = "x".join(map(str, image))
        found.append(
            Row(f"group norm {size}", "norms, float32", makers, BARS, work=(8.0 * x.size, "B"))
        )
    return found


def jitted(program, arrays):
    def make(f: Framework):
        import jax

        mine = [f.array(array) for array in arrays]
        function = jax.jit(lambda *given: program(jax, f.module, *given))
        return lambda: function(*mine).block_until_ready()

    return make


def softmax(x):
    def lazy(mx, f: Framework):
        mine = f.array(x)
        return lambda: mx.eval(mx.softmax(mine, axis=-1))

    def torch(f: Framework):
        mine = f.array(x)
        return lambda: f.module.softmax(mine, -1)

    jit = jitted(lambda jax, jnp, a: jax.nn.softmax(a, axis=-1), [x])
    return {**mlx_like(lazy), "torch": torch, "jax.jit": jit}


def layer_norm(x, w, b):
    def lazy(mx, f: Framework):
        mine = [f.array(array) for array in (x, w, b)]
        return lambda: mx.eval(mx.fast.layer_norm(*mine, EPS))

    def torch(f: Framework):
        mine = [f.array(array) for array in (x, w, b)]
        function = f.module.nn.functional.layer_norm
        return lambda: function(mine[0], w.shape, mine[1], mine[2], EPS)

    def program(jax, jnp, a, w, b):
        mean = a.mean(-1, keepdims=True)
        var = ((a - mean) ** 2).mean(-1, keepdims=True)
        return (a - mean) * jax.lax.rsqrt(var + EPS) * w + b

    return {**mlx_like(lazy), "torch": torch, "jax.jit": jitted(program, [x, w, b])}


def rms(x, w):
    def lazy(mx, f: Framework):
        mine = [f.array(array) for array in (x, w)]
        return lambda: mx.eval(mx.fast.rms_norm(*mine, EPS))

    def torch(f: Framework):
        mine = [f.array(array) for array in (x, w)]
        function = f.module.nn.functional.rms_norm
        return lambda: function(mine[0], w.shape, mine[1], EPS)

    def program(jax, jnp, a, w):
        return a * jax.lax.rsqrt((a * a).mean(-1, keepdims=True) + EPS) * w

    return {**mlx_like(lazy), "torch": torch, "jax.jit": jitted(program, [x, w])}


def group_norm(x):
    def lazy(mx, f: Framework):
        nn = importlib.import_module("legato.nn" if f.name == "legato" else "mlx.nn")
        norm = nn.GroupNorm(GROUPS, x.shape[-1], pytorch_compatible=True)
        mine = f.array(x)
        return lambda: mx.eval(norm(mine))

    def torch(f: Framework):
        norm = f.module.nn.GroupNorm(GROUPS, x.shape[-1])
        mine = f.array(x.transpose(0, 3, 1, 2))  # its own layout
        no_grad = f.module.no_grad()

        def run():
            with no_grad:
                return norm(mine)

        return run

    def program(jax, jnp, a):
        n, h, w, c = a.shape
        g = a.reshape(n, h * w, GROUPS, c // GROUPS)
        mean = g.mean((1, 3), keepdims=True)
        var = ((g - mean) ** 2).mean((1, 3), keepdims=True)
        return ((g - mean) * jax.lax.rsqrt(var + EPS)).reshape(a.shape)

    return {**mlx_like(lazy), "torch": torch, "jax.jit": jitted(program, [x])}
