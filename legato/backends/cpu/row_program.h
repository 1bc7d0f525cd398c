// Programs and reductions over the same rows, run on a few rows at a time.
#pragma once

#include <cstdint>

#include "legato/array/dtype.h"
#include "legato/runtime/row_call.h"

namespace legato::cpu {

/// What Kernel::own of a reduction points to.
struct RowReduction {
  /// out[r] = what is made of x[r * row_stride + (0 .. n)], divided by `divisor`.
  using Loop = void (*)(const void* x, int64_t n, int64_t row_stride, int64_t rows, void* out,
                        double divisor);
  /// The loop for rows of n elements, or null.
  Loop (*loop)(Dtype dtype, int64_t n);
  bool mean;  // of n: the divisor is n, else 1
};

/// See Backend::run_rows. Not (yet) where a program has no machine code.
bool run_rows(const RowCall& call);

}  // namespace legato::cpu
