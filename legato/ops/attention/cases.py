"""Attention: grouped heads, masks by word, by truth and by addition, sinks."""

import numpy as np

from legato.testing import boolean, case, error, normal, rounding

NAME = "fast.scaled_dot_product_attention"


def attention(q, k, v, mask=None, sinks=None, *, scale):
    groups, rest = divmod(q.shape[1], k.shape[1])
    if rest:
        raise ValueError("the heads do not fit")
    k, v = np.repeat(k, groups, 1), np.repeat(v, groups, 1)
    scores = scale * q @ np.swapaxes(k, -1, -2)
    queries, keys = scores.shape[-2:]
    if isinstance(mask, str):
        mask = np.arange(queries)[:, None] + keys - queries >= np.arange(keys)
    if mask is not None:
        mask = np.asarray(mask)
        scores = np.where(mask, scores, -1e30) if mask.dtype == bool else scores + mask
    if sinks is not None:
        sink = np.broadcast_to(sinks[:, None, None], (*scores.shape[:-1], 1))
        scores = np.concatenate([scores, sink], -1)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return weights[..., :keys] @ v


def row(inputs, mask=None, sinks=None, scale=0.5):
    """Inputs are q, k, v, then the mask if it is an array, then the sinks."""
    extra = [x for x in (mask if not isinstance(mask, str) else None, sinks) if x is not None]
    word = mask if isinstance(mask, str) else None

    def arguments(rest):
        rest = list(rest)
        m = rest.pop(0) if mask is not None and word is None else word
        return m, rest.pop(0) if sinks is not None else None

    def call(mx, q, k, v, *rest):
        m, s = arguments(rest)
        return mx.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask=m, sinks=s)

    def reference(q, k, v, *rest):
        m, s = arguments(rest)
        return attention(q, k, v, m, s, scale=scale)

    case(NAME, [*inputs, *extra], call=call, reference=reference, tol=rounding(16), grad_tol=256)


ONE = [normal(1, 2, 3, 4), normal(1, 2, 5, 4), normal(1, 2, 5, 4)]
SQUARE = [normal(2, 2, 5, 4), normal(2, 2, 5, 4), normal(2, 2, 5, 3)]
GROUPED = [normal(2, 4, 3, 4), normal(2, 2, 7, 4), normal(2, 2, 7, 6)]
DECODE = [normal(2, 6, 1, 8), normal(2, 1, 9, 8), normal(2, 1, 9, 8)]
for inputs in (ONE, SQUARE, GROUPED, DECODE):
    row(inputs)
    row(inputs, mask="causal", scale=0.3)
row(ONE, mask=boolean(3, 5, dtype="bool"))
row(ONE, mask=normal(3, 5))
row(GROUPED, mask=boolean(2, 1, 3, 7, dtype="bool"))
row(GROUPED, mask=normal(4, 1, 7))
row(GROUPED, sinks=normal(4))
row(ONE, mask=normal(1, 2, 3, 5), sinks=normal(2))
row([normal(1, 2, 1, 4), normal(1, 2, 1, 4), normal(1, 2, 1, 4)], mask="causal")
row([normal(1, 1, 33, 16), normal(1, 1, 33, 16), normal(1, 1, 33, 16)], mask="causal")
# Longer and wider than a tile of a kernel, with a remainder; rows that a mask leaves without a key.
TEXT = [normal(1, 2, 70, 40), normal(1, 1, 77, 40), normal(1, 1, 77, 40)]
LONG = [normal(1, 1, 150, 16), normal(1, 1, 90, 16), normal(1, 1, 90, 20)]
WIDE = [normal(1, 2, 5, 100), normal(1, 1, 70, 100), normal(1, 1, 70, 72)]
WIDER = [normal(1, 1, 3, 257), normal(1, 1, 4, 257), normal(1, 1, 4, 8)]
row(TEXT, scale=40**-0.5)
row(LONG, mask="causal", scale=0.25)
row(LONG, mask=boolean(150, 90, dtype="bool"), scale=0.25)
row(WIDE, scale=0.1)
row(WIDE, mask=normal(5, 70), sinks=normal(2), scale=-0.1)
row(WIDER, scale=0.1)
# Of rows long enough for tensor cores: heads of Stable Diffusion, grouped heads, sinks beside masks.
HEADS_80 = [normal(1, 1, 40, 80), normal(1, 1, 66, 80), normal(1, 1, 66, 80)]
HEADS_160 = [normal(1, 1, 36, 160), normal(1, 1, 50, 160), normal(1, 1, 50, 160)]
SHARED = [normal(2, 4, 33, 24), normal(2, 2, 70, 24), normal(2, 2, 70, 16)]
row(HEADS_80, scale=80**-0.5)
row(HEADS_160, scale=160**-0.5)
row(SHARED, mask="causal", scale=0.2)
row(SHARED, sinks=normal(4), scale=0.2)
row(SHARED, mask=normal(4, 1, 70), sinks=normal(4), scale=0.2)
row(SHARED, mask=boolean(2, 1, 33, 70, dtype="bool"), scale=-0.2)
row(LONG, mask="causal", sinks=normal(1), scale=0.25)

error(NAME, [normal(2, 3), normal(2, 3), normal(2, 3)], dict(scale=1), match="shapes do not fit")
error(
    NAME,
    [normal(1, 3, 2, 4), normal(1, 2, 2, 4), normal(1, 2, 2, 4)],
    dict(scale=1),
    match="Hq a multiple of Hkv",
)
error(NAME, ONE, dict(scale=1, mask="acausal"), match='the only word it knows is "causal"')
error(
    NAME,
    ONE,
    match=r"\(4, 5\) and \(1, 2, 3, 5\) cannot be broadcast",
    call=lambda mx, q, k, v: mx.fast.scaled_dot_product_attention(
        q, k, v, scale=1, mask=mx.zeros((4, 5))
    ),
)
error(
    NAME,
    ONE,
    match=r"sinks need shape \(2,\)",
    call=lambda mx, q, k, v: mx.fast.scaled_dot_product_attention(
        q, k, v, scale=1, sinks=mx.zeros(3)
    ),
)
