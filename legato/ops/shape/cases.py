"""Shapes and views."""

import numpy as np

from legato.testing import case, error, exact, integers, normal

ANY = dict(dtypes="all", tol=exact)


def at_last(a, axes):
    return np.transpose(a, axes)


# --- copies between layouts: through tiles that are full or not, in packs, element by element ---
for shape, axes in (
    ((33, 40), (1, 0)),
    ((130, 70), (1, 0)),
    ((2, 65, 17), (0, 2, 1)),
    ((3, 5, 64), (1, 0, 2)),
):
    case(
        "contiguous",
        [normal(*shape)],
        call=lambda mx, a, axes=axes: mx.contiguous(mx.transpose(a, axes)),
        reference=lambda a, axes=axes: np.transpose(a, axes),
        dtypes="bool int8 float16 float32 float64 complex128",
        tol=exact,
        skip={mode: "the small rows differentiate" for mode in ("vjp", "jvp")},
    )
for pick in (np.s_[::-1], np.s_[:, 1:39], np.s_[:, ::2], np.s_[1:, 1:], np.s_[:, ::-1]):
    case(
        "contiguous",
        [normal(5, 40)],
        call=lambda mx, a, pick=pick: mx.contiguous(a[pick]),
        reference=lambda a, pick=pick: a[pick],
        dtypes="bool float16 float32 float64 complex128",
        tol=exact,
        skip={mode: "the small rows differentiate" for mode in ("vjp", "jvp")},
    )

# --- reshape and its kin ---
case(
    "reshape",
    [normal(2, 6)],
    dict(shape=(3, 4)),
    reference=lambda a, shape: a.reshape(shape),
    **ANY,
)
case(
    "reshape",
    [normal(2, 6)],
    dict(shape=(2, -1, 2)),
    reference=lambda a, shape: a.reshape(shape),
    **ANY,
)
case(
    "reshape",
    [normal(2, 0)],
    dict(shape=(0, 7)),
    reference=lambda a, shape: a.reshape(shape),
    **ANY,
)
case("reshape", [normal()], dict(shape=(1, 1)), reference=lambda a, shape: a.reshape(shape), **ANY)
case("flatten", [normal(2, 3, 4)], reference=np.ravel, **ANY)
case(
    "flatten",
    [normal(2, 3, 4)],
    dict(start_axis=1),
    reference=lambda a, start_axis: a.reshape(2, 12),
    **ANY,
)
case("flatten", [normal(2, 3, 4)], dict(start_axis=-3, end_axis=-2), result_shape=(6, 4), **ANY)
case("flatten", [normal()], reference=np.ravel, **ANY)
case(
    "unflatten",
    [normal(2, 6)],
    dict(axis=-1, shape=(3, -1)),
    reference=lambda a, axis, shape: a.reshape(2, 3, 2),
    **ANY,
)
case("expand_dims", [normal(2, 3)], dict(axis=1), **ANY)
case("expand_dims", [normal(2, 3)], dict(axis=(0, -1)), **ANY)
case("squeeze", [normal(1, 2, 1, 3)], **ANY)
case("squeeze", [normal(1, 2, 1, 3)], dict(axis=-2), **ANY)
case("atleast_1d", [normal()], **ANY)
case("atleast_2d", [normal(3)], **ANY)
case("atleast_3d", [normal(3)], **ANY)
case("atleast_3d", [normal(3, 2)], **ANY)
error(
    "reshape",
    [normal(2, 6)],
    dict(shape=(5,)),
    match=r"\(2, 6\) holds 12 elements, which do not fill \(5,\)",
)
error("reshape", [normal(2, 6)], dict(shape=(-1, -1)), match="more than one -1")
error("reshape", [normal(2, 6)], dict(shape=(-3, 4)), match="negative size")
error("reshape", [normal(0)], dict(shape=(0, -1)), match="do not fill")
error("flatten", [normal(2, 3)], dict(start_axis=1, end_axis=0), match="lies behind")
error(
    "flatten", [normal(2, 3)], dict(start_axis=2), raises=IndexError, match="axis 2 is out of range"
)
error("unflatten", [normal(6)], dict(axis=0, shape=(4, -1)), match="do not fill")
error("unflatten", [normal(6)], dict(axis=0, shape=()), match="at least one size")
error("expand_dims", [normal(2)], dict(axis=(0, 0)), match="named twice")
error("expand_dims", [normal(2)], dict(axis=3), raises=IndexError, match="axis 3 is out of range")
error("squeeze", [normal(2, 1)], dict(axis=0), match="only axes of size 1")

# --- transpose and its kin ---
case("transpose", [normal(2, 3, 4)], **ANY)
case(
    ["transpose", "permute_dims"],
    [normal(2, 3, 4)],
    dict(axes=(1, -1, 0)),
    reference=at_last,
    **ANY,
)
case("transpose", [normal()], **ANY)
case("swapaxes", [normal(2, 3, 4)], dict(axis1=0, axis2=-1), **ANY)
case("moveaxis", [normal(2, 3, 4)], dict(source=0, destination=-1), **ANY)
case("moveaxis", [normal(2, 3, 4)], dict(source=(0, 1), destination=(-1, 0)), **ANY)
case("matrix_transpose", [normal(2, 3, 4)], reference=lambda a: np.swapaxes(a, -1, -2), **ANY)
case("contiguous", [normal(3, 4)], reference=lambda a: a, **ANY)
error("transpose", [normal(2, 3)], dict(axes=(0,)), match="must name each axis")
error("transpose", [normal(2, 3)], dict(axes=(0, 0)), match="named twice")
error(
    "transpose",
    [normal(2, 3)],
    dict(axes=(0, 2)),
    raises=IndexError,
    match="axis 2 is out of range",
)
error(
    "swapaxes",
    [normal(2, 3)],
    dict(axis1=0, axis2=2),
    raises=IndexError,
    match="axis 2 is out of range",
)
error("moveaxis", [normal(2, 3)], dict(source=(0, 1), destination=0), match="same length")
error("matrix_transpose", [normal(3)], match="at least two dimensions")

# --- broadcasts ---
case("broadcast_to", [normal(3, 1)], dict(shape=(2, 3, 4)), **ANY)
case("broadcast_to", [normal(1, 3)], dict(shape=(0, 3)), **ANY)
case("broadcast_to", [normal()], dict(shape=(2, 2)), **ANY)
case(
    "broadcast_arrays",
    [normal(3, 1), normal(4)],
    reference=lambda a, b: tuple(np.broadcast_arrays(a, b)),
    **ANY,
)
case("meshgrid", [normal(3), normal(2)], reference=lambda a, b: tuple(np.meshgrid(a, b)), **ANY)
case(
    "meshgrid",
    [normal(3), normal(2), normal(1)],
    dict(indexing="ij", sparse=True),
    reference=lambda *a, **k: tuple(np.meshgrid(*a, **k)),
    **ANY,
)
error("broadcast_to", [normal(3)], dict(shape=(4,)), match="does not broadcast to")
error("broadcast_to", [normal(2, 3)], dict(shape=(3,)), match="does not broadcast to")
error("broadcast_to", [normal(1)], dict(shape=(-1,)), match="negative size")
error("broadcast_arrays", [normal(3), normal(4)], match="cannot be broadcast")
error("meshgrid", [normal(3)], dict(indexing="yx"), match="'xy' or 'ij'")
error("meshgrid", [normal(3, 2)], match="1-d arrays")

# --- windows and bytes ---


def strided(a, shape, strides, offset=0):
    flat = np.ravel(a)
    at = np.full(shape, offset)
    for axis, stride in enumerate(strides):
        at = (
            at
            + np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(shape))])
            * stride
        )
    return flat[at]


case("as_strided", [normal(6)], dict(shape=(4, 3), strides=(1, 1)), reference=strided, **ANY)
case(
    "as_strided",
    [normal(2, 3)],
    dict(shape=(2, 2), strides=(-2, 1), offset=4),
    reference=strided,
    **ANY,
)
error(
    "as_strided",
    [normal(6)],
    dict(shape=(4, 4), strides=(1, 1)),
    match="reaches beyond the 6 elements",
)
error("as_strided", [normal(6)], dict(shape=(2,), strides=(-1,)), match="reaches beyond")
error("as_strided", [normal(6)], dict(shape=(2, 1), strides=(1,)), match="same length")
case(
    "view",
    [integers(2, 6, low=-9, high=9, dtype="int16")],
    reference=lambda a: a.astype(np.int16).view(np.uint16).astype(np.int64),
    call=lambda core, a: core.view(a, core.uint16),
    out="uint16",
    skip={"vjp": "bits are not differentiable", "jvp": "bits are not differentiable"},
)
error(
    "view",
    [normal(3, dtype="float32")],
    call=lambda core, a: core.view(a, core.float64),
    match="not a multiple of the 8",
)

# --- diagonals, triangles, orders ---
case("diagonal", [normal(3, 4)], **ANY)
case("diagonal", [normal(2, 3, 4)], dict(offset=-1, axis1=-1, axis2=1), **ANY)
case("diagonal", [normal(2, 3)], dict(offset=5), **ANY)
case("diag", [normal(3)], dict(k=-1), **ANY)
case("diag", [normal(3)], dict(k=2), **ANY)
case("diag", [normal(3, 4)], dict(k=1), **ANY)
case("tril", [normal(2, 3, 4)], dict(k=1), **ANY)
case("triu", [normal(4, 3)], dict(k=-1), **ANY)
case("roll", [normal(3, 4)], dict(shift=2), **ANY)
case("roll", [normal(3, 4)], dict(shift=(1, -6), axis=(0, 1)), **ANY)
case("roll", [normal(3, 4)], dict(shift=1, axis=(0, 1)), **ANY)
case("flip", [normal(2, 3)], **ANY)
case("flip", [normal(2, 3)], dict(axis=-1), **ANY)
error("diagonal", [normal(3)], match="at least two dimensions")
error("diagonal", [normal(3, 3)], dict(axis1=0, axis2=-2), match="both axis 0")
error("diag", [normal(2, 2, 2)], match="one dimension")
error("tril", [normal(3)], match="at least two dimensions")
error("roll", [normal(3, 3)], dict(shift=(1, 2, 3), axis=(0, 1)), match="same length")
error("roll", [normal(3)], dict(shift=1, axis=1), raises=IndexError, match="axis 1 is out of range")
error("flip", [normal(3)], dict(axis=(0, 0)), match="named twice")
