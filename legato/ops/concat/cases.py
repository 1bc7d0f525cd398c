"""Joining, splitting, repeating and padding."""

import numpy as np

from legato.testing import case, error, exact, normal

ANY = dict(dtypes="all", tol=exact)

case(
    ["concatenate", "concat"],
    [[normal(2, 3), normal(4, 3)]],
    dict(axis=0),
    reference=np.concatenate,
    **ANY,
)
case("concatenate", [[normal(2, 3), normal(2, 0), normal(2, 1)]], dict(axis=-1), **ANY)
case("concatenate", [[normal(2, 3), normal(4)]], dict(axis=None), **ANY)
case("concatenate", [[normal(2, 3)]], **ANY)
case("concatenate", [[normal(2, dtype="float32"), normal(3, dtype="float16")]], tol=exact)
case("stack", [[normal(2, 3), normal(2, 3)]], dict(axis=-1), **ANY)
case("stack", [[normal(), normal(), normal()]], **ANY)
error("concatenate", [[]], match="at least one array")
error("concatenate", [[normal(2, 3), normal(2, 4)]], match="does not match the first")
error("concatenate", [[normal(2, 3), normal(3)]], match="does not match the first")
error("concatenate", [[normal(2)]], dict(axis=1), raises=IndexError, match="axis 1 is out of range")
error("concatenate", [[normal(), normal()]], match="without dimensions")
error("stack", [[normal(2), normal(3)]], match="same shape")

case(
    "split",
    [normal(6, 2)],
    dict(indices_or_sections=3),
    reference=lambda a, **k: tuple(np.split(a, 3)),
    **ANY,
)
case(
    "split",
    [normal(2, 6)],
    dict(indices_or_sections=(1, 4), axis=-1),
    reference=lambda a, **k: tuple(np.split(a, [1, 4], -1)),
    **ANY,
)
case(
    "split",
    [normal(5)],
    dict(indices_or_sections=(3, 1, 9)),
    reference=lambda a, **k: tuple(np.split(a, [3, 1, 9])),
    **ANY,
)
case(
    "unstack",
    [normal(2, 3)],
    dict(axis=1),
    reference=lambda a, axis: tuple(np.moveaxis(a, axis, 0)),
    skip={"shapeless": "the number of results would change"},
    **ANY,
)
error("split", [normal(5)], dict(indices_or_sections=2), match="does not divide into 2")
error("split", [normal(5)], dict(indices_or_sections=0), match="asked for 0 parts")

case("tile", [normal(2, 3), (2, 1)], **ANY)
case("tile", [normal(3), (2, 2)], **ANY)
case("tile", [normal(2, 3), 2], **ANY)
case("tile", [normal(2, 3), (0,)], **ANY)
case("repeat", [normal(2, 3)], dict(repeats=2), **ANY)
case("repeat", [normal(2, 3)], dict(repeats=3, axis=1), **ANY)
case("repeat", [normal(2, 3)], dict(repeats=(1, 0, 2), axis=1), **ANY)
error("tile", [normal(3), (-1,)], match="cannot repeat -1 times")
error("repeat", [normal(3)], dict(repeats=-2), match="cannot repeat -2 times")
error(
    "repeat",
    [normal(2, 3)],
    dict(repeats=(1, 2), axis=1),
    match="2 numbers of repeats for the 3 elements",
)

case("pad", [normal(2, 3)], dict(pad_width=1), **ANY)
case("pad", [normal(2, 3)], dict(pad_width=((0, 2), (1, 0)), constant_values=1), **ANY)
for mode in ("edge", "reflect", "symmetric", "wrap"):
    case("pad", [normal(3, 4)], dict(pad_width=((2, 1), (5, 9)), mode=mode), **ANY)
    case("pad", [normal(1)], dict(pad_width=(2, 3), mode=mode), **ANY)
error("pad", [normal(3)], dict(pad_width=-1), match="must not be negative")
error("pad", [normal(3)], dict(pad_width=((1, 1), (1, 1))), match="one for each of the 1 axes")
error("pad", [normal(3)], dict(pad_width=1, mode="mirror"), match="mode must be")
error("pad", [normal(0)], dict(pad_width=1, mode="edge"), match="axis 0 of size 0")
