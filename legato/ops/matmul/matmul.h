// Matrix products.
//
// All of these take numbers of any dtype but bool, meet in promote() of the operands, sum half
// types in float32 and round once, and wrap integers. Shapes that do not fit, and bool, throw
// ValueError. Differentiable in every array.
#pragma once

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

}  // namespace legato
