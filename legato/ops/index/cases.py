"""Indexing, gather and scatter."""

import numpy as np

from legato.testing import (
    boolean,
    case,
    distinct,
    drawn,
    error,
    exact,
    integers,
    normal,
    rounding,
    uniform,
    values,
)

ANY = dict(dtypes="all", tol=exact)


def at(*shape, n):
    """Indices into an axis of size n, negative ones among them."""
    return integers(*shape, low=-n, high=n, dtype="int32")


def read(name, inputs, pick, **options):
    """a[pick(*indices)]."""
    case(
        name,
        inputs,
        reference=lambda a, *i: a[
            pick(*[x.astype(np.int64) if x.dtype.kind != "b" else x for x in i])
        ],
        call=lambda core, a, *i: a[pick(*i)],
        **(ANY | options),
    )


# --- numbers, slices, None, dots ---
for pick in (
    (1,),
    (-1, 0),
    (slice(None), 2),
    (..., 0),
    (None, ..., None),
    (0, None, slice(None), 1),
    (slice(None, None, -1),),
    (slice(1, None), slice(-3, None, 2), slice(None, None, -2)),
    (slice(5, 2),),
    (slice(100, None, -3),),
    (1, 2, 3),
    (),
):
    read("index", [normal(2, 3, 4)], lambda pick=pick: pick)


def refused(index, match, raises=IndexError, shape=(2, 3)):
    error("index", [normal(*shape)], call=lambda core, a: a[index], match=match, raises=raises)


refused(2, "index 2 is out of range for axis 0 of size 2")
refused((0, -4), "index -4 is out of range for axis 1 of size 3")
refused((0, 0, 0), "too many indices")
refused(0, "too many indices", shape=())
refused((..., ...), "single ellipsis")
refused(slice(None, None, 0), "step", raises=ValueError)

# --- index arrays ---
x = normal(4, 3, 5)
read("index", [x, at(6, n=4)], lambda i: i)
read("index", [x, at(2, 3, n=3)], lambda i: (slice(None), i))
read("index", [x, at(2, n=5)], lambda i: (..., i))
read("index", [x, at(2, n=4), at(2, n=3)], lambda i, j: (i, j))
read("index", [x, at(2, 1, n=4), at(3, n=5)], lambda i, j: (i, slice(None), j))
read("index", [x, at(3, n=5)], lambda i: (0, slice(None), i))
read("index", [x, at(3, n=5)], lambda i: (slice(None), 0, i))
read("index", [x, at(2, n=3), at(2, n=5)], lambda i, j: (slice(None), i, None, j))
read("index", [x, at(2, n=3), at(2, n=5)], lambda i, j: (slice(1, None, 2), i, j))
read("index", [x, at(n=4)], lambda i: i)
read("index", [x, integers(0, low=0, high=1, dtype="int32")], lambda i: i)
case(  # one element of each row
    "index",
    [normal(4, 3), at(4, n=3)],
    call=lambda core, a, i: a[core.arange(4), i],
    reference=lambda a, i: a[np.arange(4), i.astype(np.int64)],
    **ANY,
)
for kind in ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int64"):
    read("index", [x, integers(3, low=0, high=4, dtype=kind)], lambda i: i, dtypes="float32")
read(
    "index",
    [x, boolean(4, dtype="bool")],
    lambda m: m,
    skip=dict.fromkeys(("vmap", "compiled"), "the size of the result depends on the values"),
)
read(
    "index",
    [x, boolean(4, 3, dtype="bool")],
    lambda m: m,
    skip=dict.fromkeys(("vmap", "compiled"), "the size of the result depends on the values"),
)
error(
    "index",
    [normal(4), values([0, 4], dtype="int32")],
    call=lambda core, a, i: a[i],
    raises=IndexError,
    match="index 4 is out of range for axis 0 of size 4",
)
error(
    "index",
    [normal(4), values([-5], dtype="int32")],
    call=lambda core, a, i: a[i],
    raises=IndexError,
    match="index -5 is out of range",
)
error(
    "index",
    [normal(4, 3), values([0, 1, 3, 0], dtype="int32")],
    call=lambda core, a, i: a[core.arange(4), i],
    raises=IndexError,
    match="index 3 is out of range for axis 1 of size 3",
)
error(
    "index",
    [normal(4), normal(2, dtype="float32")],
    call=lambda core, a, i: a[i],
    raises=ValueError,
    match="integers or bools",
)
error(
    "index",
    [normal(4), boolean(3, dtype="bool")],
    call=lambda core, a, i: a[i],
    raises=IndexError,
    match="does not match",
)

case(
    "take",
    [normal(4, 3), at(2, 2, n=4)],
    dict(axis=0),
    reference=lambda a, i, axis: np.take(a, i.astype(int), axis),
    **ANY,
)
case(
    "take",
    [normal(4, 3), at(5, n=3)],
    dict(axis=-1),
    reference=lambda a, i, axis: np.take(a, i.astype(int), axis),
    **ANY,
)
case("take", [normal(4, 3), at(5, n=12)], reference=lambda a, i: np.take(a, i.astype(int)), **ANY)
case("take", [normal(4, 3), 2], dict(axis=0), **ANY)
error(
    "take",
    [normal(4), values([7], dtype="int32")],
    dict(axis=0),
    raises=IndexError,
    match="index 7 is out of range",
)
error("take", [normal(4), 4], dict(axis=0), raises=IndexError, match="index 4 is out of range")
error("take", [normal(4), normal(2, dtype="float32")], dict(axis=0), match="must be integers")


def along(a, i, axis=-1):
    if axis is None:
        a, i, axis = a.ravel(), i.ravel(), 0
    return np.take_along_axis(a, i.astype(np.int64), axis)


case("take_along_axis", [normal(3, 4), at(3, 2, n=4)], reference=along, **ANY)
case("take_along_axis", [normal(3, 4), at(1, 4, n=3)], dict(axis=0), reference=along, **ANY)
case("take_along_axis", [normal(2, 3, 4), at(2, 3, 1, n=4)], reference=along, **ANY)
case("take_along_axis", [normal(3, 4), at(5, n=12)], dict(axis=None), reference=along, **ANY)
error("take_along_axis", [normal(3, 4), at(3, n=3)], match="same number of dimensions")
error(
    "take_along_axis",
    [normal(3, 4), values([[4]], dtype="int32")],
    raises=IndexError,
    match="index 4 is out of range",
)

# --- assignment ---


def put_along(a, i, v, axis):
    out = a.copy()
    np.put_along_axis(out, i.astype(np.int64), v, axis)
    return out


case(
    "put_along_axis",
    [normal(3, 4), values([[2], [0], [-1]], dtype="int32"), normal(3, 1)],
    dict(axis=1),
    reference=put_along,
    **ANY,
)
case(
    "put_along_axis",
    [normal(2, 3), values([4, 0, -1], dtype="int32"), normal(3)],
    dict(axis=None),
    reference=put_along,
    **ANY,
)


def assigned(a, v, *i, pick):
    out = a.copy()
    out[pick(*[x.astype(np.int64) if x.dtype.kind != "b" else x for x in i])] = v
    return out


def assign(core, a, v, *i, pick):
    out = core.array(a)
    out[pick(*i)] = v
    return out


def write(inputs, pick, **options):
    case(
        "index_update",
        inputs,
        reference=lambda *x: assigned(*x, pick=pick),
        call=lambda core, *x: assign(core, *x, pick=pick),
        **(ANY | options),
    )


write([normal(2, 3), normal(3)], lambda: 0)
write([normal(2, 3), normal()], lambda: (..., 1))
write([normal(4, 3), normal(2, 3)], lambda: slice(None, None, -2))
write([normal(2, 3), normal(2, 3)], lambda: ...)
write([normal(4, 3), normal(2, 3), values([2, 0], dtype="int32")], lambda i: i)
write([normal(4, 3), normal(4, 2), values([2, -3], dtype="int32")], lambda i: (slice(None), i))
write([normal(4, 3), normal(2, 3), values([1, 1], dtype="int32")], lambda i: i)
write([normal(4, 3, 2), normal(2), values([1, 2], dtype="int32")], lambda i: (3, i, 0))
write([normal(4, 3), normal(), boolean(4, 3, dtype="bool")], lambda m: m)
write([normal(4, 3), normal(3), boolean(4, dtype="bool")], lambda m: m)


def accumulate(name, ufunc, inputs, **options):
    def reference(a, v, i):
        out = a.copy()
        ufunc.at(out, i.astype(np.int64), v)
        return out

    case(
        "at." + name,
        inputs,
        reference=reference,
        call=lambda core, a, v, i: getattr(a.at[i], name)(v),
        **options,
    )


repeats = values([1, 3, 1, -4], dtype="int32")
accumulate("add", np.add, [normal(5), normal(4), repeats], dtypes="real complex", tol=rounding(4))
accumulate(
    "add", np.add, [normal(5, 3), normal(4, 3), repeats], dtypes="real complex", tol=rounding(4)
)
accumulate(
    "subtract", np.subtract, [normal(5), normal(4), repeats], dtypes="real complex", tol=rounding(4)
)
accumulate(
    "multiply", np.multiply, [normal(5), normal(4), repeats], dtypes="inexact", tol=rounding(4)
)
accumulate(
    "divide",
    np.divide,
    [normal(5), uniform(4, low=1, high=2), repeats],
    dtypes="inexact",
    tol=rounding(4),
)
accumulate(
    "maximum",
    np.maximum,
    [distinct(5), distinct(4), repeats],
    dtypes="real",
    tol=exact,
    skip={"vjp": "ties between array and updates", "jvp": "ties between array and updates"},
)
accumulate(
    "minimum",
    np.minimum,
    [distinct(5), distinct(4), repeats],
    dtypes="real",
    tol=exact,
    skip={"vjp": "ties between array and updates", "jvp": "ties between array and updates"},
)

# Many updates of few places, one and several columns, packed or not.
SMALL_ROWS = {mode: "the small rows differentiate" for mode in ("vjp", "jvp")}


def many(n, places):
    return drawn(n, by=lambda rng, s: rng.integers(-places, places, s), kind="int", dtype="int32")


for columns in ((), (3,), (8,), (40,)):
    accumulate(
        "add",
        np.add,
        [integers(7, *columns, low=-9), integers(300, *columns, low=-9), many(300, 7)],
        dtypes="float32 float16 float64 int8 int64 bool complex64",
        tol=rounding(300, scale="abs"),
        skip=SMALL_ROWS,
    )
    accumulate(
        "maximum",
        np.maximum,
        [integers(7, *columns), integers(300, *columns), many(300, 7)],
        dtypes="float32 float16 int8 uint16 int64 float64",
        tol=exact,
        skip=SMALL_ROWS,
    )
    write(
        [normal(7, *columns), normal(300, *columns), many(300, 7)],
        lambda i: i,
        dtypes="float32 float16 uint8 complex128",
        skip=SMALL_ROWS,
    )
accumulate(
    "add",
    np.add,
    [normal(9000), normal(3), values([8999, 5, 8999], dtype="int32")],
    tol=rounding(4),
)

# --- nonzero ---
for shape in ((7,), (3, 4), (2, 0)):
    case(
        "nonzero",
        [boolean(*shape)],
        call=lambda core, a: core.nonzero(a),
        dtypes="bool",
        out=["int32"] * len(shape),
        skip={mode: "the number of places depends on the values" for mode in ("compiled", "vmap")},
    )
case(
    "nonzero",
    [boolean(9000)],
    dtypes="bool",
    out=["int32"],
    skip={mode: "the number of places depends on the values" for mode in ("compiled", "vmap")},
)
case(
    "nonzero",
    [integers(4, 3, low=-1, high=2)],
    dtypes="floats ints complex",
    out=["int32", "int32"],
    skip={mode: "the number of places depends on the values" for mode in ("compiled", "vmap")},
)
error("nonzero", [normal()], match="a 0-d array has no positions")

# --- dynamic slices, masks ---
case(
    "slice",
    [normal(4, 5), values([1, -2], dtype="int32")],
    dict(axes=(0, 1), slice_size=(2, 2)),
    reference=lambda a, s, **k: a[1:3, 3:5],
    **ANY,
)
case(
    "slice_update",
    [normal(4, 5), normal(2, 5), values([1], dtype="int32")],
    dict(axes=(0,)),
    reference=lambda a, u, s, axes: np.concatenate([a[:1], u, a[3:]]),
    skip={"shapeless": "sizes stand in the reference"},
    **ANY,
)
error(
    "slice",
    [normal(4), values([3], dtype="int32")],
    dict(axes=(0,), slice_size=(2,)),
    raises=IndexError,
    match="does not lie inside axis 0 of size 4",
)
error(
    "slice",
    [normal(4), values([0], dtype="int32")],
    dict(axes=(0,), slice_size=(5,)),
    match="does not fit axis 0",
)
error(
    "slice",
    [normal(4), values([0, 0], dtype="int32")],
    dict(axes=(0,), slice_size=(1,)),
    match="one start index for each",
)


def masked_select(a, mask, size):
    rows = a[mask.astype(bool)][:size]
    return np.concatenate([rows, np.zeros((size - len(rows), *rows.shape[1:]), a.dtype)])


case(
    "masked_select",
    [normal(6), boolean(6, dtype="bool")],
    dict(size=4),
    reference=masked_select,
    **ANY,
)
case(
    "masked_select",
    [normal(4, 3), boolean(4, dtype="bool")],
    dict(size=4),
    reference=masked_select,
    **ANY,
)
