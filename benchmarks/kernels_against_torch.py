"""Compares the GEMM and convolution kernels with torch's, both measured in this run.

usage: kernels_against_torch.py BENCHMARK_BINARY [--threads N] [--rounds R] [--only TEXT]

The binary is bench_gemm or bench_conv; the same cases are run in torch, rounds alternate, and each side
keeps its fastest call. Prints microseconds, GFLOP/s and ours/torch as a ratio of speeds (above 1: ours is faster).
"""

import argparse
import os
import platform
import subprocess
import time

import torch

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float64": torch.float64,
    "float16": torch.float16,
    "complex64": torch.complex64,
    "int32": torch.int32,
}


def best_seconds(call, threads, budget=0.15):
    # With one thread it is processor time, which leaves out the time that others had the core.
    now = time.thread_time if threads == 1 else time.perf_counter
    call()
    best, end, calls = 1e30, time.perf_counter() + budget, 0
    while calls < 1 or (time.perf_counter() < end and calls < 2000):
        start = now()
        call()
        best = min(best, max(now() - start, 1e-9))
        calls += 1
    return best


def random(shape, dtype):
    numbers = torch.randint(-15, 16, shape)
    return numbers.to(dtype) if dtype == torch.int32 else (numbers / 16).to(dtype)


def gemm_case(name):
    dtype, layout, shape = name.split("_")
    batch, m, n, k = map(int, shape.split("x"))
    lead = () if batch == 1 else (batch,)
    a = random((*lead, k, m) if layout[0] == "t" else (*lead, m, k), DTYPES[dtype])
    b = random((*lead, n, k) if layout[1] == "t" else (*lead, k, n), DTYPES[dtype])
    a = a.mT if layout[0] == "t" else a
    b = b.mT if layout[1] == "t" else b
    out = torch.empty((*lead, m, n), dtype=DTYPES[dtype])
    return lambda: torch.matmul(a, b, out=out)


def conv_case(name):
    # float32_forward_n128_hw8_c64-64_k3_s1_p1_g1
    dtype, what, *rest = name.split("_")
    field = {"".join(c for c in part.split("-")[0] if c.isalpha()): part for part in rest}
    n, hw, k, s, p, g = (int(field[key][len(key) :]) for key in ("n", "hw", "k", "s", "p", "g"))
    ci, co = map(int, field["c"][1:].split("-"))
    x = random((n, ci, hw, hw), DTYPES[dtype]).contiguous(memory_format=torch.channels_last)
    w = random((co, ci // g, k, k), DTYPES[dtype]).contiguous(memory_format=torch.channels_last)
    y = torch.conv2d(x, w, stride=s, padding=p, groups=g)
    if what == "forward":
        return lambda: torch.conv2d(x, w, stride=s, padding=p, groups=g)
    mask = [what == "input", what == "weight", False]
    ones = torch.ones_like(y).contiguous(memory_format=torch.channels_last)
    return lambda: torch.ops.aten.convolution_backward(
        ones, x, w, None, [s, s], [p, p], [1, 1], False, [0, 0], g, mask
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("binary")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(
        f"# {platform.processor() or platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, "
        f"torch {torch.__version__}, {arguments.threads} thread(s), fastest call of {arguments.rounds} rounds"
    )
    ours: dict[str, float] = {}  # microseconds
    work: dict[str, float] = {}  # GFLOP/s times microseconds
    theirs: dict[str, float] = {}
    for _ in range(arguments.rounds):
        command = [arguments.binary, str(arguments.threads)] + (
            [arguments.only] if arguments.only else []
        )
        for line in subprocess.run(
            command, check=True, capture_output=True, text=True
        ).stdout.splitlines():
            name, *numbers = line.split()
            micros, gflops = map(float, numbers)
            if micros < ours.get(name, 1e30):
                ours[name] = micros
                work[name] = gflops * micros
        for name in ours:
            call = conv_case(name) if "_hw" in name else gemm_case(name)
            theirs[name] = min(theirs.get(name, 1e30), best_seconds(call, arguments.threads) * 1e6)
    print(
        f"{'case':52s} {'us':>10s} {'GFLOP/s':>8s} {'torch us':>10s} {'GFLOP/s':>8s} {'ratio':>6s}"
    )
    for name, micros in ours.items():
        print(
            f"{name:52s} {micros:10.1f} {work[name] / micros:8.1f} {theirs[name]:10.1f} "
            f"{work[name] / theirs[name]:8.1f} {theirs[name] / micros:6.2f}"
        )


if __name__ == "__main__":
    main()
