#include "legato/ops/matmul/matmul_hopper.cuda.h"

#include <algorithm>
#include <climits>

#include "legato/backends/cuda/kit.h"
#include "legato/base/error.h"
#include "legato/ops/matmul/matmul.cuh"

namespace legato::cuda {
namespace {

// Boxes of 64 columns and `box_rows` rows of a matrix; `next`: elements from row to row. Whether
// the driver can describe it.
bool describe(TensorMap& map, Dtype dtype, void* data, int64_t rows, int64_t columns, int64_t next,
              int box_rows) {
  const auto bytes = static_cast<cuuint64_t>(next) * 2;
  const cuuint64_t sizes[4] = {static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(rows), 1,
                               1},
                   strides[3] = {bytes, bytes, bytes};
  const cuuint32_t box[4] = {64, static_cast<cuuint32_t>(box_rows), 1, 1}, step[4] = {1, 1, 1, 1};
  static_assert(sizeof(CUtensorMap) == sizeof(TensorMap) && alignof(TensorMap) >= 64);
  return driver().cuTensorMapEncodeTiled(reinterpret_cast<CUtensorMap*>(&map),
                                         dtype == Dtype::float16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                                                                 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
                                         4, data, sizes, strides, box, step,
                                         CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                         CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                                         CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

}  // namespace

bool hopper_present() { return device_count() > 0 && device_properties(0).capability() == 90; }

bool hopper_multiply(const HopperProduct& p) {
  if (current().capability() != 90) return false;
  const int64_t columns = p.gated ? p.n / 2 : p.n;
  if (p.m == 0 || columns == 0 || p.k == 0) return false;
  if (p.k % 8 != 0 || columns % 8 != 0 || p.a_row % 8 != 0 || p.b_col % 8 != 0) return false;
  if (std::max({p.m, p.n, p.k, p.a_row, p.b_col}) > INT_MAX / 4) return false;
  if ((p.m > 1 && p.a_row < p.k) || (p.n > 1 && p.b_col < p.k)) return false;
  for (const void* data : {p.a, p.b, static_cast<const void*>(p.d), p.bias})
    if (reinterpret_cast<uintptr_t>(data) % 16 != 0) return false;

  HopperProductParams q{};
  const int64_t a_row = p.m > 1 ? p.a_row : p.k, b_col = p.n > 1 ? p.b_col : p.k;
  if (!describe(q.a, p.dtype, const_cast<void*>(p.a), p.m, p.k, a_row, kHopperRows) ||
      !describe(q.b, p.dtype, const_cast<void*>(p.b), p.n, p.k, b_col, kHopperCols / 2) ||
      !describe(q.d, p.dtype, p.d, p.m, columns, columns, 64))
    return false;
  q.bias = p.bias;
  q.m = static_cast<int>(p.m);
  q.n = static_cast<int>(columns);
  q.k = static_cast<int>(p.k);
  const int64_t width = p.gated ? kHopperCols / 2 : kHopperCols;
  const int64_t across = (columns + width - 1) / width,
                pairs = (p.m + 2 * kHopperRows - 1) / (2 * kHopperRows) * across;
  // With fewer tiles than multiprocessors cuBLASLt's split sums, and a pass behind them, are
  // faster.
  if (pairs < current().multiprocessors() / 2 || pairs > INT_MAX / 2) return false;
  q.tiles_n = static_cast<int>(across);
  q.pairs = static_cast<int>(pairs);
  const char* kind = !p.gated ? "product" : p.first_is_gate ? "gate_first" : "gated";
  launch_shared("matmul_sm90a", cat(kind, suffix(p.dtype), "_", p.act),
                2 * std::min<int64_t>(pairs, current().multiprocessors() / 2), kHopperThreads,
                kHopperSharedBytes, q);
  return true;
}

}  // namespace legato::cuda
