"""loops.cpp compiled and called over all usable cores: the hand-written fused loop that bars speak of."""

from __future__ import annotations

import ctypes
import hashlib
import os
import queue
import subprocess
import threading
from pathlib import Path

import numpy as np

from frameworks import threads

SOURCE = Path(__file__).with_name("loops.cpp")
FLAGS = ["-std=c++20", "-O3", "-march=native", "-ffast-math", "-fPIC", "-shared"]
PARALLEL_FROM = 32768  # elements; below, waking a thread costs more than it saves


def _library() -> ctypes.CDLL:
    compiler = os.environ.get("CXX", "c++")
    key = hashlib.sha256(SOURCE.read_bytes() + " ".join([compiler, *FLAGS]).encode()).hexdigest()[
        :16
    ]
    path = SOURCE.parents[1] / ".cache" / "bench" / f"loops-{key}.so"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(
                [compiler, *FLAGS, str(SOURCE), "-o", str(path)], check=True, capture_output=True
            )
        except (OSError, subprocess.CalledProcessError) as error:
            raise ImportError(f"the loops could not be compiled with {compiler}: {error}") from None
    return ctypes.CDLL(str(path))


_lib = _library()


class _Helpers:
    """Threads that wait for work; ctypes releases the interpreter's lock while a loop runs."""

    def __init__(self, count: int):
        self.work: list[queue.SimpleQueue] = [queue.SimpleQueue() for _ in range(count)]
        self.done: queue.SimpleQueue = queue.SimpleQueue()
        for inbox in self.work:
            threading.Thread(target=self.serve, args=(inbox,), daemon=True).start()

    def serve(self, inbox: queue.SimpleQueue) -> None:
        while True:
            function, arguments = inbox.get()
            function(*arguments)
            self.done.put(None)


_helpers = _Helpers(threads() - 1)


def _split(function, pointers, count: int, size: int) -> None:
    """Calls function(*pointers, begin, end) on as many parts of [0, count) as there are threads."""
    parts = threads() if size >= PARALLEL_FROM else 1
    edges = [ctypes.c_size_t(count * part // parts) for part in range(parts + 1)]
    for part in range(1, parts):
        _helpers.work[part - 1].put((function, (*pointers, edges[part], edges[part + 1])))
    function(*pointers, edges[0], edges[1])
    for _ in range(1, parts):
        _helpers.done.get()


def _bound(function, arrays: tuple[np.ndarray, ...], *numbers: int):
    """run(count): the function over [0, count). The closure keeps the arrays alive."""
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in arrays]
    arguments = (*pointers, *map(ctypes.c_size_t, numbers))

    assert all(array.dtype == np.float32 and array.flags.c_contiguous for array in arrays)

    def run(count: int) -> None:
        _split(function, arguments, count, arrays[-1].size)

    return run


def copy(out: np.ndarray, x: np.ndarray):
    run = _bound(_lib.copy, (out, x))
    return lambda: run(x.size)


def gelu(out: np.ndarray, x: np.ndarray, a: np.ndarray, b: np.ndarray):
    run = _bound(_lib.gelu, (out, x, a, b))
    return lambda: run(x.size)


def adam(outs: list[np.ndarray], p: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray):
    run = _bound(_lib.adam, (*outs, p, g, m, v))
    return lambda: run(p.size)


def softmax(out: np.ndarray, x: np.ndarray):
    run = _bound(_lib.softmax, (out, x), x.shape[1])
    return lambda: run(x.shape[0])
