// Runs one register tile of any size.
#pragma once
#include "legato/backends/cpu/gemm_kernels.h"

namespace legato::cpu {

/// d[i][0..cols) (+)= the tile's sums, for `rows` rows and `vectors` vectors of b, of which the
/// last may be used in part. `a` holds row pointers, repeated up to the tile's full height where
/// the element type has kernels of that height only.
template <class T>
void run_tile(const TileKernels<T>& tiles, const T* const* a, const T* b, int64_t b_row,
              const Span* spans, int64_t span_count, T* const* d, int64_t rows, int vectors,
              int64_t cols, bool add) {
  const auto kernel = tiles.by_rows[rows - 1][vectors - 1];
  const int64_t whole = vectors * tiles.lanes;
  if (kernel != nullptr && cols == whole) return kernel(a, b, b_row, spans, span_count, d, add);
  alignas(64) T buffer[kMaxTileRows * kMaxTileVectors * 64 / sizeof(T)];
  T* to[kMaxTileRows];
  for (int r = 0; r < tiles.rows; ++r) to[r] = buffer + r * whole;
  (kernel != nullptr ? kernel : tiles.by_rows[tiles.rows - 1][vectors - 1])(a, b, b_row, spans,
                                                                            span_count, to, false);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) d[r][c] = add ? d[r][c] + to[r][c] : to[r][c];
  }
}

}  // namespace legato::cpu
