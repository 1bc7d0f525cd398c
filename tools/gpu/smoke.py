"""One small computation through each part of the GPU backend, against NumPy. The first thing to run on a new device."""

import sys

import numpy as np

import legato.core as lg

rng = np.random.default_rng(0)
failures = 0


def same(name, got, want, rtol=1e-5, atol=1e-6):
    global failures
    try:
        np.testing.assert_allclose(np.array(got), want, rtol=rtol, atol=atol)
        print(f"right  {name}")
    except Exception as e:
        failures += 1
        print(f"WRONG  {name}: {type(e).__name__}: {e}")


def main():
    if not lg.is_available(lg.gpu):
        print("no GPU: python -m legato info says why")
        return 2
    lg.set_default_device(lg.gpu)
    a = rng.standard_normal((60, 70, 33)).astype(np.float32)
    b = rng.standard_normal((70, 33)).astype(np.float32)
    x, y = lg.array(a), lg.array(b)
    same("copy to and from the device", x + 0, a)
    same("program, dense", lg.tanh(x * 2 + 1), np.tanh(a * 2 + 1))
    same("program, broadcast", x * y, a * b)
    same("program, transposed", x.transpose(2, 0, 1) + 1, a.transpose(2, 0, 1) + 1)
    same("program, reversed", x[::-1, ::2, 1:] - 1, a[::-1, ::2, 1:] - 1)
    for dtype in (np.float16, np.float64, np.int8, np.uint32, np.int64, np.complex64):
        v = (a[0] * 5).astype(dtype)
        same(f"program, {dtype.__name__}", lg.array(v) * lg.array(v), v * v, rtol=2e-3)
    same("transposing copy", lg.contiguous(x.transpose(2, 1, 0)), a.transpose(2, 1, 0))
    same("concatenate", lg.concatenate([x, x], axis=1), np.concatenate([a, a], axis=1))
    for axis in (0, 1, 2, (0, 2), None):
        same(
            f"sum over {axis}",
            lg.sum(x, axis=axis),
            a.sum(axis=axis, dtype=np.float64),
            rtol=1e-4,
            atol=1e-3,
        )
        same(f"max over {axis}", lg.max(x, axis=axis), a.max(axis=axis))
    same("argmax", lg.argmax(x, axis=1), a.argmax(axis=1))
    e = np.exp(a - a.max(-1, keepdims=True))
    same("softmax", lg.softmax(x, axis=-1), e / e.sum(-1, keepdims=True))
    i = rng.integers(-60, 60, (11, 2))
    same("take", lg.take(x, lg.array(i), axis=0), a[i])
    want = a.copy()
    np.add.at(want, i.ravel(), 1)
    same("scatter-add", x.at[lg.array(i.ravel())].add(1), want)
    same("matmul", x @ y.T, a @ b.T, rtol=1e-3, atol=1e-3)
    same("arange", lg.arange(1000), np.arange(1000))
    key = lg.random.key(7)
    on_gpu = np.array(lg.random.uniform(shape=(1001,), key=key))
    with lg.stream(lg.cpu):
        on_cpu = np.array(lg.random.uniform(shape=(1001,), key=key))
    same("random numbers as on the CPU, to the bit", on_gpu, on_cpu, rtol=0, atol=0)
    try:
        np.array(lg.take(x, lg.array([60]), axis=0))
        same("index out of range", 1, 0)
    except IndexError:
        print("right  index out of range")
    g = lg.grad(lambda v: lg.sum(lg.softmax(v @ y.T, axis=-1) ** 2))(x)
    with lg.stream(lg.cpu):
        on_cpu = np.array(lg.grad(lambda v: lg.sum(lg.softmax(v @ y.T, axis=-1) ** 2))(lg.array(a)))
    same("gradient as on the CPU", g, on_cpu, rtol=1e-3, atol=1e-4)
    print(f"{failures} wrong")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
