// Reductions: one value from many, along any axes.
#pragma once

#include <optional>
#include <utility>

#include "legato/array/array.h"
#include "legato/array/operand.h"

namespace legato {

/// The axes that `axis` names for an array of this rank: rising, each once. Throws AxisError naming
/// `op` beyond the rank, ValueError if one is named twice.
LEGATO_API Dims reduced_axes(const char* op, const Axes& axis, size_t rank);
/// The shape with the given (normalised) axes removed, or of size 1 if `keepdims`.
LEGATO_API Shape reduced_shape(const Shape& shape, const Dims& axes, bool keepdims);
// In all of these: without `axis` everything is reduced; `keepdims` leaves the axes with size 1. An
// axis beyond the rank throws AxisError, one named twice ValueError. Half types accumulate in
// float32 and round once; float32 sums follow a fixed tree whose error grows like that of pairwise
// summation, and which does not depend on the number of threads or the vector width.

/// Sum. bool, int8 and int16 give int32, uint8 and uint16 give uint32, other dtypes are kept;
/// integers wrap. An empty sum is 0. Differentiable.
LEGATO_API Array sum(const Array& a, const Axes& axis = {}, bool keepdims = false);
/// Product; dtypes as for sum. An empty product is 1. Differentiable, also where factors are 0.
LEGATO_API Array prod(const Array& a, const Axes& axis = {}, bool keepdims = false);
/// Largest element, nan if there is one; complex numbers compare by real, then imaginary part.
/// Throws ValueError if nothing is there to choose from. The gradient is shared evenly among
/// equals.
LEGATO_API Array max(const Array& a, const Axes& axis = {}, bool keepdims = false);
/// Smallest element; see max.
LEGATO_API Array min(const Array& a, const Axes& axis = {}, bool keepdims = false);
/// Whether all elements are true (not zero; nan is true). True if there are none.
LEGATO_API Array all(const Array& a, const Axes& axis = {}, bool keepdims = false);
/// Whether some element is true (not zero; nan is true). False if there are none.
LEGATO_API Array any(const Array& a, const Axes& axis = {}, bool keepdims = false);
/// Arithmetic mean; integers and bool give float32. The mean of nothing is nan. Half types do not
/// overflow: the sum is divided before it is rounded. Differentiable.
LEGATO_API Array mean(const Array& a, const Axes& axis = {}, bool keepdims = false);

/// Smallest and largest element.
LEGATO_API std::pair<Array, Array> minmax(const Array& a, const Axes& axis = {},
                                          bool keepdims = false);
/// Mean of |a - mean(a)|^2, times n / (n - ddof). Integers give float32, complex numbers their real
/// dtype. Computed in two passes; halves in float32.
LEGATO_API Array var(const Array& a, const Axes& axis = {}, bool keepdims = false, int ddof = 0);
/// Square root of the variance.
LEGATO_API Array stddev(const Array& a, const Axes& axis = {}, bool keepdims = false, int ddof = 0);
/// Middle element of the sorted values, or the mean of the two in the middle; nan if there is one.
/// Integers give float32. Throws ValueError if there are no elements.
LEGATO_API Array median(const Array& a, const Axes& axis = {}, bool keepdims = false);
/// Number of elements that are not zero, int32.
LEGATO_API Array count_nonzero(const Array& a, const Axes& axis = {}, bool keepdims = false);
/// Sum of a diagonal, of the planes spanned by two axes; dtypes as for sum, unless `dtype` says so.
LEGATO_API Array trace(const Array& a, int offset = 0, int axis1 = 0, int axis2 = 1,
                       const std::optional<Dtype>& dtype = {});
/// |a - b| <= atol + rtol |b|, element by element; infinities are close to themselves, nan to nan
/// only if `equal_nan`.
LEGATO_API Array isclose(const Array& a, const Array& b, double rtol = 1e-5, double atol = 1e-8,
                         bool equal_nan = false);
/// Whether isclose holds everywhere.
LEGATO_API Array allclose(const Array& a, const Array& b, double rtol = 1e-5, double atol = 1e-8,
                          bool equal_nan = false);
/// Whether shapes and all elements are equal.
LEGATO_API Array array_equal(const Operand& a, const Operand& b, bool equal_nan = false);

}  // namespace legato
