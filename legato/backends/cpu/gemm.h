// General matrix multiplication on the CPU.
#pragma once
#include <cstdint>

#include "legato/array/dtype.h"
#include "legato/backends/cpu/gemm_kernels.h"
#include "legato/base/export.h"

namespace legato::cpu {

/// d = alpha * a b + beta * e for matrices a (m, k), b (k, n), d and e (m, n), or a batch of them.
///
/// All strides count elements and may have any sign; a stride of 0 broadcasts (not in d). Each
/// matrix has a stride for rows and one for columns, so transposed, sliced and broadcast views need
/// no copy. `e` may be `d` itself (same strides); otherwise d overlaps no input. A bias along n is
/// an `e` with e_row = 0, a residual an `e` with its own strides.
struct Gemm {
  Dtype dtype = Dtype::float32;  ///< of all four; not bool
  int64_t m = 0, n = 0, k = 0;
  const void* a = nullptr;
  int64_t a_row = 0, a_col = 0;
  const void* b = nullptr;
  int64_t b_row = 0, b_col = 0;
  void* d = nullptr;
  int64_t d_row = 0, d_col = 0;
  const void* e = nullptr;  ///< not read if beta is 0
  int64_t e_row = 0, e_col = 0;
  double alpha = 1, beta = 0;  ///< integers take their integer part

  /// Called on finished rows before the one rounding to the dtype, for float32, float16 and
  /// bfloat16. Leave empty for others.
  RowHook<float> hook;

  int batch_rank = 0;  ///< the arrays below have so many entries
  const int64_t* batch_sizes = nullptr;
  const int64_t* a_batch = nullptr;
  const int64_t* b_batch = nullptr;
  const int64_t* d_batch = nullptr;
  const int64_t* e_batch = nullptr;  ///< may be null if beta is 0
};

/// Computes it, on the threads of the pool where the work is large enough.
///
/// - float16 and bfloat16 are summed in float32 and rounded once; integers wrap around; k = 0 gives
/// beta * e.
/// - The numbers depend on the shapes, dtype and layouts alone, not on the number of threads, and
/// avx2 and avx512 give the
///   same, but that VDPBF16PS takes bfloat16 numbers and sums below 2^-126 as zero. Infinities and
///   NaNs propagate as in the sum written out; e is not read if beta is 0.
/// Throws MemoryError if there is no working memory (at most some 20 MiB, and a few a thread).
LEGATO_API void gemm(const Gemm& problem);

/// The same with the kernels of a level that is not above the machine's; for tests.
void gemm(const Gemm& problem, SimdLevel level);

}  // namespace legato::cpu
