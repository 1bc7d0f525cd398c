"""Watching it work: what was computed, how, how long it took, and which line asked for it.

While one of these is on, the line that makes each array is remembered. Otherwise they cost nothing.
"""

import json
import os

from legato import _core


class logging:  # noqa: N801
    """Prints a line for what evaluations do, in all threads.

    Args:
        areas: Areas with levels, as in "eval:2,fuse:1,mem"; a level of 1 needs no number.
            eval: each kernel and each fused program with its shapes, time, bandwidth and the line of
            the program; from 2 on views and other bookkeeping too.
            fuse: what was fused into one pass; from 2 on each program, instruction by instruction.
            mem: inputs that had to be copied and why, buffers that were reused; from 2 on the bytes held.
        output: Something with write(); standard error if None.

    `LEGATO_LOG=eval:2,fuse:1,mem` in the environment does the same from the start.

    >>> logging("eval")              # from here on
    logging('eval')
    >>> logging("")
    logging('')
    >>> with logging("eval:2,fuse"):  # here only
    ...     pass
    """

    __slots__ = ("_areas", "_old", "_old_output", "_output")

    def __init__(self, areas, output=None):
        self._areas = areas
        self._output = output
        self._old = _core._set_log(areas)
        self._old_output = _core._set_log_file(output)

    def __enter__(self):
        _core._set_log(self._areas)
        _core._set_log_file(self._output)
        return self

    def __exit__(self, *_):
        _core._set_log(self._old)  # as it was before this object was made
        _core._set_log_file(self._old_output)

    def __repr__(self):
        return f"logging({self._areas!r})"


class debug_nans:  # noqa: N801
    """Makes each evaluation fail that computes a nan, with the operation, its inputs and the line.

    Every result is looked through, which takes about as long as computing it. As a function it holds
    from here on, in a `with` statement for the block.

    >>> with debug_nans():
    ...     x = zeros(2) + 1
    """

    __slots__ = ("_old", "_on")

    def __init__(self, on=True):
        if not isinstance(on, bool):
            raise TypeError(f"debug_nans: `on` must be True or False, found {type(on).__name__}")
        self._on = on
        self._old = _core._set_debug_nans(on)

    def __enter__(self):
        _core._set_debug_nans(self._on)
        return self

    def __exit__(self, *_):
        _core._set_debug_nans(self._old)

    def __repr__(self):
        return f"debug_nans({self._on})"


class profile:  # noqa: N801
    """Records what evaluations do in a `with` block and writes it as a Chrome trace.

    Args:
        path: File to write; open it in a Chromium browser at chrome://tracing or at ui.perfetto.dev.
            None writes nothing.

    Afterwards `steps` has a dict for each step: its name, operands, device, line of the program, time
    and bytes. On a device that works in the background the time is that of the launch.

    >>> with profile() as p:
    ...     eval(exp(zeros(3)) + 1)
    >>> p.steps[0]["name"]
    'fused[exp,add]'
    """

    def __init__(self, path=None):
        self.path = path
        self.steps = []

    def __enter__(self):
        _core._start_recording()
        return self

    def __exit__(self, *_):
        self.steps = _core._stop_recording()
        if self.path is not None:
            with open(self.path, "w", encoding="utf-8") as file:
                json.dump(_chrome_trace(self.steps), file)


def _chrome_trace(steps):
    threads: dict[tuple[str, int], int] = {}
    events = []
    for s in steps:
        thread = threads.setdefault((s["device"], s["thread"]), len(threads))
        events.append(
            {
                "name": s["name"],
                "cat": s["kind"],
                "ph": "X",
                "ts": s["begin_ns"] / 1000,
                "dur": (s["end_ns"] - s["begin_ns"]) / 1000,
                "pid": os.getpid(),
                "tid": thread,
                "args": {
                    k: s[k]
                    for k in (
                        "operands",
                        "origin",
                        "bytes_read",
                        "bytes_written",
                        "copies",
                        "moved",
                        "spilled",
                        "dropped",
                        "returned",
                        "reused",
                    )
                },
            }
        )
    for (device, _), number in threads.items():
        name = {"name": f"{device}, thread {number}"}
        events.append(
            {"name": "thread_name", "ph": "M", "pid": os.getpid(), "tid": number, "args": name}
        )
    return {"traceEvents": events, "displayTimeUnit": "ms"}


class Explanation:
    """What `explain` gives. Prints as a table.

    result: what the function returned.
    steps: the steps that ran, a dict each, as in `profile`.
    """

    def __init__(self, result, steps):
        self.result = result
        self.steps = steps

    def __str__(self):
        work = [s for s in self.steps if s["kind"] in ("program", "kernel", "rows")]
        nodes = sum(s["nodes"] for s in work)
        moved = sum(s["bytes_read"] + s["bytes_written"] for s in work)
        copies = sum(s["copies"] + s["moved"] + s["spilled"] + s["returned"] for s in work)
        lines = [
            f"{_count(nodes, 'operation')} in {_count(len(work), 'pass', 'passes')} over memory, "
            f"{_bytes(moved)} read or written, {_count(copies, 'implicit copy', 'implicit copies')}"
        ]
        width = max((len(s["name"]) for s in work), default=0)
        for s in work:
            us = (s["end_ns"] - s["begin_ns"]) / 1000
            line = f"  {s['name']:<{width}}  {s['operands']}  {us:.1f} us"
            if s["copies"]:
                line += (
                    f"  {_count(s['copies'], 'input')} copied: the kernel does not take its strides"
                )
            if s["moved"]:
                line += f"  {_count(s['moved'], 'input')} copied to {s['device']}"
            if s["spilled"]:
                line += f"  {_count(s['spilled'], 'value')} spilled to host memory"
            if s["returned"]:
                line += f"  {_count(s['returned'], 'input')} brought back from host memory"
            lines.append(f"{line}  {s['origin']}".rstrip())
        return "\n".join(lines)

    __repr__ = __str__


def _count(n, one, many=None):
    return f"{n} {one if n == 1 else many or one + 's'}"


def _bytes(n):
    for unit in ("B", "KB", "MB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} GB"


def explain(fun):
    """A function that runs `fun` once, computes its results, and says how that went.

    The explanation prints as a table: operations before and passes over memory after fusion, bytes
    moved, implicit copies, and a line for each pass with its time and the line of the program.

    >>> print(explain(lambda x: exp(x) + 1)(zeros(3)).steps[0]["name"])
    fused[exp,add]
    """

    def explained(*args, **kwargs):
        _core.eval(args, kwargs)
        _core._start_recording()
        steps = []
        try:
            result = fun(*args, **kwargs)
            _core.eval(result)
        finally:
            steps = _core._stop_recording()
        return Explanation(result, steps)

    return explained


def graph(*arrays, format="text", **names):
    """The graph of arrays that are not computed yet, as text.

    Args:
        arrays: Arrays, or trees of them.
        format: "text", a line for each node, or "dot" for Graphviz.
        names: Arrays to be drawn by a name: graph(y, x=x).

    >>> x = zeros((2,)) + 1
    >>> print(graph(x), end="")
    %0 = literal[value=0, dtype=float32]  float32()
    %1 = broadcast_to[shape=(2,)](%0)  float32(2,)
    %2 = literal[value=1, dtype=float32]  float32()
    %3 = add(%1, %2)  float32(2,)
    """
    return _core._draw_graph(arrays, format, names)


def export_to_dot(file, *args, **kwargs):
    """Writes the graph of arrays that are not computed yet for Graphviz.

    Args:
        file: A path or a text file.
        args: Arrays, or trees of them.
        kwargs: Names of arrays: export_to_dot("y.dot", y, x=x).
    """
    text = _core._draw_graph(args, "dot", kwargs)
    if hasattr(file, "write"):
        file.write(text)
    else:
        with open(file, "w", encoding="utf-8") as out:
            out.write(text)


for _f in (logging, debug_nans, profile, Explanation, explain, graph, export_to_dot):
    _f.__module__ = "legato.core"
