"""Attention on a GPU: Legato beside PyTorch's scaled_dot_product_attention, with each of its kernels.

Run where both are installed: python lab/gpu_attention/compare.py. Medians in microseconds; before a shape is timed
the result and the gradients of its last head are compared with float32 (the error is relative to the root of the mean
square). Legato's times are those of the host's clock around an evaluation that is waited for, PyTorch's of events, so
Legato's carry the cost of one call. Words among the arguments name PyTorch's kernels, none: all of them; a word that
is none of them chooses rows whose mask it names.
"""

import contextlib
import statistics
import sys
import time

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

import legato.core as lg

# batch, heads, queries, keys, width of a head, mask: of all queries and keys, added in float16 or bool ("kept"), or
# bool, of the keys of each batch ("padding")
SHAPES = [
    (16, 5, 4096, 4096, 64, None),
    (1, 5, 4096, 4096, 64, None),
    (16, 8, 4096, 4096, 40, None),
    (1, 8, 4096, 4096, 40, None),
    (16, 8, 1024, 1024, 80, None),
    (16, 8, 256, 256, 160, None),
    (16, 5, 4096, 77, 64, None),
    (16, 8, 4096, 77, 40, None),
    (4, 16, 4096, 4096, 128, None),
    (4, 16, 4096, 4096, 128, "causal"),
    (16, 5, 4096, 4096, 64, "added"),
    (16, 5, 4096, 4096, 64, "kept"),
    (16, 5, 4096, 4096, 64, "padding"),
    (4, 16, 4096, 4096, 128, "added"),
    (4, 16, 4096, 4096, 128, "kept"),
    (4, 16, 4096, 4096, 128, "padding"),
    (16, 12, 509, 509, 64, "padding"),
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


def last_head(a):
    return np.array(a[-1, -1].astype(lg.float32))


def right(q, k, v, g, scale, mask):
    """The result and the gradients of one head."""
    scores = q @ k.T * scale
    if isinstance(mask, str):
        scores += np.triu(np.full(scores.shape, -np.inf, np.float32), 1)
    elif mask is not None and mask.dtype == bool:
        scores = np.where(mask, scores, -np.inf)
    elif mask is not None:
        scores += mask
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    y, d = weights @ v, g @ v.T
    d = weights * (d - (y * g).sum(-1, keepdims=True)) * scale
    return y, d @ k, d.T @ q, weights.T @ g


def made_mask(batch, queries, keys, mask):
    rng = np.random.default_rng(0)
    if mask == "added":
        return rng.standard_normal((queries, keys)).astype(np.float16)
    if mask == "kept":
        return rng.random((queries, keys)) > 0.3
    if mask == "padding":
        return np.arange(keys) < rng.integers(keys // 2, keys, (batch, 1, 1, 1))
    return None


def measure_legato(batch, heads, queries, keys, width, mask):
    def some(n):
        return lg.random.normal((batch, n, heads, width)).astype(lg.float16).swapaxes(1, 2)

    def attend(q, k, v):
        return lg.fast.scaled_dot_product_attention(q, k, v, scale=width**-0.5, mask=given)

    q, k, v, g = some(queries), some(keys), some(keys), some(queries)
    made = made_mask(batch, queries, keys, mask)
    given = mask if made is None else lg.array(made)
    known = mask if made is None else made if made.ndim == 2 else made[-1, 0]
    if known is not None and not isinstance(known, str) and known.dtype != bool:
        known = known.astype(np.float32)
    lg.eval(q, k, v, g)
    y, grads = lg.vjp(attend, [q, k, v], [g])
    expected = right(*(last_head(a) for a in (q, k, v, g)), width**-0.5, known)
    errors = [
        np.abs(last_head(a) - b).max() / np.sqrt((b**2).mean())
        for a, b in zip([y[0], *grads], expected, strict=True)
    ]
    forward = legato_us(lambda: attend(q, k, v))
    both = legato_us(lambda: lg.vjp(attend, [q, k, v], [g])[1])
    return f"legato {forward:.0f}, {both:.0f} (errors {' '.join(f'{e:.4f}' for e in errors)})"


def measure_torch(name, batch, heads, queries, keys, width, mask):
    def some(n):
        return torch.randn(batch, n, heads, width, device="cuda", dtype=torch.half).transpose(1, 2)

    q, k, v = (some(n).requires_grad_() for n in (queries, keys, keys))
    g = some(queries)
    made = made_mask(batch, queries, keys, mask)
    given = None if made is None else torch.from_numpy(made).cuda()

    def sdpa(q, k, v):
        return torch.nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=given, is_causal=mask == "causal"
        )

    kernel = KERNELS[name]
    with sdpa_kernel(kernel) if kernel is not None else contextlib.nullcontext():
        with torch.no_grad():
            forward = torch_us(lambda: sdpa(q, k, v))
        both = torch_us(lambda: torch.autograd.grad(sdpa(q, k, v), [q, k, v], g))
    return f"{name} {forward:.0f}, {both:.0f}"


def main():
    lg.set_default_device(lg.gpu)
    print(torch.cuda.get_device_name(), "PyTorch", torch.__version__)
    print("batch, heads, queries, keys, width, mask: forward, forward with gradients")
    kernels = [word for word in sys.argv[1:] if word in KERNELS] or KERNELS
    masks = [word for word in sys.argv[1:] if word not in KERNELS]
    for shape in SHAPES:
        if masks and shape[-1] not in masks:
            continue
        results = [measure_legato(*shape)]
        for name in kernels:
            try:
                results.append(measure_torch(name, *shape))
            except RuntimeError:  # the kernel does not take the shape
                results.append(f"{name} refuses")
        print(f"{shape}: " + "; ".join(results), flush=True)


if __name__ == "__main__":
    main()
