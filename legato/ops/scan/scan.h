// Cumulative reductions along one axis.
#pragma once

#include <optional>

#include "legato/array/array.h"
#include "legato/array/operand.h"

namespace legato {

// In all of these: `axis` counts from the end if negative, nothing flattens the array first.
// `reverse` runs from the end to the front. Without `inclusive`, element i combines those before it
// only, and the first is the identity (for cummax and cummin the smallest and largest value of the
// dtype). Half types accumulate in float32 and round each result once. An axis beyond the rank
// throws AxisError.

/// Running sum. bool gives int32, other dtypes are kept unless `dtype` is given; integers wrap.
/// Differentiable.
LEGATO_API Array cumsum(const Array& a, const std::optional<int>& axis = {}, bool reverse = false,
                        bool inclusive = true, const std::optional<Dtype>& dtype = {});
/// Running product; dtypes are kept, bool too, unless `dtype` is given. Differentiable, also where
/// factors are 0.
LEGATO_API Array cumprod(const Array& a, const std::optional<int>& axis = {}, bool reverse = false,
                         bool inclusive = true, const std::optional<Dtype>& dtype = {});
/// Running maximum; nan from the first nan on. Differentiable; the first of equal elements counts.
LEGATO_API Array cummax(const Array& a, const std::optional<int>& axis = {}, bool reverse = false,
                        bool inclusive = true);
/// Running minimum; see cummax.
LEGATO_API Array cummin(const Array& a, const std::optional<int>& axis = {}, bool reverse = false,
                        bool inclusive = true);
/// log(cumsum(exp(a))), without overflow; integers give float32. Differentiable.
LEGATO_API Array logcumsumexp(const Array& a, const std::optional<int>& axis = {},
                              bool reverse = false, bool inclusive = true);

/// Differences of neighbours along `axis`, n times over, each time one element less; for bool,
/// whether they differ. `prepend` and `append` are put in front and behind first; a 0-d one stands
/// for one entry. Throws ValueError if n is negative. Differentiable.
LEGATO_API Array diff(const Array& a, int n = 1, int axis = -1,
                      const std::optional<Array>& prepend = {},
                      const std::optional<Array>& append = {});

}  // namespace legato
