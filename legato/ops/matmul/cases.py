import numpy as np

from legato.testing import boolean, case, error, integers, normal, rounding, values

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

# --- einsum ---
BROAD = dict(tol=rounding(16, scale="abs"), grad_tol=256)


def einsum(subscripts, *inputs, **options):
    row = dict(
        reference=lambda *a: np.einsum(subscripts, *a, optimize=True),
        call=lambda mx, *a: mx.einsum(subscripts, *a),
    )
    case("einsum", inputs, **(row | BROAD | options))


for subscripts, *shapes in (
    ("ij,jk->ik", (3, 4), (4, 5)),
    ("ij , kj", (3, 4), (5, 4)),
    ("ji,jk->ki", (4, 3), (4, 5)),
    ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
    ("bhqd,bhkd->bhqk", (2, 3, 4, 5), (2, 3, 6, 5)),
    ("bqhd,bkhd->bhqk", (2, 4, 3, 5), (2, 6, 3, 5)),
    ("abc,cd,ebd->ea", (2, 3, 4), (4, 5), (6, 3, 5)),
    ("ij,jk,kl->il", (2, 7), (7, 6), (6, 3)),
    ("a,ab,abc->", (3,), (3, 4), (3, 4, 5)),
    ("i,j,k->kji", (2,), (3,), (4,)),
    ("i,i->", (7,), (7,)),
    ("bi,bi->b", (3, 7), (3, 7)),
    ("ij->ji", (3, 4)),
    ("ba", (3, 4)),
    ("ij->", (3, 4)),
    ("ij->j", (3, 4)),
    ("ii->i", (4, 4)),
    ("ii", (4, 4)),
    ("iij->j", (3, 3, 4)),
    ("ijij->ji", (3, 2, 3, 2)),
    ("iii->i", (3, 3, 3)),
    ("ii,ij->j", (3, 3), (3, 4)),
    ("ij,ij->ij", (3, 4), (3, 4)),
    ("...ij,...jk->...ik", (2, 3, 4), (4, 5)),
    ("...ij,...jk", (5, 2, 3, 4), (2, 4, 6)),
    ("i...,i...->...", (4, 2, 3), (4, 1, 3)),
    ("...,...", (2, 3), (4, 1, 3)),
    ("b...c,c->...b", (2, 3, 4, 5), (5,)),
    (",ij->ji", (), (2, 3)),
    ("ij,jk->ik", (3, 1), (4, 5)),
    ("ij,ij->i", (1, 4), (3, 4)),
    ("ij,jk->ik", (3, 0), (0, 5)),
    ("i,j->ij", (0,), (3,)),
):
    skip = (
        {"shapeless": "letters of equal sizes grow apart"}
        if (1,) in [s[:1] for s in shapes]
        else {}
    )
    einsum(subscripts, *[normal(*s) for s in shapes], skip=skip)
einsum("ij,jk->ik", normal(3, 4), normal(4, 2), dtypes="complex")
einsum("ij,kj", normal(3, 4), normal(2, 4), dtypes="int32 int64 uint32")
einsum("ij->j", normal(3, 4), dtypes="ints bool", out="sum", reference=lambda a: a.sum(0))
einsum("ij->ji", normal(3, 4), dtypes="all", reference=np.transpose)
# More operands than all orders are tried for.
einsum(
    "ab,bc,cd,de,ef,fg,gh,hi->ai",
    *[normal(n, n + 1) for n in (2, 3, 4, 5, 6, 7, 8, 9)],
    dtypes="float32",
    tol=rounding(64, scale="abs"),
    grad_tol=1024,
    skip={mode: "takes long" for mode in ("vjp", "jvp")},
)
for subscripts, shapes, match in (
    ("ij,jk->ik", [(2, 3), (4, 5)], "j has sizes 3 and 4"),
    ("ij->ik", [(2, 3)], "k of the output is in no operand"),
    ("ij->ii", [(2, 3)], "more than once"),
    ("ij", [(2, 3), (3,)], "1 term for 2 operands"),
    ("ij,j", [(2, 3)], "2 terms for 1 operand"),
    ("ijk", [(2, 3)], "has 3 letters, but operand 0 has shape"),
    ("i", [(2, 3)], "has 1 letter, but operand 0"),
    ("ii", [(2, 3)], "repeated in operand 0"),
    ("i1", [(2, 3)], "'1' is no letter"),
    ("i.j", [(2, 3)], "dots stand in one group"),
    ("i-j", [(2, 3)], "'-' is no letter"),
):
    error(
        "einsum",
        [normal(*s) for s in shapes],
        call=lambda mx, *a, text=subscripts: mx.einsum(text, *a),
        match=match,
    )


# --- chosen parts ---
def gather_mm(a, b, lhs=None, rhs=None):
    a3, b3 = a.reshape(-1, *a.shape[-2:]), b.reshape(-1, *b.shape[-2:])
    lhs = np.arange(len(a3)).reshape(a.shape[:-2]) if lhs is None else lhs.astype(int)
    rhs = np.arange(len(b3)).reshape(b.shape[:-2]) if rhs is None else rhs.astype(int)
    return a3[lhs] @ b3[rhs]


def chosen(*shape, n):
    return integers(*shape, low=-n, high=n, dtype="int32")


WIDE = dict(tol=rounding(16, scale="abs"), grad_tol=256, reference=gather_mm)
case("gather_mm", [normal(3, 4, 5), normal(2, 5, 6), chosen(4, n=3), chosen(4, n=2)], **WIDE)
case("gather_mm", [normal(3, 4, 5), normal(2, 5, 6), chosen(2, 1, n=3), chosen(3, n=2)], **WIDE)
case("gather_mm", [normal(2, 3, 4, 5), normal(5, 6), chosen(4, n=6), chosen(1, n=1)], **WIDE)
case("gather_mm", [normal(3, 4, 5), normal(2, 5, 6), None, chosen(3, n=2)], **WIDE)
case("gather_mm", [normal(3, 4, 5), normal(2, 5, 6), chosen(2, n=3)], **WIDE)
case("gather_mm", [normal(3, 4, 5), normal(3, 5, 6)], **WIDE)
# Rows of tokens sorted by the matrix that they meet, as in a mixture of experts.
case(
    "gather_mm",
    [normal(9, 1, 5), normal(3, 5, 6), None, values([0, 0, 0, 1, 1, 2, 2, 2, 2], dtype="uint32")],
    **WIDE,
)
case(
    "gather_mm",
    [normal(3, 4, 5), normal(2, 5, 6), chosen(4, n=3), chosen(4, n=2)],
    dtypes="complex int32",
    **WIDE,
)
error(
    "gather_mm",
    [normal(3, 4, 5), normal(2, 5, 6), None, values([0, 2, 1], dtype="int32")],
    raises=IndexError,
    match=r"rhs_indices\[1\] is 2, but there are 2 matrices",
)
error(
    "gather_mm",
    [normal(3, 4, 5), normal(2, 5, 6), values([0.5], dtype="float32")],
    match="lhs_indices must hold integers",
)
error("gather_mm", [normal(3, 4, 5), normal(2, 4, 6), None, chosen(3, n=2)], match="inner sizes")


def segmented_mm(a, b, segments):
    flat = segments.reshape(-1, 2).astype(int)
    parts = [a[:, x:y] @ b[x:y] for x, y in flat]
    return np.stack(parts).reshape(*segments.shape[:-1], a.shape[0], b.shape[1])


WIDE = dict(tol=rounding(16, scale="abs"), grad_tol=256, reference=segmented_mm)
for segments in ([[0, 2], [2, 5], [5, 5], [0, 6]], [[[0, 6]], [[1, 3]]], [1, 4]):
    case("segmented_mm", [normal(3, 6), normal(6, 4), values(segments, dtype="int32")], **WIDE)
case(
    "segmented_mm",
    [normal(3, 6), normal(6, 4), values([[0, 4], [1, 6]], dtype="uint32")],
    dtypes="complex int32",
    **WIDE,
)
for segments, match in (([[0, 7]], "from 0 to 7"), ([[4, 2]], "from 4 to 2"), ([[-1, 2]], "-1")):
    error(
        "segmented_mm",
        [normal(3, 6), normal(6, 4), values(segments, dtype="int32")],
        raises=IndexError,
        match=match,
    )
error(
    "segmented_mm", [normal(3, 6), normal(6, 4), values([[0.0, 1.0]])], match="must hold integers"
)
error(
    "segmented_mm",
    [normal(2, 3, 6), normal(6, 4), values([[0, 1]], dtype="int32")],
    match="takes two matrices",
)


def block_masked_mm(a, b, block_size, mask_out=None, mask_lhs=None, mask_rhs=None):
    def scaled(x, mask):
        if mask is None:
            return x
        if mask.shape[-2:] != tuple(-(-n // block_size) for n in x.shape[-2:]):
            raise ValueError("blocks do not match")
        wide = mask.repeat(block_size, -2).repeat(block_size, -1)
        return x * wide[..., : x.shape[-2], : x.shape[-1]]

    return scaled(scaled(a, mask_lhs) @ scaled(b, mask_rhs), mask_out)


WIDE = dict(tol=rounding(16, scale="abs"), grad_tol=256, reference=block_masked_mm)
case("block_masked_mm", [normal(5, 7), normal(7, 4), 3], **WIDE)
for dtype, mask in (("bool", boolean), (None, normal)):
    masks = [mask(2, 2, dtype=dtype), mask(2, 3, dtype=dtype), mask(3, 2, dtype=dtype)]
    case("block_masked_mm", [normal(5, 7), normal(7, 4), 3, *masks], **WIDE)
case("block_masked_mm", [normal(2, 5, 7), normal(7, 4), 2, None, normal(2, 3, 4)], **WIDE)
error(
    "block_masked_mm",
    [normal(5, 7), normal(7, 4), 3, boolean(2, 3, dtype="bool")],
    match=r"mask_out has shape \(2, 3\); expected \(..., 2, 2\)",
)
error("block_masked_mm", [normal(5, 7), normal(7, 4), 0], match="block_size is 0")
