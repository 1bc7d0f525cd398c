"""Arrays from numbers, and astype."""

import numpy as np

from legato.testing import case, error, exact, integers, normal, rounding, ulp, uniform, values

F32 = dict(out="float32", dtypes="float32")

case("zeros", [], dict(shape=(2, 3)), tol=exact, **F32)
case("ones", [], dict(shape=3), tol=exact, **F32)
case("empty", [], dict(shape=(2, 0)), reference=np.zeros, tol=exact, **F32)
case(
    "full",
    [(2, 3)],
    dict(vals=7),
    reference=lambda shape, vals: np.full(shape, vals),
    out="int32",
    dtypes="int32",
    call=lambda core, s, vals: core.full(s, vals),
)
case("zeros_like", [normal(2, 3)], dtypes="all", tol=exact)
case("ones_like", [normal(2, 3)], dtypes="all", tol=exact)
case("empty_like", [normal(2, 3)], reference=np.zeros_like, dtypes="all", tol=exact)
case(
    "full_like",
    [normal(2, 3)],
    dict(vals=1),
    reference=lambda a, vals: np.full_like(a, vals),
    dtypes="all",
    tol=exact,
)
error("zeros", [], dict(shape=(2, -1)), match="negative size")

case("arange", [5], out="int32", dtypes="int32")
case("arange", [2, 11, 3], out="int32", dtypes="int32")
case("arange", [5, -3, -2], out="int32", dtypes="int32")
case("arange", [0, 1, 0.1], tol=ulp(1), **F32)
case("arange", [2**40, 2**40 + 3], out="int64", dtypes="int64")
error("arange", [0, 5, 0], match="step must not be 0")
error("arange", [True], match="int or a float")
error("arange", [float("nan")], match="must be finite")
error("arange", [0, float("inf")], match="must be finite")
case("linspace", [0, 1], dict(num=7), tol=ulp(1), **F32)
case("linspace", [2.0, -1.0], dict(num=4, endpoint=False), tol=ulp(1), **F32)
case("linspace", [3, 4], dict(num=1), tol=exact, **F32)
error("linspace", [0, 1], dict(num=-1), match="must not be negative")
error("linspace", [0, float("inf")], match="must be finite")

case("eye", [3], tol=exact, **F32)
case("eye", [2, 4], dict(k=-1), reference=lambda n, m, k: np.eye(n, m, k), tol=exact, **F32)
case("identity", [3], tol=exact, **F32)
case("tri", [3, 4], dict(k=1), reference=lambda n, m, k: np.tri(n, m, k), tol=exact, **F32)
error("eye", [-1], match="must not be negative")
for window in ("hanning", "hamming", "blackman", "bartlett"):
    for size in (0, 1, 2, 7, 32):
        case(
            window,
            [size],
            reference=getattr(np, window),
            tol=rounding(4, scale=lambda n: 1),  # cosines cancel at the ends
            **F32,
        )

for to in ("float32", "float16", "int32", "uint8", "complex64"):
    case(
        "astype",
        [uniform(3, 5, low=0, high=100)],
        dict(to=to),
        reference=lambda a, to: a.astype(
            np.complex128 if to == "complex64" else np.float64 if "float" in to else np.int64
        ),
        call=lambda core, a, to: core.astype(a, getattr(core, to)),
        dtypes="float32 float16 int64 uint16",
        out=to,
        tol=ulp(1),
        skip={
            "vjp": "rounding passes the gradient through",
            "jvp": "rounding passes the tangent through",
        },
    )
case(
    "astype",
    [values([300.0, -129.5, 1e10, -1e30, np.nan, np.inf, 0.9], dtype="float64")],
    reference=lambda a: np.array([44, 127, 0, 0, 0, 0, 0]),
    call=lambda core, a: core.astype(a, core.int8),
    out="int8",
    skip={
        "vjp": "rounding passes the gradient through",
        "jvp": "rounding passes the tangent through",
    },
)
case(
    "astype",
    [integers(4, low=0, high=3)],
    reference=lambda a: a != 0,
    call=lambda core, a: core.astype(a, core.bool_),
    out="bool",
)
