// Parameters of the matrix product kernels, for both sides.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"

namespace legato::cuda {

/// d = alpha a b + beta e for each index of the batch axes; d is row-major and follows the batch.
struct MatmulParams {
  const void *a, *b, *e;  // e: null if there is none
  void* d;
  long long m, n, k;
  long long a_row, a_col, b_row, b_col, e_row, e_col;  // strides in elements
  double alpha, beta;
  int axes;  // of the batch
  long long batch_size[kMaxAxes], a_batch[kMaxAxes], b_batch[kMaxAxes], e_batch[kMaxAxes];
};

inline constexpr int kMatmulTile = 32, kMatmulDepth = 16, kMatmulThreads = 256;

}  // namespace legato::cuda
