"""Order."""

import numpy as np

from legato.testing import case, distinct, exact

for axis in (-1, 0):
    case("sort", [distinct(3, 7)], dict(axis=axis), dtypes="floats ints", tol=exact)
case("argsort", [distinct(3, 7)], dict(axis=0), dtypes="floats ints", out="uint32")
case(
    "topk",
    [distinct(3, 7)],
    dict(k=2),
    reference=lambda a, k: np.sort(a, -1)[..., -k:],
    tol=exact,
    call=lambda mx, a, k: mx.sort(mx.topk(a, k), axis=-1),
)
