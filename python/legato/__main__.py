"""python -m legato info: what this machine and this build offer.

python -m legato info            the machine, its devices, the settings
python -m legato info coverage   also, for each operation, the dtypes that have a kernel on each device
"""

import sys

# Environment variables that Legato reads, and what they do.
KNOBS = {
    "LEGATO_DEVICE": "the default device: cpu, gpu or gpu:1; else a GPU if there is one",
    "LEGATO_LOG": "what evaluations print: eval:2,fuse:1,mem",
    "LEGATO_FUSION": "0: each pointwise operation runs by itself",
    "LEGATO_JIT": "0: fused programs are interpreted; always: compiled at once",
    "LEGATO_SIMD": "highest vector level to use: base, avx2 or avx512",
    "LEGATO_NUM_THREADS": "threads that share an operation on the CPU",
    "LEGATO_DISABLE_COMPILE": "1: compile() runs its function each time",
    "LEGATO_CACHE_DIR": "where programs compiled for a GPU are kept",
    "LEGATO_CUDA_DRIVER": "another library than libcuda.so.1",
    "LEGATO_NVRTC": "another library than the libnvrtc.so that is found",
    "LEGATO_CUBLASLT": "another library than the libcublasLt.so that is found",
}


def info(coverage=False):
    import os
    import platform

    import legato as lg
    from legato import _core

    print(f"legato {lg.__version__}, Python {platform.python_version()}, {platform.platform()}")
    for kind in (lg.cpu, lg.gpu):
        for i in range(lg.device_count(kind)):
            device = lg.Device(kind, i)
            facts = ", ".join(f"{k} {v}" for k, v in lg.device_info(device).items())
            print(f"{device}: {facts}")
    if lg.device_count(lg.gpu) == 0:
        print(f"no GPU: {_core._why_no_device(lg.gpu)}")
    try:
        print(f"the default is {lg.default_device()}, because {_core._why_default_device()}")
    except ValueError as e:
        print(f"no default device: {e}")
    print(f"{lg.num_threads()} threads share an operation on the CPU")
    functions = [f for f in vars(_core).values() if type(f).__name__ == "Function"]
    print(f"{len(functions)} functions in legato.core")

    print("\nsettings from the environment")
    for name, meaning in KNOBS.items():
        print(f"  {name}={os.environ.get(name, '')}".ljust(34) + meaning)

    rows = _core._coverage()
    ways = [how for _, how, _ in rows]
    kernels = sum(any(d.values()) for _, _, d in rows)
    print(
        f"\n{len(rows)} operations: {ways.count('pointwise')} pointwise, which run as fused programs; "
        f"{ways.count('view')} views; {kernels} with kernels of their own"
    )
    if coverage:
        print_coverage(rows)
    else:
        print("python -m legato info coverage lists them")


def print_coverage(rows):
    width = max(len(name) for name, _, _ in rows)
    for name, how, devices in sorted(rows):
        found = [f"{device}: {short(dtypes)}" for device, dtypes in devices.items() if dtypes]
        print(f"  {name:<{width}}  {'; '.join(found) or how}")


def short(dtypes):
    """f16 and the like, without names that say the same of all sizes."""
    from legato.testing import GROUPS

    left, out = list(dtypes), []
    for group in ("all", "real", "inexact", "ints", "floats", "signed", "unsigned", "complex"):
        if set(GROUPS[group]) <= set(left):
            out.append(group)
            left = [d for d in left if d not in GROUPS[group]]
    return " ".join(out + left)


def main():
    if sys.argv[1:2] == ["info"] and sys.argv[2:] in ([], ["coverage"]):
        info("coverage" in sys.argv)
        return 0
    print(__doc__.strip())
    return 0 if sys.argv[1:] in ([], ["-h"], ["--help"]) else 2


if __name__ == "__main__":
    sys.exit(main())
