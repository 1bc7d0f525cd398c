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
  // Of halves: whether rows of a, rows of b and columns of b are read 16 bytes at a time.
  int wide_a, wide_b, deep_b;
  ValueReport* report;  // place: i, or ~i if it is right[i] that is wrong
};

/// Of gather_mm on tensor cores: rows and columns of a block, its step along k, and the bytes of
/// shared memory that its stages take.
inline constexpr int kHalfTile = 128, kHalfDepth = 32, kHalfThreads = 256, kHalfStages = 3,
                     kHalfShared = kHalfStages * 2 * kHalfTile * (kHalfDepth + 8) * 2;

/// d[i] = a[:, begin:end] b[begin:end, :] for the i-th pair in `ends`.
struct SegmentedMmParams {
  const void *a, *b;
  const long long* ends;  // int64
  void* d;
  long long m, n, k, count;
  long long a_row, a_col, b_row, b_col, ends_step, ends_next;
  ValueReport* report;  // place: i, value: begin, bound: end
};

/// What a product's result goes through before it is stored (matmul_sm90a.cu).
enum class ProductAct : int { none, relu, gelu_tanh, gelu_erf, silu, sigmoid, tanh };

/// d = act(a b + bias) by Hopper's tensor cores; gated: b has 2 n columns, and
/// d = (a b[:, :n] + bias[:n]) * act(a b[:, n:] + bias[n:]), or the other way round.
/// a (m, k) and b (columns of b as rows, k) are copied in boxes of 64 summed elements and 128 rows,
/// d (m, n) is written in boxes of 64 columns and 64 rows.
struct HopperProductParams {
  TensorMap a, b, d;
  const void* bias;  // of d's dtype, or null
  int m, n, k;
  int tiles_n;  // tiles beside each other
  int pairs;    // of tiles below each other, in all; a cluster of two blocks works on one
};

inline constexpr int kMatmulTile = 32, kMatmulDepth = 32, kMatmulThreads = 256;
// Of matmul_sm90a.cu: 128 x 256 results a block, of which a gated product keeps 128 columns.
inline constexpr int kHopperRows = 128, kHopperCols = 256, kHopperDepth = 64, kHopperStages = 4,
                     kHopperThreads = 384,
                     kHopperSharedBytes = kHopperStages * (kHopperRows + kHopperCols) * 128 +
                                          2 * 64 * 256 + 8 * (2 * kHopperStages + 1);
// Of the kernel for small products: a block does 16 x 16 outputs, its eight warps share out k.
inline constexpr int kSmallTile = 16, kSmallDepth = 128, kSmallPitch = 20;

}  // namespace legato::cuda
