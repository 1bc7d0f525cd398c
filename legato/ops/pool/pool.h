// Pooling: one value for each window of positions, channel by channel.
#pragma once

#include "legato/array/array.h"
#include "legato/array/operand.h"

namespace legato {

// x is (N, spatial..., C) with one to three spatial dimensions, channels last. `kernel_size` and
// `stride` are a number or one a dimension; `stride` is the kernel's size if nothing is given.
// `padding` is a number, one a dimension, or a pair (low, high) a dimension. The result is (N,
// windows..., C), with (size + low + high - kernel) / stride + 1 windows, rounded down, in a
// dimension. Wrong shapes, and windows that do not fit, throw ValueError. Differentiable.

/// Largest element of each window; padding never wins. Equal largest elements share the gradient.
LEGATO_API Array max_pool(const Array& x, const Dims& kernel_size, const Axes& stride = {},
                          const NestedInts& padding = {});
/// Mean of each window; padding counts as zeros. Floating dtypes; half types add up in float32.
LEGATO_API Array avg_pool(const Array& x, const Dims& kernel_size, const Axes& stride = {},
                          const NestedInts& padding = {});

}  // namespace legato
