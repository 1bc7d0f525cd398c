// Row loops of the family, for the driver in softmax.cpu.cpp.
#pragma once

#include <cstdint>

#include "legato/array/dtype.h"

namespace legato::cpu {

/// Each handles `rows` rows of n contiguous elements; n > 0. Outputs may not overlap inputs, save
/// where they are the same rows.
struct SoftmaxLoops {
  void (*softmax)(const void* x, void* y, int64_t n, int64_t rows) = nullptr;
  void (*log_softmax)(const void* x, void* y, int64_t n, int64_t rows) = nullptr;
  void (*logsumexp)(const void* x, void* out, int64_t n,
                    int64_t rows) = nullptr;  // one element a row
  /// y * (g - sum(y g))
  void (*softmax_vjp)(const void* y, const void* g, void* out, int64_t n, int64_t rows) = nullptr;
  /// g - exp(y) * sum(g)
  void (*log_softmax_vjp)(const void* y, const void* g, void* out, int64_t n,
                          int64_t rows) = nullptr;
};

namespace base {
const SoftmaxLoops& softmax_loops(Dtype dtype);
}
#if LEGATO_HAS_X86_LEVELS
namespace avx2 {
const SoftmaxLoops& softmax_loops(Dtype dtype);
}
namespace avx512 {
const SoftmaxLoops& softmax_loops(Dtype dtype);
}
#endif

}  // namespace legato::cpu
