"""Times on a GPU, beside PyTorch in the same run: medians, and the share of what a copy moves in that time.

python tools/gpu/measure.py [--json FILE] [--small]
"""

import argparse
import json
import statistics
import time

import legato.core as lg

try:
    import torch
except ImportError:
    torch = None


def ours(f, repeats):
    for _ in range(3):
        lg.eval(f())
    lg.synchronize()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        lg.eval(f())  # waits for the device
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def theirs(f, repeats):
    if torch is None:
        return None
    for _ in range(3):
        f()
    torch.cuda.synchronize()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        f()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def chain(v):
    for k in range(4):
        v = v * 1.01 + 0.1 * k
    return v


def rows(n, width):
    """(name, bytes that must move, ours, PyTorch's)"""
    x = lg.random.normal((n,))
    m = lg.random.normal((n // width, width))
    w = lg.random.normal((width,))
    i = lg.random.randint(0, n // width, (n // width,))
    lg.eval([x, m, w, i])
    t = {}
    if torch is not None:
        t["x"] = torch.randn(n, device="cuda")
        t["m"] = torch.randn(n // width, width, device="cuda")
        t["w"] = torch.randn(width, device="cuda")
        t["i"] = torch.randint(0, n // width, (n // width,), device="cuda")
    f32 = 4 * n
    yield "add one", 2 * f32, lambda: x + 1, lambda: t["x"] + 1
    yield "8 pointwise operations", 2 * f32, lambda: chain(x), lambda: chain(t["x"])
    yield "row plus vector", 2 * f32, lambda: m + w, lambda: t["m"] + t["w"]
    yield "cast to float16", 1.5 * f32, lambda: x.astype(lg.float16), lambda: t["x"].half()
    yield "transposing copy", 2 * f32, lambda: lg.contiguous(m.T), lambda: t["m"].T.contiguous()
    yield "sum of all", f32, lambda: lg.sum(x), lambda: t["x"].sum()
    yield "sum of rows", f32, lambda: lg.sum(m, axis=1), lambda: t["m"].sum(1)
    yield "sum of columns", f32, lambda: lg.sum(m, axis=0), lambda: t["m"].sum(0)
    yield "argmax of rows", f32, lambda: lg.argmax(m, axis=1), lambda: t["m"].argmax(1)
    yield "softmax of rows", 2 * f32, lambda: lg.softmax(m, axis=-1), lambda: t["m"].softmax(-1)
    yield (
        "layer norm",
        2 * f32,
        lambda: lg.fast.layer_norm(m, w, None, 1e-5),
        lambda: torch.nn.functional.layer_norm(t["m"], (width,), t["w"]),
    )
    yield "gather of rows", 2 * f32, lambda: lg.take(m, i, axis=0), lambda: t["m"][t["i"]]
    yield (
        "scatter-add of rows",
        3 * f32,
        lambda: m.at[i].add(m),
        lambda: t["m"].index_add(0, t["i"], t["m"]),
    )
    yield (
        "random uniform",
        f32,
        lambda: lg.random.uniform(shape=(n,)),
        lambda: torch.rand(n, device="cuda"),
    )
    side = 4096 if n > 1 << 20 else 64
    a = lg.random.normal((side, side)).astype(lg.float16)
    lg.eval(a)
    if torch is not None:
        t["a"] = torch.randn(side, side, device="cuda", dtype=torch.float16)
    yield f"matmul {side} float16", 0, lambda: a @ a, lambda: t["a"] @ t["a"]
    small = lg.ones((8,))
    lg.eval(small)
    yield "one small operation", 0, lambda: small + 1, lambda: None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json")
    parser.add_argument("--small", action="store_true", help="tiny sizes: to try the script itself")
    options = parser.parse_args()
    lg.set_default_device(lg.gpu)
    n = 1 << 14 if options.small else 100 * 1000 * 1024
    repeats = 3 if options.small else 20
    y = lg.random.normal((n,))
    lg.eval(y)
    copy = ours(lambda: lg.contiguous(y[::-1]), repeats)
    results = [{"name": "reversed copy", "seconds": copy, "bytes": 8 * n}]
    print(f"{'what':28} {'ours':>10} {'PyTorch':>10} {'ratio':>6} {'GB/s':>8}")
    for name, moved, mine, peer in rows(n, 1024 if n > 1 << 20 else 64):
        try:
            seconds = ours(mine, repeats)
            other = (
                theirs(peer, repeats) if torch is not None and torch.cuda.is_available() else None
            )
        except Exception as e:
            print(f"{name:28} failed: {type(e).__name__}: {e}")
            continue
        results.append({"name": name, "seconds": seconds, "peer": other, "bytes": moved})
        ratio = f"{other / seconds:6.2f}" if other else "     -"
        peer_text = f"{other * 1e6:8.1f}us" if other else "         -"
        rate = f"{moved / seconds / 1e9:8.0f}" if moved else "       -"
        print(f"{name:28} {seconds * 1e6:8.1f}us {peer_text} {ratio} {rate}", flush=True)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
