// The typed inner loops of the reductions, as the driver (reduce.cpu.cpp) sees them. "Lanes" are
// the 128 bytes of accumulators of Note [Fixed tree] in backends/cpu/lanes.h.
#pragma once

#include <cstdint>

#include "legato/array/dtype.h"

namespace legato::cpu {

inline constexpr int kReduceLaneBytes = 128;
/// Most rows that one call of `columns` adds up in order.
inline constexpr int64_t kReduceRows = 128;

enum class ReduceKind : uint8_t { sum, prod, max, min, all, any };
inline constexpr int kReduceKinds = 6;

/// Loops of one (kind, dtype). Pointers are to elements of the input, accumulators or outputs.
struct Reducer {
  int acc_bytes = 0;
  int out_bytes = 0;
  int64_t chunk =
      0;  // longest run that `lanes` and `rows` take, in elements; a power of two of blocks
  /// out[r] = reduction of x[r * row_stride + (0 .. n)], for n <= chunk; divided by `divisor`.
  void (*rows)(const void* x, int64_t n, int64_t row_stride, int64_t rows, void* out,
               double divisor) = nullptr;
  /// Lanes of n <= chunk contiguous elements; the identity for n = 0.
  void (*lanes)(const void* x, int64_t n, void* lanes) = nullptr;
  /// The one accumulator of the lanes.
  void (*fold)(const void* lanes, void* acc) = nullptr;
  /// acc[j] = reduction over r of x[r * row_stride + j], for 1 <= rows <= kReduceRows. `far`: x
  /// lies beyond the caches.
  void (*columns)(const void* x, int64_t row_stride, int64_t rows, int64_t cols, void* acc,
                  bool far) = nullptr;
  /// a[j] = a[j] combined with b[j].
  void (*combine)(void* a, const void* b, int64_t n) = nullptr;
  /// out[j] = acc[j] / divisor, rounded to the output's dtype.
  void (*finish)(const void* acc, void* out, int64_t n, double divisor) = nullptr;
};

/// Empty (rows == nullptr) for the complex dtypes where order or multiplication mixes the parts;
/// the driver has plain loops for these.
using ReducerTable = Reducer[kReduceKinds][kDtypeCount];

namespace base {
const ReducerTable& reducers();
}
#if LEGATO_HAS_X86_LEVELS
namespace avx2 {
const ReducerTable& reducers();
}
namespace avx512 {
const ReducerTable& reducers();
}
#endif

}  // namespace legato::cpu
