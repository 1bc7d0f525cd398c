"""What a call costs where there is hardly any arithmetic: nodes, tiny ops, chains, transforms."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np

from frameworks import Framework, MissingError
from harness import OURS, Bar, Row, at_most, mlx_like

BUILD = Path(__file__).resolve().parents[2] / "build" / "release"
SMALL = np.linspace(0.1, 1.0, 8, dtype=np.float32)
CHAIN = 100


def rows() -> list[Row]:
    return [*cpp_rows(), *build_rows(), *tiny_rows(), *transform_rows()]


def cpp_row(name: str, key: str, most: float) -> Row:
    """A number from benchmarks/cpp/nodes.cpp, which prints {"key": nanoseconds, ...}."""

    def ours(_: Framework):
        program = BUILD / "bench_nodes"
        if not program.exists():
            raise MissingError("benchmarks/cpp/nodes.cpp is not built")

        def read() -> float:
            done = subprocess.run(
                [str(program)], capture_output=True, text=True, timeout=120, check=True
            )
            values = json.loads(done.stdout)
            if key not in values:
                raise MissingError(f"bench_nodes does not print {key}")
            return float(values[key])

        return read

    return Row(name, "node costs in C++", {OURS: ours}, (Bar(most),), unit="ns", repeats=3)


def cpp_rows() -> list[Row]:
    return [
        cpp_row("bind a node", "bind", 60),
        cpp_row("evaluate a tiny node", "eval_tiny", 300),
    ]


def build_rows() -> list[Row]:
    """Building a node from Python, without evaluating it."""
    group = "node costs from Python"

    def add(mx, f: Framework):
        a, b = f.array(SMALL), f.array(SMALL)
        return lambda: a + b

    def softmax(mx, f: Framework):
        a = f.array(SMALL)
        function = mx.softmax
        return lambda: function(a, axis=-1)

    return [
        Row("a + b, not evaluated", group, mlx_like(add), (Bar(250e-9),)),
        Row("softmax(a, axis=-1), not evaluated", group, mlx_like(softmax), (Bar(400e-9),)),
    ]


def chain(x, one):
    """100 small ops that a compiler cannot fold into fewer."""
    for _ in range(CHAIN // 2):
        x = x * one
        x = x + one
    return x


def tiny_rows() -> list[Row]:
    group = "tiny arrays"

    def add_mx(mx, f: Framework):
        a, b = f.array(SMALL), f.array(SMALL)
        return lambda: mx.eval(a + b)

    def add_numpy(f: Framework):
        a, b = f.array(SMALL), f.array(SMALL)
        return lambda: a + b

    def add_jit(f: Framework):
        import jax

        a, b = f.array(SMALL), f.array(SMALL)
        add = jax.jit(lambda a, b: a + b)
        return lambda: add(a, b).block_until_ready()

    def chain_mx(mx, f: Framework):
        a, one = f.array(SMALL), f.array(SMALL)
        return lambda: mx.eval(chain(a, one))

    def chain_eager(f: Framework):
        a, one = f.array(SMALL), f.array(SMALL)
        return lambda: chain(a, one)

    def chain_compiled(mx, f: Framework):
        a, one = f.array(SMALL), f.array(SMALL)
        function = mx.compile(chain)
        return lambda: mx.eval(function(a, one))

    def chain_jit(f: Framework):
        import jax

        a, one = f.array(SMALL), f.array(SMALL)
        function = jax.jit(chain)
        return lambda: function(a, one).block_until_ready()

    peers = {"torch": add_numpy, "numpy": add_numpy, "jax.jit": add_jit}
    return [
        Row("a + b, evaluated", group, {**mlx_like(add_mx), **peers}, (Bar(1e-6),)),
        Row(
            "a chain of 100",
            group,
            {**mlx_like(chain_mx), "torch": chain_eager, "numpy": chain_eager},
            (at_most(0.5, "torch"),),
        ),
        Row(
            "a chain of 100, fusion off",
            group,
            {OURS: lambda f: without_fusion(f, chain_mx), "torch": chain_eager},
            (at_most(0.5, "torch"),),
        ),
        Row(
            "a chain of 100, compiled",
            group,
            {**mlx_like(chain_compiled), "jax.jit": chain_jit},
            (at_most(1.0, "jax.jit"),),
        ),
    ]


def without_fusion(f: Framework, build):
    """The same callable with the evaluator's fusion turned off around each call."""
    import importlib

    off = getattr(importlib.import_module("legato"), "fusion", None)
    if off is None:
        raise MissingError("legato.fusion(False), the context that turns fusion off")
    run = build(f.module, f)

    def unfused():
        with off(False):
            run()

    return unfused


def transform_rows() -> list[Row]:
    group = "transforms of tiny functions, eager"

    def grad(mx, f: Framework):
        a = f.array(SMALL)
        function = mx.grad(lambda x: (mx.tanh(x * x) * x).sum())
        return lambda: mx.eval(function(a))

    def grad_torch(f: Framework):
        a = f.array(SMALL).requires_grad_()

        def run():
            (g,) = f.module.autograd.grad((f.module.tanh(a * a) * a).sum(), a)
            return g

        return run

    def grad_jax(f: Framework):
        import jax

        a = f.array(SMALL)
        function = jax.grad(lambda x: (f.module.tanh(x * x) * x).sum())
        return lambda: function(a).block_until_ready()

    def vmap(mx, f: Framework):
        a = f.array(np.stack([SMALL] * 4))
        function = mx.vmap(lambda x: mx.tanh(x * x) * x)
        return lambda: mx.eval(function(a))

    def vmap_torch(f: Framework):
        a = f.array(np.stack([SMALL] * 4))
        function = f.module.vmap(lambda x: f.module.tanh(x * x) * x)
        return lambda: function(a)

    def vmap_jax(f: Framework):
        import jax

        a = f.array(np.stack([SMALL] * 4))
        function = jax.vmap(lambda x: f.module.tanh(x * x) * x)
        return lambda: function(a).block_until_ready()

    bars = (at_most(0.5, "mlx"),)
    return [
        Row(
            "grad of sum(tanh(x·x)·x)",
            group,
            {**mlx_like(grad), "torch": grad_torch, "jax": grad_jax},
            bars,
        ),
        Row(
            "vmap of tanh(x·x)·x",
            group,
            {**mlx_like(vmap), "torch": vmap_torch, "jax": vmap_jax},
            bars,
        ),
    ]
