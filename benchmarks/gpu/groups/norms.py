"""Softmax, layer norm and RMS norm of rows."""

from __future__ import annotations

from gpu.ceilings import Ceilings
from gpu.devices import Given
from gpu.share import share_row
from harness import Row

GROUP = "softmax and norms"
EPS = 1e-5


def softmax(mx, m):
    return mx.softmax(m, axis=-1)


def softmax_torch(torch, m):
    return torch.softmax(m, -1)


def log_softmax(mx, m):
    return m - mx.logsumexp(m, axis=-1, keepdims=True)


def softmax_written_out(mx, m):
    e = mx.exp(m - mx.max(m, axis=-1, keepdims=True))
    return e / mx.sum(e, axis=-1, keepdims=True)


def softmax_written_out_torch(torch, m):
    e = torch.exp(m - m.amax(-1, keepdim=True))
    return e / e.sum(-1, keepdim=True)


def rms_written_out(lib, m, w):
    return m * lib.rsqrt((m * m).mean(-1, keepdims=True) + EPS) * w


def layer_norm(mx, m, w, b):
    return mx.fast.layer_norm(m, w, b, EPS)


def layer_norm_torch(torch, m, w, b):
    return torch.nn.functional.layer_norm(m, w.shape, w, b, EPS)


def rms_norm(mx, m, w):
    return mx.fast.rms_norm(m, w, EPS)


def rms_norm_torch(torch, m, w):
    return torch.nn.functional.rms_norm(m, w.shape, w, EPS)


def written_out(lib, m, w, b):
    """Layer norm as a paper writes it."""
    mean = m.mean(-1, keepdims=True)
    centred = m - mean
    var = (centred * centred).mean(-1, keepdims=True)
    return centred / lib.sqrt(var + EPS) * w + b


def rows(ceilings: Ceilings, small: bool) -> list[Row]:
    size = 1 << 12 if small else 100_000 * 1024
    found = []
    for width, dtype in (
        (1024, "float32"),
        (1024, "float16"),
        (128, "float32"),
        (4096, "bfloat16"),
        (16384, "float32"),
        (50257, "float32"),
    ):
        wide = min(width, 64) if small else width
        tall = size // wide
        m = Given((tall, wide), dtype)
        w, b = Given((wide,), dtype, seed=1), Given((wide,), dtype, seed=2)
        moved = 2.0 * tall * wide * (4 if dtype == "float32" else 2)
        close = 1e-5 if dtype == "float32" else 1e-2
        of = f"rows of {width:,}, {dtype}"

        def row(name, given, ours, torch, compile=False, moved=moved, of=of, close=close):
            return share_row(
                GROUP,
                f"{name}, {of}",
                ceilings,
                moved,
                given,
                ours,
                torch,
                compile=compile,
                tolerance=close,
            )

        first = width == 1024
        found.append(row("softmax", (m,), softmax, softmax_torch, compile=first))
        if width != 50257:
            found.append(row("layer norm", (m, w, b), layer_norm, layer_norm_torch, compile=first))
            found.append(row("rms norm", (m, w), rms_norm, rms_norm_torch, compile=first))
        if width == 1024 and dtype == "float32":
            found.append(row("layer norm written out", (m, w, b), written_out, written_out, True))
            found.append(
                row("log softmax written out", (m,), log_softmax, lambda t, m: m.log_softmax(-1))
            )
            found.append(
                row(
                    "softmax written out",
                    (m,),
                    softmax_written_out,
                    softmax_written_out_torch,
                    True,
                )
            )
            found.append(
                row("rms norm written out", (m, w), rms_written_out, rms_written_out, True)
            )
    return found
