import numpy as np

from legato.testing import case, error, integers, normal

case("matmul", [normal(5, 3), normal(3, 7)], reference=np.matmul, dtypes="inexact")
case("matmul", [normal(2, 1, 5, 3), normal(4, 3, 7)], reference=np.matmul)
case("matmul", [normal(3), normal(3)], reference=np.matmul)
case("matmul", [normal(4, 3), normal(3)], reference=np.matmul)
case("matmul", [normal(3), normal(2, 3, 4)], reference=np.matmul)
case("matmul", [normal(0, 3), normal(3, 2)], reference=np.matmul)
case("matmul", [normal(2, 0), normal(0, 3)], reference=np.matmul)
case(
    "matmul",
    [integers(3, 4, low=-5, high=5), integers(4, 2, low=-5, high=5)],
    reference=np.matmul,
    dtypes="ints",
)
error("matmul", [normal(2, 3), normal(2, 3)], raises=ValueError, match="inner sizes differ")
error("matmul", [normal(), normal(2)], raises=ValueError, match="at least 1 dimension")

case(
    "addmm",
    [normal(5, 7), normal(5, 3), normal(3, 7)],
    dict(alpha=0.5, beta=2.0),
    reference=lambda c, a, b, alpha, beta: alpha * (a @ b) + beta * c,
)
case("addmm", [normal(7), normal(2, 5, 3), normal(3, 7)], reference=lambda c, a, b: a @ b + c)
error(
    "addmm",
    [normal(4, 4), normal(5, 3), normal(3, 7)],
    raises=ValueError,
    match="cannot be broadcast|does not broadcast",
)

case("inner", [normal(2, 3), normal(4, 3)], reference=np.inner)
error("inner", [normal(3), normal(4)], raises=ValueError, match="last axes")
case("outer", [normal(3), normal(2, 2)], reference=np.outer)
case("tensordot", [normal(2, 3, 4), normal(3, 4, 5)], dict(axes=2), reference=np.tensordot)
case(
    "tensordot",
    [normal(2, 3, 4), normal(4, 3)],
    dict(axes=[[2, 1], [0, 1]]),
    reference=np.tensordot,
)
error(
    "tensordot",
    [normal(2, 3), normal(4, 3)],
    dict(axes=1),
    raises=ValueError,
    match="must be equal",
)
case("vecdot", [normal(2, 3), normal(3)], reference=lambda a, b: (np.conj(a) * b).sum(-1))
case("kron", [normal(2, 3), normal(3)], reference=np.kron)
