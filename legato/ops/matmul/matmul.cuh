// Parameters of the matrix product kernels, for both sides.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"

namespace legato::cuda {

/// d = act(alpha a b + beta e + gamma f) for each index of the batch axes; d is row-major and
/// follows the batch.
struct MatmulParams {
  const void *a, *b, *e, *f;  // e, f: null if there is none
  void* d;
  long long m, n, k;
  long long a_row, a_col, b_row, b_col, e_row, e_col, f_row, f_col;  // strides in elements
  double alpha, beta, gamma;
  int relu;
  int axes;  // of the batch
  long long batch_size[kMaxAxes], a_batch[kMaxAxes], b_batch[kMaxAxes], e_batch[kMaxAxes],
      f_batch[kMaxAxes];
};

/// d[i] = a[left[i]] b[right[i]] for `count` pairs of matrices; negative indices count from the
/// end.
struct GatherMmParams {
  const void *a, *b;
  const long long *left, *right;  // int64
  void* d;
  long long m, n, k, count, n_left, n_right;
  long long a_row, a_col, b_row, b_col, a_next, b_next, left_step, right_step;
  ValueReport* report;  // place: i, or ~i if it is right[i] that is wrong
};

/// d[i] = a[:, begin:end] b[begin:end, :] for the i-th pair in `ends`.
struct SegmentedMmParams {
  const void *a, *b;
  const long long* ends;  // int64
  void* d;
  long long m, n, k, count;
  long long a_row, a_col, b_row, b_col, ends_step, ends_next;
  ValueReport* report;  // place: i, value: begin, bound: end
};

inline constexpr int kMatmulTile = 32, kMatmulDepth = 32, kMatmulThreads = 256;
// Of the kernel for small products: a block does 16 x 16 outputs, its eight warps share out k.
inline constexpr int kSmallTile = 16, kSmallDepth = 128, kSmallPitch = 20;

}  // namespace legato::cuda
