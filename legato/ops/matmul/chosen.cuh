// Device code that products of chosen matrices share.
#pragma once

#include "legato/backends/cuda/report.cuh"
#include "legato/ops/matmul/tiles.cuh"

namespace legato::cuda {

/// The rows of a tile of the stacked results, which may belong to several pairs of matrices.
template <int tile>
struct ChosenRows {
  long long row_at[tile];    // where its row of `a` begins; kOutside: there is none
  long long right[tile];     // the matrix of b that it meets; -1
  unsigned ends[tile / 32];  // bits of rows behind which another matrix of b comes

  /// Every thread of the block must take part; there are at least `tile`, which is a multiple
  /// of 32.
  LEGATO_INLINE void find(const GatherMmParams& p, long long row0) {
    const int thread = static_cast<int>(threadIdx.x);
    if (thread < tile) {
      const long long row = row0 + thread;
      row_at[thread] = kOutside;
      right[thread] = -1;
      if (row < p.count * p.m) {
        const long long i = row / p.m, left_given = p.left[i * p.left_step],
                        right_given = p.right[i * p.right_step];
        const long long x = left_given < 0 ? left_given + p.n_left : left_given,
                        y = right_given < 0 ? right_given + p.n_right : right_given;
        const bool left_fits = x >= 0 && x < p.n_left, right_fits = y >= 0 && y < p.n_right;
        if (!left_fits) {
          report_value(p.report, static_cast<int>(i), left_given, p.n_left);
        } else if (!right_fits) {
          report_value(p.report, ~static_cast<int>(i), right_given, p.n_right);
        } else {
          row_at[thread] = x * p.a_next + (row - i * p.m) * p.a_row;
          right[thread] = y;
        }
      }
    }
    __syncthreads();
    if (thread < tile) {
      const unsigned last =
          __ballot_sync(~0u, thread + 1 == tile || right[thread + 1] != right[thread]);
      if (thread % 32 == 0) ends[thread / 32] = last;
    }
    __syncthreads();
  }
  /// Behind the rows from `first` on that meet the same matrix of b.
  LEGATO_INLINE int run_end(int first) const {
    int word = first / 32;
    unsigned later = ends[word] & ~0u << first % 32;
    while (later == 0) later = ends[++word];  // the last row has its bit
    return word * 32 + __popc((later & (0u - later)) - 1) + 1;
  }
};

}  // namespace legato::cuda
