"""Data movement and reductions on one GPU: Legato beside PyTorch (and JAX where named), in one run.

usage: compare.py [--only TEXT] [--jax] [--json FILE]

Each row is wall-clock over a batch of calls that are in flight together, divided by their number; the median of
several batches. `share` is the time in which the measured copy (of 10^8 float32) moves the row's bytes, over Legato's
time. `ratio` is the best peer's time over Legato's (above 1: Legato is faster).
"""

import argparse
import json
import os
import statistics
import time

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import torch

import legato.core as lg

N = 10**8
DT = {
    "f32": (lg.float32, torch.float32, 4),
    "f16": (lg.float16, torch.float16, 2),
    "bf16": (lg.bfloat16, torch.bfloat16, 2),
    "i32": (lg.int32, torch.int32, 4),
    "u8": (lg.uint8, torch.uint8, 1),
    "bool": (lg.bool_, torch.bool, 1),
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


def finish_legato(values):
    lg.eval(values)


def finish_torch(values):
    torch.cuda.synchronize()


def finish_jax(values):
    values[-1].block_until_ready()


def arrays(shape, dtype="f32"):
    ours, theirs, _ = DT[dtype]
    if dtype in ("f32", "f16", "bf16"):
        a = lg.random.uniform(0.5, 1.5, shape).astype(ours)
        b = (torch.rand(shape, device="cuda") + 0.5).to(theirs)
    else:
        a = lg.random.randint(0, 100, shape).astype(ours)
        b = torch.randint(0, 100, shape, device="cuda", dtype=torch.int32).to(theirs)
    lg.eval(a)
    return a, b


def rows():
    """Yields (group, name, bytes, ours, torch's, jax's or None)."""
    a, b = arrays((N,))
    yield "pointwise", "f32 1e8 + 1", 8 * N, lambda: a + 1, lambda: b + 1, None
    yield "create", "arange i32 1e8", 4 * N, lambda: lg.arange(0, N, 1, dtype=lg.int32), lambda: torch.arange(0, N, device="cuda", dtype=torch.int32), None
    yield "random", "uniform f32 1e8", 4 * N, lambda: lg.random.uniform(shape=(N,)), lambda: torch.rand(N, device="cuda"), None
    yield "random", "normal f32 1e8", 4 * N, lambda: lg.random.normal((N,)), lambda: torch.randn(N, device="cuda"), None
    yield "random", "uniform bf16 1e8", 2 * N, lambda: lg.random.uniform(shape=(N,), dtype=lg.bfloat16), lambda: torch.rand(N, device="cuda", dtype=torch.bfloat16), None
    yield "random", "normal f32 1e6", 4 * 10**6, lambda: lg.random.normal((10**6,)), lambda: torch.randn(10**6, device="cuda"), None
    yield "scan", "cumsum f32 1e8", 8 * N, lambda: lg.cumsum(a), lambda: torch.cumsum(b, 0), None
    yield "scan", "cummax f32 1e8", 8 * N, lambda: lg.cummax(a), lambda: torch.cummax(b, 0), None
    yield "scan", "logcumsumexp f32 1e8", 8 * N, lambda: lg.logcumsumexp(a), lambda: torch.logcumsumexp(b, 0), None
    for k in (10**6, 10**7):
        yield "sort", f"sort f32 {k:.0e}", 8 * k, lambda k=k: lg.sort(a[:k]), lambda k=k: torch.sort(b[:k]), None
        yield "sort", f"argsort f32 {k:.0e}", 8 * k, lambda k=k: lg.argsort(a[:k]), lambda k=k: torch.argsort(b[:k], stable=True), None
    yield "sort", "topk f32 1e7 k=100", 4 * 10**7, lambda: lg.topk(a[: 10**7], 100), lambda: torch.topk(b[: 10**7], 100), None
    m, t = a.reshape(10000, 10000), b.reshape(10000, 10000)
    for kind, ops in (("reduce", ("sum", "max", "prod", "mean", "var")), ("argreduce", ("argmax",))):
        for op in ops:
            f, g = getattr(lg, op), getattr(torch, {"max": "amax", "var": "var"}.get(op, op))
            for axis in (None, 0, 1):
                if op in ("prod", "argmax", "sum", "mean", "max") and axis is None:
                    call = lambda g=g: g(t)
                else:
                    call = lambda g=g, axis=axis: g(t, dim=axis)
                yield kind, f"{op} f32 (1e4,1e4) axis {axis}", 4 * N, lambda f=f, axis=axis: f(m, axis=axis), call, None
    m3, t3 = a.reshape(100, 1000, 1000), b.reshape(100, 1000, 1000)
    for op, g in (("sum", torch.sum), ("max", torch.amax), ("argmax", torch.argmax)):
        yield "reduce" if op != "argmax" else "argreduce", f"{op} f32 (100,1000,1000) axis 1", 4 * N, lambda op=op: getattr(lg, op)(m3, axis=1), lambda g=g: g(t3, dim=1), None
    yield "reduce", "sum f32 (100,1000,1000) axis 0,2", 4 * N, lambda: lg.sum(m3, axis=(0, 2)), lambda: torch.sum(t3, dim=(0, 2)), None
    yield "reduce", "sum f32 (1e7,10) axis 1", 4 * N, lambda: lg.sum(a.reshape(10**7, 10), axis=1), lambda: torch.sum(b.reshape(10**7, 10), dim=1), None
    yield "reduce", "sum f32 (1e6,100) axis 1", 4 * N, lambda: lg.sum(a.reshape(10**6, 100), axis=1), lambda: torch.sum(b.reshape(10**6, 100), dim=1), None
    yield "reduce", "sum f32 (1e7,10) axis 0", 4 * N, lambda: lg.sum(a.reshape(10**7, 10), axis=0), lambda: torch.sum(b.reshape(10**7, 10), dim=0), None
    for shape in ((1024, 1024), (4096, 256), (64, 1000, 64)):
        s, u = arrays(shape)
        for axis in range(len(shape)):
            yield "reduce", f"sum f32 {shape} axis {axis}", s.size * 4, lambda s=s, axis=axis: lg.sum(s, axis=axis), lambda u=u, axis=axis: torch.sum(u, dim=axis), None
    yield "scan", "cumsum f32 (1e4,1e4) axis 0", 8 * N, lambda: lg.cumsum(m, axis=0), lambda: torch.cumsum(t, 0), None
    yield "scan", "cumsum f32 (1e4,1e4) axis 1", 8 * N, lambda: lg.cumsum(m, axis=1), lambda: torch.cumsum(t, 1), None
    yield "scan", "cumsum f32 (1e6,100) axis 1", 8 * N, lambda: lg.cumsum(a.reshape(10**6, 100), axis=1), lambda: torch.cumsum(b.reshape(10**6, 100), 1), None
    yield "sort", "sort f32 (10000,1000) axis 1", 8 * 10**7, lambda: lg.sort(m[:, :1000], axis=1), lambda: torch.sort(t[:, :1000], dim=1), None
    yield "sort", "argsort f32 (100000,64) axis 1", 8 * 64 * 10**5, lambda: lg.argsort(a[: 64 * 10**5].reshape(-1, 64), axis=1), lambda: torch.argsort(b[: 64 * 10**5].reshape(-1, 64), dim=1, stable=True), None
    yield "cast", "f32 -> bf16", 6 * N, lambda: a.astype(lg.bfloat16), lambda: b.to(torch.bfloat16), None
    yield "cast", "f32 -> i32", 8 * N, lambda: a.astype(lg.int32), lambda: b.to(torch.int32), None
    yield "shape", "transpose f32 (1e4,1e4)", 8 * N, lambda: lg.contiguous(m.T), lambda: t.T.contiguous(), None
    yield "shape", "transpose f32 (100,1000,1000) 0,2,1", 8 * N, lambda: lg.contiguous(m3.transpose(0, 2, 1)), lambda: t3.transpose(1, 2).contiguous(), None
    yield "shape", "transpose f32 (64,2048,12,64) 0,2,1,3", 8 * 64 * 2048 * 12 * 64, lambda: lg.contiguous(a[: 64 * 2048 * 12 * 64].reshape(64, 2048, 12, 64).transpose(0, 2, 1, 3)), lambda: b[: 64 * 2048 * 12 * 64].reshape(64, 2048, 12, 64).transpose(1, 2).contiguous(), None
    yield "shape", "slice f32 m[:, 1:9999]", 8 * 9998 * 10000, lambda: lg.contiguous(m[:, 1:9999]), lambda: t[:, 1:9999].contiguous(), None
    yield "shape", "slice f32 a[::2]", 6 * N, lambda: lg.contiguous(a[::2]), lambda: b[::2].contiguous(), None
    yield "shape", "flip f32 a[::-1]", 8 * N, lambda: lg.contiguous(a[::-1]), lambda: torch.flip(b, (0,)), None
    yield "shape", "broadcast f32 (1e4) -> (1e4,1e4)", 4 * N, lambda: lg.contiguous(lg.broadcast_to(a[:10000], (10000, 10000))), lambda: b[:10000].expand(10000, 10000).contiguous(), None
    half = a.reshape(2, -1), b.reshape(2, -1)
    yield "concat", "concatenate f32 2 x 5e7", 8 * N, lambda: lg.concatenate([half[0][0], half[0][1]]), lambda: torch.cat([half[1][0], half[1][1]]), None
    h2 = m.reshape(10000, 2, 5000), t.reshape(10000, 2, 5000)
    yield "concat", "concatenate f32 2 x (1e4,5e3) axis 1", 8 * N, lambda: lg.concatenate([h2[0][:, 0], h2[0][:, 1]], axis=1), lambda: torch.cat([h2[1][:, 0], h2[1][:, 1]], 1), None
    k = 2 * 10**5
    table, ttable = m.reshape(200000, 500)[:100000], t.reshape(200000, 500)[:100000]
    idx, tidx = lg.random.randint(0, 100000, (k,)), torch.randint(0, 100000, (k,), device="cuda")
    lg.eval(idx)
    upd, tupd = m.reshape(200000, 500), t.reshape(200000, 500)
    yield "index", "take rows (1e5,500) by 2e5", 8 * k * 500, lambda: lg.take(table, idx, axis=0), lambda: torch.index_select(ttable, 0, tidx), "take"
    yield "index", "scatter-add rows 2e5 into (1e5,500)", 4 * k * 500 + 8 * 100000 * 500, lambda: table.at[idx].add(upd), lambda: torch.index_add(ttable, 0, tidx, tupd), "add_rows"
    ia = lg.random.randint(0, 10000, (10000, 10000))
    lg.eval(ia)
    ta = torch.randint(0, 10000, (10000, 10000), device="cuda")
    yield "index", "take_along_axis (1e4,1e4) axis 1", 12 * N, lambda: lg.take_along_axis(m, ia, axis=1), lambda: torch.gather(t, 1, ta), None
    yield "index", "take_along_axis (1e4,1e4) axis 0", 12 * N, lambda: lg.take_along_axis(m, ia, axis=0), lambda: torch.gather(t, 0, ta), None
    i1, t1 = lg.random.randint(0, 10**6, (10**7,)), torch.randint(0, 10**6, (10**7,), device="cuda")
    lg.eval(i1)
    yield "index", "scatter-add 1e7 into 1e6", 8 * 10**7 + 8 * 10**6, lambda: a[: 10**6].at[i1].add(a[: 10**7]), lambda: torch.index_add(b[: 10**6], 0, t1, b[: 10**7]), "add_1d"
    yield "index", "take 1e7 of 1e6", 12 * 10**7, lambda: lg.take(a[: 10**6], i1), lambda: torch.index_select(b[: 10**6], 0, t1), None
    e, te = lg.random.randint(0, 50000, (8192,)), torch.randint(0, 50000, (8192,), device="cuda")
    big, tbig = a[: 50000 * 1024].reshape(50000, 1024), b[: 50000 * 1024].reshape(50000, 1024)
    z, tz = lg.zeros((50000, 1024)), torch.zeros((50000, 1024), device="cuda")
    g, tg = a[: 8192 * 1024].reshape(8192, 1024), b[: 8192 * 1024].reshape(8192, 1024)
    lg.eval(e, z)
    yield "index", "embedding (50000,1024) by 8192", 8 * 8192 * 1024, lambda: lg.take(big, e, axis=0), lambda: torch.nn.functional.embedding(te, tbig), None
    yield "index", "scatter-add 8192 rows into (50000,1024)", 8192 * 4096 + 8 * 50000 * 1024, lambda: z.at[e].add(g), lambda: torch.index_add(tz, 0, te, tg), None
    del m, t, m3, t3, table, ttable, upd, tupd, half, h2, ia, ta, big, tbig, z, tz, g, tg, s, u
    for dtype in ("bf16", "f16", "u8", "i32", "bool"):
        a, b = arrays((10000, 10000), dtype)
        size = DT[dtype][2]
        if dtype != "i32":
            yield "shape", f"transpose {dtype} (1e4,1e4)", 2 * size * N, lambda: lg.contiguous(a.T), lambda: b.T.contiguous(), None
        if dtype == "bf16":
            yield "cast", "bf16 -> f32", 6 * N, lambda: a.astype(lg.float32), lambda: b.to(torch.float32), None
            yield "shape", "transpose bf16 (64,2048,12,64) 0,2,1,3", 4 * 64 * 2048 * 12 * 64, lambda: lg.contiguous(a.reshape(-1)[: 64 * 2048 * 12 * 64].reshape(64, 2048, 12, 64).transpose(0, 2, 1, 3)), lambda: b.reshape(-1)[: 64 * 2048 * 12 * 64].reshape(64, 2048, 12, 64).transpose(1, 2).contiguous(), None
            yield "shape", "transpose bf16 (64,320,64,64) nchw->nhwc", 4 * 64 * 320 * 4096, lambda: lg.contiguous(a.reshape(-1)[: 64 * 320 * 4096].reshape(64, 320, 64, 64).transpose(0, 2, 3, 1)), lambda: b.reshape(-1)[: 64 * 320 * 4096].reshape(64, 320, 64, 64).permute(0, 2, 3, 1).contiguous(), None
        for op in ("any",) if dtype == "bool" else ("sum", "max"):
            f, g = getattr(lg, op), getattr(torch, {"max": "amax"}.get(op, op))
            for axis in (None, 0, 1):
                yield "reduce", f"{op} {dtype} (1e4,1e4) axis {axis}", size * N, lambda f=f, axis=axis: f(a, axis=axis), (lambda g=g: g(b)) if axis is None else (lambda g=g, axis=axis: g(b, dim=axis)), None
        if dtype in ("bf16", "i32"):
            yield "argreduce", f"argmax {dtype} (1e4,1e4) axis 1", size * N, lambda: lg.argmax(a, axis=1), lambda: torch.argmax(b, dim=1), None
    mask, tmask = arrays((10**7,), "i32")
    bm, tbm = mask < 50, tmask < 50
    x, tx = arrays((10**7,))
    lg.eval(bm)
    seq, tseq = lg.arange(10**6).astype(lg.float32), torch.arange(10**6, device="cuda", dtype=torch.float32)
    lg.eval(seq)
    yield "sort", "searchsorted 1e7 in 1e6", 8 * 10**7, lambda: lg.searchsorted(seq, x * 5e5), lambda: torch.searchsorted(tseq, tx * 5e5), None
    yield "sort", "unique i32 1e7", 4 * 10**7, lambda: lg.unique(mask), lambda: torch.unique(tmask), None
    yield "index", "x[mask] 1e7", 9 * 10**7, lambda: x[bm], lambda: tx[tbm], None
    yield "index", "nonzero 1e7", 9 * 10**7, lambda: lg.nonzero(bm), lambda: torch.nonzero(tbm), None
    p, tp = lg.random.normal((64, 112, 112, 64)), torch.randn(64, 64, 112, 112, device="cuda").to(memory_format=torch.channels_last)
    lg.eval(p)
    from legato import nn

    yield "pool", "max pool 3x3/2 (64,112,112,64)", 5 * 64 * 112 * 112 * 64, lambda: nn.MaxPool2d(3, 2, 1)(p), lambda: torch.nn.functional.max_pool2d(tp, 3, 2, 1), None
    yield "pool", "avg pool 2x2 (64,112,112,64)", 5 * 64 * 112 * 112 * 64, lambda: nn.AvgPool2d(2, 2)(p), lambda: torch.nn.functional.avg_pool2d(tp, 2, 2), None


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="")
    parser.add_argument("--jax", action="store_true")
    parser.add_argument("--json")
    args = parser.parse_args()
    lg.set_default_device(lg.gpu)
    print(torch.cuda.get_device_name(), "torch", torch.__version__)
    x, y = torch.empty(N, device="cuda"), torch.empty(N, device="cuda")
    copy = timed(lambda: y.copy_(x), finish_torch, 20)
    print(f"copy of 1e8 float32: {copy * 1e6:.0f} us, {8 * N / copy / 1e12:.3f} TB/s")
    del x, y
    jax_row = jax_calls() if args.jax else {}
    print(f"{'row':44} {'ours us':>9} {'torch us':>9} {'jax us':>8} {'TB/s':>6} {'share':>6} {'ratio':>6}")
    result = []
    for group, name, size, ours, theirs, jax_name in rows():
        if args.only and not any(w in group or w in name for w in args.only.split(",")):
            continue
        batch = 8 if size > 10**8 else 20
        try:
            lg.synchronize()
            lg.eval(ours())
            start = time.perf_counter()
            lg.eval(ours())
            once = time.perf_counter() - start
            mine = once if once > 0.05 else timed(ours, finish_legato, batch)
        except Exception as e:
            print(f"{name:44} FAILED {str(e)[:100]}")
            continue
        other = timed(theirs, finish_torch, batch)
        jax_time = timed(jax_row[jax_name], finish_jax, batch) if jax_name in jax_row else None
        best = min(other, jax_time or other)
        share = size / (8 * N) * copy / mine
        print(
            f"{name:44} {mine * 1e6:9.1f} {other * 1e6:9.1f} {jax_time * 1e6 if jax_time else 0:8.1f} "
            f"{size / mine / 1e12:6.2f} {share:6.2f} {best / mine:6.2f}",
            flush=True,
        )
        result.append({"row": name, "ours": mine, "torch": other, "jax": jax_time, "share": share})
        torch.cuda.empty_cache()
    if args.json:
        with open(args.json, "w") as f:
            json.dump({"copy": copy, "rows": result}, f)


if __name__ == "__main__":
    main()
