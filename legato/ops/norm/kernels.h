// Row loops of the family, for the driver in norm.cpu.cpp. `w` and `b` may be null.
#pragma once

#include <cstdint>

#include "legato/array/dtype.h"

namespace legato::cpu {

/// One sample of a group norm: `rows` positions of `cols` channels, `stride` elements apart; a
/// group has `group` neighbouring channels. Sums have one accumulator a channel.
struct GroupBlock {
  int64_t rows, cols, stride, group;
  double eps;
};

struct NormLoops {
  int acc_bytes = 0;
  void (*layer_norm)(const void* x, const void* w, const void* b, void* y, int64_t n, int64_t rows,
                     double eps) = nullptr;
  void (*rms_norm)(const void* x, const void* w, void* y, int64_t n, int64_t rows,
                   double eps) = nullptr;
  /// Writes dx and sets dw and db (n accumulators each; null: not wanted) to the sums over these
  /// rows.
  void (*layer_norm_vjp)(const void* x, const void* w, const void* g, void* dx, void* dw, void* db,
                         int64_t n, int64_t rows, double eps) = nullptr;
  void (*rms_norm_vjp)(const void* x, const void* w, const void* g, void* dx, void* dw, int64_t n,
                       int64_t rows, double eps) = nullptr;
  /// `scratch`: 4 * cols accumulators.
  void (*group_norm)(const void* x, const void* w, const void* b, void* y, const GroupBlock& block,
                     void* scratch) = nullptr;
  /// `scratch`: 7 * cols accumulators. dw and db get the sums over this block.
  void (*group_norm_vjp)(const void* x, const void* w, const void* g, void* dx, void* dw, void* db,
                         const GroupBlock& block, void* scratch) = nullptr;
  void (*add)(void* a, const void* b, int64_t n) = nullptr;  // accumulators: a += b
  void (*finish)(const void* acc, void* out, int64_t n) = nullptr;
};

namespace base {
const NormLoops& norm_loops(Dtype dtype);
}
#if LEGATO_HAS_X86_LEVELS
namespace avx2 {
const NormLoops& norm_loops(Dtype dtype);
}
namespace avx512 {
const NormLoops& norm_loops(Dtype dtype);
}
#endif

}  // namespace legato::cpu
