// Matrix products.
//
// All of these take numbers of any dtype but bool, meet in promote() of the operands, sum half
// types in float32 and round once, and wrap integers. Shapes that do not fit, and bool, throw
// ValueError. Differentiable in every array.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "legato/array/array.h"
#include "legato/array/operand.h"

namespace legato {

/// a (..., m, k) @ b (..., k, n) → (..., m, n); leading axes broadcast. A 1-d `a` counts as a row,
/// a 1-d `b` as a column, and the axis added is dropped again. Transposed and strided operands are
/// read where they lie.
LEGATO_API Array matmul(const Array& a, const Array& b);
/// alpha * (a @ b) + beta * c; c broadcasts to the product.
LEGATO_API Array addmm(const Array& c, const Array& a, const Array& b, double alpha = 1,
                       double beta = 1);
/// Sum over the last axes of both: (..., k), (___, k) → (..., ___).
LEGATO_API Array inner(const Array& a, const Array& b);
/// a.flatten()[:, None] * b.flatten()[None, :].
LEGATO_API Array outer(const Array& a, const Array& b);
/// Sum over the last `axes` axes of a and the first of b, or over pairs of axes {axes of a, axes of
/// b}.
LEGATO_API Array tensordot(const Array& a, const Array& b, const NestedInts& axes);
/// Sum of conj(a) * b over `axis`; the other axes broadcast.
LEGATO_API Array vecdot(const Array& a, const Array& b, int64_t axis = -1);
/// Kronecker product.
LEGATO_API Array kron(const Array& a, const Array& b);

/// Einstein's summation: einsum("ij,jk->ik", {a, b}). An ellipsis, repeated and summed indices and
/// an implicit output are understood. Where an index is summed, bool and narrow integers give 32
/// bits. Throws ValueError for subscripts that cannot be read or do not match the operands.
LEGATO_API Array einsum(const std::string& subscripts, std::span<const Array> operands);
/// The order in which einsum contracts, and a description of its cost. In each step the operands at
/// the given places of the list are taken out and their result is put at its end.
struct EinsumPath {
  std::vector<Dims> path;
  std::string text;
};
LEGATO_API EinsumPath einsum_path(const std::string& subscripts, std::span<const Array> operands);

/// For each pair of indices the product of a matrix of `a` (..., m, k) and one of `b` (..., k, n),
/// which are counted along their leading axes; negative indices count from the end. The indices
/// broadcast against each other; without them all matrices of an operand are taken as they lie.
/// Shape: that of the indices, then (m, n). Throws IndexError, when the value is computed, for an
/// index out of range.
LEGATO_API Array gather_mm(const Array& a, const Array& b,
                           const std::optional<Array>& lhs_indices = {},
                           const std::optional<Array>& rhs_indices = {},
                           bool sorted_indices = false);
/// For each pair (begin, end) in `segments` (..., 2) the product of the columns [begin, end) of `a`
/// (m, k) and these rows of `b` (k, n); shape (..., m, n). Throws IndexError, when the value is
/// computed, for a segment that does not lie inside [0, k].
LEGATO_API Array segmented_mm(const Array& a, const Array& b, const Array& segments);
/// a (..., m, k) @ b (..., k, n) in which each block of block_size × block_size elements of `a`,
/// `b` and the result is multiplied by an element of its mask, whose last axes count blocks; a bool
/// mask keeps where true.
LEGATO_API Array block_masked_mm(const Array& a, const Array& b, int64_t block_size = 64,
                                 const std::optional<Array>& mask_out = {},
                                 const std::optional<Array>& mask_lhs = {},
                                 const std::optional<Array>& mask_rhs = {});

}  // namespace legato
