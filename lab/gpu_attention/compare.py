"""Attention on a GPU: Legato beside PyTorch's scaled_dot_product_attention, with each of its kernels.

Run where both are installed: python lab/gpu_attention/compare.py. Medians in microseconds; before a shape is timed
the first rows of the result are compared with float64. Legato's times are those of the host's clock around an
evaluation that is waited for, PyTorch's of events, so Legato's carry the cost of one call.
"""

import contextlib
import statistics
import time

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

import legato.core as lg

# batch, heads, queries, keys, width of a head
SHAPES = [
    (16, 5, 4096, 4096, 64),
    (1, 5, 4096, 4096, 64),
    (16, 8, 4096, 4096, 40),
    (1, 8, 4096, 4096, 40),
    (16, 5, 4096, 77, 64),
    (16, 8, 4096, 77, 40),
    (4, 16, 4096, 4096, 128),
]
KERNELS = {
    "default": None,
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
}


def torch_us(f, repeats=15):
    for _ in range(3):
        f()
    times = []
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        f()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) * 1e3)
    return statistics.median(times)


def legato_us(f, repeats=15):
    for _ in range(3):
        lg.eval(f())
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        lg.eval(f())
        times.append((time.perf_counter() - start) * 1e6)
    return statistics.median(times)


def error_of(y, q, k, v, scale):
    """The largest error of the first rows of the first head."""
    q, k, v = (np.array(a[0, 0].astype(lg.float32)).astype(np.float64) for a in (q, k, v))
    scores = q[:8] @ k.T * scale
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    right = weights / weights.sum(-1, keepdims=True) @ v
    return np.abs(np.array(y[0, 0, :8].astype(lg.float32)) - right).max()


def measure_legato(batch, heads, queries, keys, width):
    def some(n):
        return lg.random.normal((batch, n, heads, width)).astype(lg.float16).swapaxes(1, 2)

    def attend(q, k, v):
        return lg.fast.scaled_dot_product_attention(q, k, v, scale=width**-0.5)

    q, k, v, g = some(queries), some(keys), some(keys), some(queries)
    lg.eval(q, k, v, g)
    error = error_of(attend(q, k, v), q, k, v, width**-0.5)
    forward = legato_us(lambda: attend(q, k, v))
    both = legato_us(lambda: lg.vjp(attend, [q, k, v], [g])[1])
    return f"legato {forward:.0f}, {both:.0f} (error {error:.1e})"


def measure_torch(name, batch, heads, queries, keys, width):
    def some(n):
        return torch.randn(batch, n, heads, width, device="cuda", dtype=torch.half).transpose(1, 2)

    sdpa = torch.nn.functional.scaled_dot_product_attention
    q, k, v = (some(n).requires_grad_() for n in (queries, keys, keys))
    g = some(queries)
    kernel = KERNELS[name]
    with sdpa_kernel(kernel) if kernel is not None else contextlib.nullcontext():
        with torch.no_grad():
            forward = torch_us(lambda: sdpa(q, k, v))
        both = torch_us(lambda: torch.autograd.grad(sdpa(q, k, v), [q, k, v], g))
    return f"{name} {forward:.0f}, {both:.0f}"


def main():
    lg.set_default_device(lg.gpu)
    print(torch.cuda.get_device_name(), "PyTorch", torch.__version__)
    print("batch, heads, queries, keys, width: forward, forward with gradients")
    for shape in SHAPES:
        results = [measure_legato(*shape)]
        for name in KERNELS:
            try:
                results.append(measure_torch(name, *shape))
            except RuntimeError:  # the kernel does not take the shape
                results.append(f"{name} refuses")
        print(f"{shape}: " + "; ".join(results), flush=True)


if __name__ == "__main__":
    main()
