// Window loops of the family, for the driver in pool.cpu.cpp.
#pragma once

#include <cstdint>

#include "legato/array/dtype.h"

namespace legato::cpu {

/// Three spatial dimensions (leading ones of size 1), `channels` neighbouring channels out of
/// `pitch`.
struct PoolShape {
  int64_t in[3], out[3], kernel[3], stride[3], low[3];
  int64_t channels, pitch;
};

/// Each handles one sample; pointers are to its first element (of the channels in question).
struct PoolLoops {
  int acc_bytes = 0;
  /// Output rows [first, last) of the first two spatial dimensions together.
  void (*max)(const void* x, void* y, const PoolShape& shape, int64_t first,
              int64_t last) = nullptr;
  void (*mean)(const void* x, void* y, const PoolShape& shape, int64_t first,
               int64_t last) = nullptr;
  /// dx: accumulators, all zero before; positions `channels` apart.
  void (*max_vjp)(const void* x, const void* y, const void* g, void* dx,
                  const PoolShape& shape) = nullptr;
  void (*mean_vjp)(const void* g, void* dx, const PoolShape& shape) = nullptr;
  /// Writes accumulators `channels` apart to elements `pitch` apart.
  void (*finish)(const void* acc, void* out, int64_t positions, int64_t channels,
                 int64_t pitch) = nullptr;
};

namespace base {
const PoolLoops& pool_loops(Dtype dtype);
}
#if LEGATO_HAS_X86_LEVELS
namespace avx2 {
const PoolLoops& pool_loops(Dtype dtype);
}
namespace avx512 {
const PoolLoops& pool_loops(Dtype dtype);
}
#endif

}  // namespace legato::cpu
