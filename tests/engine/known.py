"""Cells that are known to be wrong, and why. Tests expect them to fail: one that passes is to be removed."""

_SIZES = (
    "a function made of other functions reads sizes of its inputs in C++, and the shapeless tape keeps "
    "them as those of the first call"
)

KNOWN: dict[tuple[str, str], str] = {
    (op, "shapeless"): _SIZES
    for op in (
        "broadcast_arrays",
        "conv_transpose1d",
        "conv_transpose2d",
        "conv_transpose3d",
        "convolve",
        "full_like",
        "index",
        "index_update",
        "kron",
        "masked_select",
        "meshgrid",
        "ones_like",
        "outer",
        "roll",
        "tensordot",
        "zeros_like",
    )
}
