"""Sorting, selecting, searching."""

import numpy as np

from legato.testing import boolean, case, distinct, drawn, error, exact, integers, normal, values

for axis in (-1, 0, 1, None):
    case("sort", [distinct(4, 5, 6)], dict(axis=axis), dtypes="real", tol=exact)
    case(
        "argsort",
        [integers(3, 40, 2, high=6)],
        dict(axis=axis),
        reference=lambda a, axis: np.argsort(a, axis, kind="stable"),
        dtypes="real",
        out="uint32",
        tol=exact,
    )
case(
    "sort",
    [values([3.0, np.nan, -np.inf, np.inf, 1.0])],
    tol=exact,
    skip={"vjp": "not finite", "jvp": "not finite"},
)
case("sort", [distinct(2000)], dtypes="float32 float64 float16 ints", tol=exact)
case(
    "sort",
    [distinct(2000)],
    dtypes="bfloat16",
    tol=exact,
    skip={"vjp": "2,000 values of 8 bits have ties", "jvp": "2,000 values of 8 bits have ties"},
)
case("sort", [boolean(9)], tol=exact)
case("sort", [normal(3, 0)], tol=exact)

for kth in (0, 3, -1):
    case(
        "partition",
        [distinct(2, 6)],
        dict(kth=kth),
        reference=lambda a, kth: np.sort(a, -1)[..., kth],
        call=lambda mx, a, kth: mx.partition(a, kth)[..., kth],
        dtypes="real",
        tol=exact,
    )
    case(
        "argpartition",
        [distinct(2, 6)],
        dict(kth=kth),
        reference=lambda a, kth: np.argsort(a, -1)[..., kth],
        call=lambda mx, a, kth: mx.argpartition(a, kth)[..., kth],
        dtypes="real",
        out="uint32",
        tol=exact,
    )
for k, axis in ((2, -1), (3, 0), (0, 1), (6, 1)):
    case(
        "topk",
        [distinct(4, 6)],
        dict(k=k, axis=axis),
        reference=lambda a, k, axis: np.take(
            np.sort(a, axis), range(a.shape[axis] - k, a.shape[axis]), axis
        ),
        dtypes="real",
        tol=exact,
    )


def rising(rng, shape):
    return np.sort(rng.integers(0, 20, shape))


for side in ("left", "right"):
    case(
        "searchsorted",
        [drawn(12, by=rising, kind="int"), integers(3, 4, high=20)],
        dict(side=side),
        reference=lambda s, v, side: np.searchsorted(s, v, side),
        dtypes="real",
        out="uint32",
        tol=exact,
        skip={
            "vmap": "the sequence must stay sorted: it is drawn, not stacked",
            **{mode: "the result is an index" for mode in ("vjp", "jvp")},
        },
    )

# Longer rows, by digits: in one tile, in several, and other axes than the last.
SMALL_ROWS = {mode: "the small rows differentiate" for mode in ("vjp", "jvp")}
for shape, axis in (((3, 300), 1), ((2, 2500), 1), ((9000,), 0), ((600, 3), 0)):
    case(
        "sort",
        [distinct(*shape)],
        dict(axis=axis),
        dtypes="float32 int64 uint8 bfloat16",
        tol=exact,
        skip=SMALL_ROWS,
    )
    case(
        "argsort",
        [integers(*shape, high=50)],
        dict(axis=axis),
        reference=lambda a, axis: np.argsort(a, axis, kind="stable"),
        dtypes="float16 float32 int8 uint64 complex64",
        out="uint32",
        tol=exact,
    )
case(
    "argsort",
    [integers(2, 2500, high=7)],
    reference=lambda a: np.argsort(a, -1, kind="stable"),
    dtypes="complex128",
    out="uint32",
    tol=exact,
)
for op in ("sort", "argsort"):
    case(
        op,
        [values(np.tile([np.nan, 0.0, -0.0, np.inf, -1.0, np.nan, -np.inf], 60))],
        reference=(np.sort if op == "sort" else lambda a: np.argsort(a, kind="stable")),
        out=None if op == "sort" else "uint32",
        tol=exact,
        skip={mode: "ties" for mode in ("vjp", "jvp")},
    )

error("sort", [normal(3)], dict(axis=1), raises=IndexError, match="axis 1 is out of range")
error("partition", [normal(3)], dict(kth=3), match="kth is 3")
error("argpartition", [normal(3)], dict(kth=-4), match="kth is -4")
error("topk", [normal(3)], dict(k=4), match="k is 4")
error("searchsorted", [normal(2, 2), normal(3)], match="expected one dimension")
error("searchsorted", [normal(2), normal(3)], dict(side="middle"), match="left")


# --- unique ---
def unique(a, size, fill_value=None):
    """Values, first indices, inverse and counts, padded or cut to `size`."""
    v, index, inverse, counts = np.unique(a, True, True, True, equal_nan=True)
    fill = [v[0], index[0], None, 0] if fill_value is None else [fill_value, index[0], None, 0]
    out = []
    for x, padding in zip((v, index, inverse, counts), fill, strict=True):
        if padding is None:
            out.append(np.minimum(inverse.reshape(a.shape), size - 1))
        else:
            out.append(np.concatenate([x[:size], np.full(max(size - len(x), 0), padding, x.dtype)]))
    return tuple(out)


EVERYTHING = dict(return_index=True, return_inverse=True, return_counts=True)
ALL_FOUR = dict(
    call=lambda mx, a, size, **k: mx.unique(a, size, **k, **EVERYTHING),
    reference=unique,
    out=[None, "uint32", "uint32", "int32"],
    tol=exact,
    skip={"vjp": "ties of equal elements", "jvp": "ties of equal elements"},
)
for size in (1, 3, 12):
    case("unique", [integers(4, 5, high=7), size], dtypes="real", **ALL_FOUR)
case("unique", [integers(20, high=4), 6], dict(fill_value=9), dtypes="real", **ALL_FOUR)
case("unique", [boolean(9), 2], **ALL_FOUR)
case("unique", [values([np.nan, 1.0, np.nan, -np.inf, 1.0]), 3], **ALL_FOUR)
case(
    "unique",
    [distinct(12), 12],
    reference=lambda a, size: np.sort(a)[:size],
    tol=exact,
    skip={"shapeless": "the size stands in the row"},
)
case(
    "unique",
    [integers(4, 5, high=7)],
    call=lambda mx, a: mx.unique(a, return_counts=True),
    reference=lambda a: np.unique(a, return_counts=True),
    dtypes="real",
    out=[None, "int32"],
    tol=exact,
    skip={mode: "the number of elements depends on the values" for mode in ("compiled", "vmap")}
    | {"vjp": "ties of equal elements", "jvp": "ties of equal elements"},
)
error("unique", [normal(3), -1], match="size is -1")
error("unique", [normal(3)], dict(fill_value=0), match="without a size to fill")
