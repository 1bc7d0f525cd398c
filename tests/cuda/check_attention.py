"""Attention and its derivative on the GPU, masks above all, against float64. Run by itself, on whatever GPU there is:

    python tests/cuda/check_attention.py [PATTERN...]

With regular expressions only rows in whose text all of them are found. The kernels of Hopper run on hardware alone, so
only there this checks them; on the emulated GPU (test_attention_masks.py) the same rows check the portable kernels.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np

import legato.core as lg

HALVES = {"f16": np.float16, "bf16": ml_dtypes.bfloat16}
TOLERANCE = {"f16": 4e-3, "bf16": 3e-2}  # of weights and results that are rounded to halves
LOWEST = float(np.finfo(np.float32).min)


@dataclass
class Row:
    """q (batch, heads, queries, width), k and v of `kv_heads` heads. `mask`: a key of MASKS and how it is applied."""

    batch: int
    heads: int
    kv_heads: int
    queries: int
    keys: int
    width: int
    value_width: int
    mask: tuple[str, str] | None = None
    sinks: bool = False
    scale: float | None = None
    dtype: str = "f16"

    def __str__(self) -> str:
        mask = "none" if self.mask is None else " ".join(self.mask)
        sinks = " sinks" if self.sinks else ""
        return (
            f"{self.batch} {self.heads}/{self.kv_heads} {self.queries}x{self.keys} {self.width}/{self.value_width} "
            f"{mask}{sinks} {self.scale or ''} {self.dtype}"
        )


# What of the scores a mask has an element for, and how it lies in memory: shape -> a view of that shape, made of
# `some(shape)`, an array of that shape without gaps.
MASKS: dict[str, Any] = {
    "rows": lambda r, some: some((r.queries, r.keys)),
    "one": lambda r, some: some((r.keys,)),
    "batch": lambda r, some: some((r.batch, 1, 1, r.keys)),
    "batch-rows": lambda r, some: some((r.batch, 1, r.queries, r.keys)),
    "heads": lambda r, some: some((r.heads, 1, r.keys)),
    "heads-rows": lambda r, some: some((1, r.heads, r.queries, r.keys)),
    "all": lambda r, some: some((r.batch, r.heads, r.queries, r.keys)),
    "columns": lambda r, some: some((r.queries, 1)),
    "sliced": lambda r, some: some((r.queries + 5, r.keys + 19))[4:-1, 3:-16],
    "aligned-slice": lambda r, some: some((r.queries + 5, r.keys // 16 * 16 + 48))[
        4:-1, 16 : 16 + r.keys
    ],
    "turned": lambda r, some: some((r.keys, r.queries)).T,
    "every-second": lambda r, some: some((r.batch, 1, r.queries * 2, r.keys * 2))[:, :, ::2, ::2],
    "backwards": lambda r, some: some((r.queries, r.keys))[::-1],
    "spread": lambda r, some: lg.broadcast_to(
        some((r.batch, 1, r.queries, r.keys)), (r.batch, r.heads, r.queries, r.keys)
    ),
}
SMALL = [
    Row(2, 4, 2, 200, 272, 64, 64),
    Row(1, 2, 1, 70, 77, 40, 40),
    Row(2, 2, 2, 130, 150, 128, 128),
]


def rows() -> list[Row]:
    found = []
    for base in SMALL:
        for dtype in HALVES:
            for layout in MASKS:
                for how in ["kept", "added"]:
                    found.append(replace(base, mask=(layout, how), dtype=dtype))
            for mask in [None, ("causal", "")]:
                for sinks in [False, True]:
                    found.append(replace(base, mask=mask, sinks=sinks, dtype=dtype))
        for layout in ["rows", "batch", "all"]:
            for how in ["kept", "added", "lowest", "infinite", "one-key", "late"]:
                found.append(replace(base, mask=(layout, how)))
                found.append(replace(base, mask=(layout, how), sinks=True, dtype="bf16"))
    found += [
        Row(1, 2, 2, 60, 333, 64, 48, ("rows", "kept"), scale=-0.2),
        Row(1, 2, 2, 60, 333, 64, 48, ("rows", "added"), scale=-0.2),
        Row(1, 2, 2, 60, 333, 64, 48, None, scale=-0.2),
        Row(1, 2, 1, 1, 1500, 64, 64, ("one", "kept")),
        Row(1, 2, 1, 1, 1501, 128, 128, ("batch", "added")),
        Row(1, 2, 1, 1200, 1, 64, 64, ("rows", "added")),
        Row(1, 2, 1, 193, 129, 80, 96, ("rows", "kept")),
        Row(1, 2, 1, 193, 129, 160, 160, ("rows", "kept")),
        Row(1, 2, 1, 193, 129, 160, 160, ("rows", "added")),
        Row(1, 2, 1, 129, 193, 256, 200, ("rows", "added")),
        Row(1, 2, 1, 129, 193, 256, 256, ("batch", "kept"), dtype="bf16"),
        Row(1, 1, 1, 500, 300, 64, 64, ("causal", "")),
        Row(1, 1, 1, 300, 500, 128, 128, ("causal", "")),
        Row(1, 1, 1, 100, 90, 64, 64, ("rows", "integers")),
    ]
    return found


def mask_of(row: Row, rng: np.random.Generator) -> Any:
    layout, how = row.mask or ("", "")
    half = HALVES[row.dtype]

    def some(shape: tuple[int, ...]) -> Any:
        kept = rng.random(shape) > 0.3
        if how == "one-key":
            kept = np.zeros(shape, bool)
            kept[..., -1:] = True
        if how == "late":  # as padding on the left: tiles without a key, before and behind
            kept = np.zeros(shape, bool)
            kept[..., shape[-1] // 2 : shape[-1] // 2 + 3] = True
        if how in ("kept", "one-key", "late"):
            if len(shape) > 1 and shape[-2] > 1:
                kept[..., :: max(1, shape[-2] // 5), :] = False  # queries that look nowhere
            return lg.array(kept)
        if how == "integers":
            return lg.array(rng.integers(-2, 3, shape))
        added = rng.standard_normal(shape)
        lowest = float(ml_dtypes.finfo(half).min)
        if how == "lowest":
            added = np.where(kept, 0, lowest)
            if len(shape) > 1 and shape[-2] > 1:
                added[..., :: max(1, shape[-2] // 5), :] = lowest
        if how == "infinite":
            added = np.where(kept, added, -np.inf)
            added[..., 1] = 0  # so that no query looks nowhere
        return lg.array(added.astype(half))

    return MASKS[layout](row, some)


def right(row: Row, q, k, v, g, mask, sinks, scale):
    """The result and the cotangents of q, k and v in float64; scores are float32 once a mask is added."""
    group = row.heads // row.kv_heads
    wide_k, wide_v = np.repeat(k, group, 1), np.repeat(v, group, 1)
    scores = q @ np.swapaxes(wide_k, -1, -2) * scale
    kept = None
    if isinstance(mask, str):
        kept = np.arange(row.queries)[:, None] + row.keys - row.queries >= np.arange(row.keys)
    elif mask is not None and mask.dtype == bool:
        kept = np.broadcast_to(mask, scores.shape)
    elif mask is not None:
        scores = (scores.astype(np.float32) + mask.astype(np.float32)).astype(np.float64)
    if kept is not None:
        scores = np.where(kept, scores, LOWEST)
    most = scores.max(-1, keepdims=True)
    if sinks is not None:
        sink = np.broadcast_to(sinks.astype(np.float64)[:, None, None], most.shape)
        most = np.maximum(most, sink)
    weights = np.exp(scores - most)
    total = weights.sum(-1, keepdims=True)
    if sinks is not None:
        total = total + np.exp(sink - most)
    weights /= total
    y = weights @ wide_v
    d = weights * (g @ np.swapaxes(wide_v, -1, -2) - (y * g).sum(-1, keepdims=True))
    if kept is not None:
        d = np.where(kept, d, 0)

    def shared(a):
        return a.reshape(row.batch, row.kv_heads, group, *a.shape[2:]).sum(2)

    return [
        y,
        d @ wide_k * scale,
        shared(np.swapaxes(d, -1, -2) @ q) * scale,
        shared(np.swapaxes(weights, -1, -2) @ g),
    ]


def check(row: Row, seed: int) -> list[float]:
    """The errors of the result and of the cotangents, relative to the largest number that is right, or to 1."""
    rng = np.random.default_rng(seed)
    half = HALVES[row.dtype]

    def some(n, heads, width):  # as it comes out of a projection
        a = rng.standard_normal((row.batch, n, heads, width)).astype(half)
        return lg.array(a).swapaxes(1, 2)

    q, k = some(row.queries, row.heads, row.width), some(row.keys, row.kv_heads, row.width)
    v = some(row.keys, row.kv_heads, row.value_width)
    g = some(row.queries, row.heads, row.value_width)
    mask = None if row.mask is None else "causal" if row.mask[0] == "causal" else mask_of(row, rng)
    sinks = lg.array(rng.standard_normal(row.heads).astype(np.float32)) if row.sinks else None
    scale = row.scale or row.width**-0.5

    def attend(q, k, v):
        return lg.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask=mask, sinks=sinks)

    alone = attend(q, k, v)
    y, grads = lg.vjp(attend, [q, k, v], [g])
    lg.eval(alone, y, grads)

    def known(a):
        if a is None or isinstance(a, str):
            return a
        return np.array(a if a.dtype == lg.bool_ else a.astype(lg.float32))

    given = [known(a).astype(np.float64) for a in (q, k, v, g)]
    expected = right(row, *given, known(mask), known(sinks), scale)
    errors = []
    for a, b in zip([alone, y[0], *grads], [expected[0], *expected], strict=True):
        error = np.abs(known(a) - b).max() / max(1, np.abs(b).max())
        errors.append(float(error) if np.isfinite(error) else float("inf"))
    return errors


def main(patterns: list[str]) -> int:
    if not lg.is_available(lg.gpu):
        print("no GPU: python -m legato info says why")
        return 2
    lg.set_default_device(lg.gpu)
    failures, worst = 0, dict.fromkeys(HALVES, 0.0)
    chosen = [row for row in rows() if all(re.search(p, str(row)) for p in patterns)]
    for i, row in enumerate(chosen):
        errors = check(row, i)
        worst[row.dtype] = max(worst[row.dtype], *errors)
        if max(errors) > TOLERANCE[row.dtype]:
            failures += 1
            found = " ".join(f"{e:.2g}" for e in errors)
            print(f"WRONG  {row}: y alone, y, dq, dk, dv {found}", flush=True)
    print(f"{len(chosen)} rows, {failures} wrong; largest errors {worst}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
