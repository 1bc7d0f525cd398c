"""Data movement and reductions on one GPU: Legato beside PyTorch (and JAX where named), in one run.

usage: compare.py [--only TEXT,...] [--jax] [--json FILE]

Each row is wall-clock over a batch of calls that are in flight together, divided by their number; the median of
several batches. `share` is the time in which the measured copy (of 1e8 float32) moves the row's bytes, over Legato's
time. `ratio` is the best peer's time over Legato's (above 1: Legato is faster).
"""

import argparse
import json
import os
import statistics
import time
from functools import partial

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import torch

import legato.core as lg
from legato import nn

N = 10**8
BYTES = {"f32": 4, "f16": 2, "bf16": 2, "i32": 4, "u8": 1, "bool": 1}
OURS = {
    "f32": lg.float32,
    "f16": lg.float16,
    "bf16": lg.bfloat16,
    "i32": lg.int32,
    "u8": lg.uint8,
    "bool": lg.bool_,
}
TORCH = {
    "f32": torch.float32,
    "f16": torch.float16,
    "bf16": torch.bfloat16,
    "i32": torch.int32,
    "u8": torch.uint8,
    "bool": torch.bool,
}


def timed(call, finish, batch):
    for _ in range(2):
        finish([call()])
    times = []
    for _ in range(5):
        start = time.perf_counter()
        finish([call() for _ in range(batch)])
        times.append((time.perf_counter() - start) / batch)
    return statistics.median(times)


def finish_torch(values):
    torch.cuda.synchronize()


def finish_jax(values):
    values[-1].block_until_ready()


def arrays(shape, dtype="f32"):
    if dtype in ("f32", "f16", "bf16"):
        ours = lg.random.uniform(0.5, 1.5, shape).astype(OURS[dtype])
        theirs = (torch.rand(shape, device="cuda") + 0.5).to(TORCH[dtype])
    else:
        ours = lg.random.randint(0, 100, shape).astype(OURS[dtype])
        theirs = torch.randint(0, 100, shape, device="cuda", dtype=torch.int32).to(TORCH[dtype])
    lg.eval(ours)
    return ours, theirs


def indices(high, shape):
    ours = lg.random.randint(0, high, shape)
    lg.eval(ours)
    return ours, torch.randint(0, high, shape, device="cuda")


# Each of these yields (name, bytes, ours, PyTorch's) or, with JAX's name, five.


def pointwise():
    a, b = arrays((N,))
    yield "f32 1e8 + 1", 8 * N, lambda: a + 1, lambda: b + 1
    yield "f32 -> bf16", 6 * N, lambda: a.astype(lg.bfloat16), lambda: b.to(torch.bfloat16)
    yield "f32 -> i32", 8 * N, lambda: a.astype(lg.int32), lambda: b.to(torch.int32)
    c, d = arrays((N,), "bf16")
    yield "bf16 -> f32", 6 * N, lambda: c.astype(lg.float32), lambda: d.to(torch.float32)


def create():
    i32 = dict(device="cuda", dtype=torch.int32)
    yield (
        "arange i32 1e8",
        4 * N,
        lambda: lg.arange(0, N, 1, dtype=lg.int32),
        lambda: torch.arange(0, N, **i32),
    )


def random():
    for n in (N, 10**6):
        yield (
            f"uniform f32 {n:.0e}",
            4 * n,
            lambda n=n: lg.random.uniform(shape=(n,)),
            lambda n=n: torch.rand(n, device="cuda"),
        )
        yield (
            f"normal f32 {n:.0e}",
            4 * n,
            lambda n=n: lg.random.normal((n,)),
            lambda n=n: torch.randn(n, device="cuda"),
        )
    bf16 = dict(device="cuda", dtype=torch.bfloat16)
    yield (
        "uniform bf16 1e8",
        2 * N,
        lambda: lg.random.uniform(shape=(N,), dtype=lg.bfloat16),
        lambda: torch.rand(N, **bf16),
    )
    yield (
        "normal bf16 1e8",
        2 * N,
        lambda: lg.random.normal((N,), lg.bfloat16),
        lambda: torch.randn(N, **bf16),
    )


def scan():
    a, b = arrays((N,))
    for op in ("cumsum", "cummax", "logcumsumexp"):
        yield f"{op} f32 1e8", 8 * N, partial(getattr(lg, op), a), partial(getattr(torch, op), b, 0)
    for shape, axis in (((10**4, 10**4), 0), ((10**4, 10**4), 1), ((10**6, 100), 1)):
        x, t = a.reshape(shape), b.reshape(shape)
        yield (
            f"cumsum f32 {shape} axis {axis}",
            8 * N,
            partial(lg.cumsum, x, axis=axis),
            partial(torch.cumsum, t, axis),
        )
    h, t = arrays((N,), "bf16")
    yield "cumsum bf16 1e8", 4 * N, partial(lg.cumsum, h), partial(torch.cumsum, t, 0)


def sort():
    for n in (10**6, 10**7, N):
        a, b = arrays((n,))
        yield f"sort f32 {n:.0e}", 8 * n, partial(lg.sort, a), partial(torch.sort, b)
        yield (
            f"argsort f32 {n:.0e}",
            8 * n,
            partial(lg.argsort, a),
            partial(torch.argsort, b, stable=True),
        )
    a, b = arrays((10**7,))
    yield "topk f32 1e7 k=100", 4 * 10**7, partial(lg.topk, a, 100), partial(torch.topk, b, 100)
    for shape in ((10**4, 10**3), (10**5, 64), (10**3, 10**4)):
        a, b = arrays(shape)
        yield f"sort f32 {shape} axis 1", 8 * a.size, partial(lg.sort, a), partial(torch.sort, b)
        yield (
            f"argsort f32 {shape} axis 1",
            8 * a.size,
            partial(lg.argsort, a),
            partial(torch.argsort, b, stable=True),
        )
    c, d = arrays((10**7,), "i32")
    yield "unique i32 1e7", 4 * 10**7, partial(lg.unique, c), partial(torch.unique, d)
    x, t = arrays((10**7,))
    x, t = x * 5e5, t * 5e5
    seq, tseq = (
        lg.arange(10**6).astype(lg.float32),
        torch.arange(10**6, device="cuda", dtype=torch.float32),
    )
    lg.eval(x, seq)
    yield (
        "searchsorted 1e7 in 1e6",
        8 * 10**7,
        partial(lg.searchsorted, seq, x),
        partial(torch.searchsorted, tseq, t),
    )


def torch_reduction(op, t, axis):
    f = getattr(torch, "amax" if op == "max" else op)
    return partial(f, t) if axis is None and op != "var" else partial(f, t, dim=axis)


def reduce():
    for dtype, ops in (
        ("f32", ("sum", "max", "prod", "mean", "var", "argmax")),
        ("bf16", ("sum", "max", "var", "argmax")),
        ("f16", ("sum",)),
        ("i32", ("sum", "max", "argmax")),
        ("u8", ("sum", "max")),
        ("bool", ("any",)),
    ):
        a, b = arrays((10**4, 10**4), dtype)
        for op in ops:
            for axis in (None, 0, 1):
                yield (
                    f"{op} {dtype} (1e4,1e4) axis {axis}",
                    BYTES[dtype] * N,
                    partial(getattr(lg, op), a, axis=axis),
                    torch_reduction(op, b, axis),
                )
    a, b = arrays((N,))
    for op, shape, axis in (
        ("sum", (100, 1000, 1000), 1),
        ("max", (100, 1000, 1000), 1),
        ("argmax", (100, 1000, 1000), 1),
        ("sum", (100, 1000, 1000), (0, 2)),
        ("sum", (10**7, 10), 1),
        ("sum", (10**6, 100), 1),
        ("sum", (10**5, 1000), 1),
        ("sum", (10**7, 10), 0),
        ("argmax", (10**6, 100), 1),
    ):
        x, t = a.reshape(shape), b.reshape(shape)
        yield (
            f"{op} f32 {shape} axis {axis}",
            4 * N,
            partial(getattr(lg, op), x, axis=axis),
            torch_reduction(op, t, axis),
        )
    for shape in ((1024, 1024), (4096, 256), (64, 1000, 64)):
        x, t = arrays(shape)
        for axis in range(len(shape)):
            yield (
                f"sum f32 {shape} axis {axis}",
                4 * x.size,
                partial(lg.sum, x, axis=axis),
                partial(torch.sum, t, dim=axis),
            )


def shape():
    heads = (60, 2048, 12, 64)
    for dtype in ("f32", "bf16", "u8"):
        a, b = arrays((N,), dtype)
        for name, size, axes in (
            ("(1e4,1e4).T", (10**4, 10**4), (1, 0)),
            ("(100,1000,1000) 0,2,1", (100, 1000, 1000), (0, 2, 1)),
            ("(60,2048,12,64) 0,2,1,3", heads, (0, 2, 1, 3)),
            ("(64,320,64,64) to channels last", (64, 320, 64, 64), (0, 2, 3, 1)),
        ):
            n = 1
            for d in size:
                n *= d
            x, t = a[:n].reshape(size).transpose(axes), b[:n].reshape(size).permute(axes)
            yield (
                f"copy {dtype} {name}",
                2 * BYTES[dtype] * n,
                partial(lg.contiguous, x),
                partial(torch.Tensor.contiguous, t),
            )
    a, b = arrays((N,))
    m, t = a.reshape(10**4, 10**4), b.reshape(10**4, 10**4)
    yield (
        "slice f32 m[:, 1:9999]",
        8 * 9998 * 10**4,
        lambda: lg.contiguous(m[:, 1:9999]),
        lambda: t[:, 1:9999].contiguous(),
    )
    yield (
        "slice f32 a[::2]",
        6 * N,
        lambda: lg.contiguous(a[::2]),
        lambda: b[::2].contiguous(),
    )
    yield "flip f32 a[::-1]", 8 * N, lambda: lg.contiguous(a[::-1]), lambda: torch.flip(b, (0,))
    yield (
        "broadcast f32 (1e4) to (1e4,1e4)",
        4 * N,
        lambda: lg.contiguous(lg.broadcast_to(a[:10000], (10000, 10000))),
        lambda: b[:10000].expand(10000, 10000).contiguous(),
    )
    p, q = [a[: N // 2], a[N // 2 :]], [b[: N // 2], b[N // 2 :]]
    yield "concatenate f32 2 x 5e7", 8 * N, lambda: lg.concatenate(p), lambda: torch.cat(q)
    x, y = [m[:, :5000], m[:, 5000:]], [t[:, :5000], t[:, 5000:]]
    yield (
        "concatenate f32 2 x (1e4,5e3) axis 1",
        8 * N,
        lambda: lg.concatenate(x, axis=1),
        lambda: torch.cat(y, 1),
    )


def index():
    a, b = arrays((N,))
    k = 2 * 10**5
    table, ttable = a[: N // 2].reshape(10**5, 500), b[: N // 2].reshape(10**5, 500)
    upd, tupd = a.reshape(k, 500), b.reshape(k, 500)
    i, ti = indices(10**5, (k,))
    yield (
        "take rows (1e5,500) by 2e5",
        8 * k * 500,
        lambda: lg.take(table, i, axis=0),
        lambda: torch.index_select(ttable, 0, ti),
        "take",
    )
    add_rows = 4 * k * 500 + 8 * 10**5 * 500
    yield (
        "scatter-add rows 2e5 into (1e5,500)",
        add_rows,
        lambda: table.at[i].add(upd),
        lambda: torch.index_add(ttable, 0, ti, tupd),
        "add_rows",
    )
    skewed, tskewed = (
        lg.where(lg.arange(k) % 2 == 0, 7, i),
        torch.where(torch.arange(k, device="cuda") % 2 == 0, 7, ti),
    )
    lg.eval(skewed)
    yield (
        "scatter-add rows, half of them to one",
        add_rows,
        lambda: table.at[skewed].add(upd),
        lambda: torch.index_add(ttable, 0, tskewed, tupd),
    )
    m, t = a.reshape(10**4, 10**4), b.reshape(10**4, 10**4)
    j, tj = indices(10**4, (10**4, 10**4))
    for axis in (1, 0):
        yield (
            f"take_along_axis (1e4,1e4) axis {axis}",
            12 * N,
            partial(lg.take_along_axis, m, j, axis=axis),
            partial(torch.gather, t, axis, tj),
        )
    one, tone = a[: 10**6], b[: 10**6]
    many, tmany = a[: 10**7], b[: 10**7]
    n, tn = indices(10**6, (10**7,))
    whole, twhole = (one * 100).astype(lg.int32), (tone * 100).int()
    wmany, twmany = (many * 100).astype(lg.int32), (tmany * 100).int()
    lg.eval(whole, wmany)
    yield (
        "scatter-add f32 1e7 into 1e6",
        8 * 10**7 + 8 * 10**6,
        lambda: one.at[n].add(many),
        lambda: torch.index_add(tone, 0, tn, tmany),
        "add_1d",
    )
    yield (
        "scatter-add i32 1e7 into 1e6",
        8 * 10**7 + 8 * 10**6,
        lambda: whole.at[n].add(wmany),
        lambda: torch.index_add(twhole, 0, tn, twmany),
    )
    yield (
        "scatter max f32 1e7 into 1e6",
        8 * 10**7 + 8 * 10**6,
        lambda: one.at[n].maximum(many),
        lambda: torch.scatter_reduce(tone, 0, tn, tmany, "amax"),
    )
    yield (
        "take f32 1e7 of 1e6",
        12 * 10**7,
        lambda: lg.take(one, n),
        lambda: torch.index_select(tone, 0, tn),
    )
    e, te = indices(50000, (8192,))
    big, tbig = a[: 50000 * 1024].reshape(50000, 1024), b[: 50000 * 1024].reshape(50000, 1024)
    g, tg = a[: 8192 * 1024].reshape(8192, 1024), b[: 8192 * 1024].reshape(8192, 1024)
    zeros, tzeros = lg.zeros((50000, 1024)), torch.zeros((50000, 1024), device="cuda")
    lg.eval(zeros)
    yield (
        "embedding (50000,1024) by 8192",
        8 * 8192 * 1024,
        lambda: lg.take(big, e, axis=0),
        lambda: torch.nn.functional.embedding(te, tbig),
    )
    yield (
        "scatter-add 8192 rows into (50000,1024)",
        8192 * 4096 + 8 * 50000 * 1024,
        lambda: zeros.at[e].add(g),
        lambda: torch.index_add(tzeros, 0, te, tg),
    )
    c, d = arrays((10**7,), "i32")
    mask, tmask = c < 50, d < 50
    lg.eval(mask)
    yield "x[mask] 1e7", 9 * 10**7, lambda: many[mask], lambda: tmany[tmask]
    yield "nonzero 1e7", 5 * 10**7, lambda: lg.nonzero(mask), lambda: torch.nonzero(tmask)


def pool():
    p = lg.random.normal((64, 112, 112, 64))
    t = torch.randn(64, 64, 112, 112, device="cuda").to(memory_format=torch.channels_last)
    lg.eval(p)
    bytes_ = 5 * 64 * 112 * 112 * 64
    largest, mean = nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2, 2)
    f = torch.nn.functional
    yield (
        "max pool 3x3/2 (64,112,112,64)",
        bytes_,
        lambda: largest(p),
        lambda: f.max_pool2d(t, 3, 2, 1),
    )
    yield (
        "avg pool 2x2 (64,112,112,64)",
        bytes_,
        lambda: mean(p),
        lambda: f.avg_pool2d(t, 2, 2),
    )


GROUPS = (pointwise, create, random, scan, sort, reduce, shape, index, pool)


def jax_calls():
    import jax
    import jax.numpy as jnp
    import numpy as np

    r = np.random.default_rng(0)
    table = jnp.asarray(r.random((100000, 500), np.float32))
    upd = jnp.asarray(r.random((200000, 500), np.float32))
    idx = jnp.asarray(r.integers(0, 100000, 200000))
    one = jnp.asarray(r.random(10**6, np.float32))
    many = jnp.asarray(r.random(10**7, np.float32))
    i1 = jnp.asarray(r.integers(0, 10**6, 10**7))
    take = jax.jit(lambda t, i: jnp.take(t, i, axis=0))
    add = jax.jit(lambda t, i, u: t.at[i].add(u))
    return {
        "take": lambda: take(table, idx),
        "add_rows": lambda: add(table, idx, upd),
        "add_1d": lambda: add(one, i1, many),
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="")
    parser.add_argument("--jax", action="store_true")
    parser.add_argument("--json")
    args = parser.parse_args()
    words = args.only.split(",")
    lg.set_default_device(lg.gpu)
    print(torch.cuda.get_device_name(), "torch", torch.__version__)
    x, y = torch.empty(N, device="cuda"), torch.empty(N, device="cuda")
    copy = timed(lambda: y.copy_(x), finish_torch, 20)
    print(f"copy of 1e8 float32: {copy * 1e6:.0f} us, {8 * N / copy / 1e12:.3f} TB/s")

    peers = jax_calls() if args.jax else {}
    print(f"{'row':42} {'ours us':>9} {'torch us':>9} {'jax us':>7} {'share':>6} {'ratio':>6}")
    result = []
    for group in GROUPS:
        for name, size, ours, theirs, *jax_name in group():
            if not any(w in group.__name__ or w in name for w in words):
                continue
            batch = 8 if size > 10**8 else 20
            try:
                lg.eval(ours())
                start = time.perf_counter()
                lg.eval(ours())
                once = time.perf_counter() - start
                mine = once if once > 0.05 else timed(ours, lg.eval, batch)
            except Exception as e:
                print(f"{name:42} FAILED {str(e)[:200]}")
                continue
            other = timed(theirs, finish_torch, batch)
            third = timed(peers[jax_name[0]], finish_jax, batch) if jax_name and peers else None
            share = size / (8 * N) * copy / mine
            print(
                f"{name:42} {mine * 1e6:9.1f} {other * 1e6:9.1f} {(third or 0) * 1e6:7.0f} "
                f"{share:6.2f} {min(other, third or other) / mine:6.2f}",
                flush=True,
            )
            result.append({"row": name, "ours": mine, "torch": other, "jax": third, "share": share})
            torch.cuda.empty_cache()
    if args.json:
        with open(args.json, "w") as f:
            json.dump({"copy": copy, "rows": result}, f)


if __name__ == "__main__":
    main()
