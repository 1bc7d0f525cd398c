// Tile loops: each function of the scalar language for each dtype, compiled for each vector level.
#pragma once

#include <cstdint>

#include "legato/array/dtype.h"
#include "legato/base/cpu_info.h"
#include "legato/fuse/functions.h"

namespace legato::pointwise {

/// dst[i] = f(src[0][i], ...) for i in [0, n). Operands are contiguous elements of the compute
/// dtype (bool as bytes 0 and 1, complex interleaved), with no alignment. dst may be one of the
/// sources where their elements have the same size.
using Loop = void (*)(void* dst, const void* const* src, int64_t n);

struct LoopTable {
  Loop fn[kFunctionCount][kDtypeCount] =
      {};  // by function and compute dtype; null where it is not defined
  Loop cast[kDtypeCount][kDtypeCount] =
      {};  // from, to. Halves here are 16 bits; null: through compute_dtype of both
  Loop round_half[2] = {};  // float32 to float32, rounded to float16, bfloat16
  /// Copies `bytes` (a multiple of 64) past the caches; dst is a multiple of 64.
  void (*stream)(void* dst, const void* src, int64_t bytes) = nullptr;
};

/// The loops of a level. The CPU must have it.
const LoopTable& loop_table(SimdLevel level);

}  // namespace legato::pointwise
