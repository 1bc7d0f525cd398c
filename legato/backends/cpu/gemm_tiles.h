// The register tiles of GEMM and convolution. Only for *.simd.cpp files.
#pragma once
#include "legato/backends/cpu/gemm_kernels.h"
#include "legato/backends/cpu/gemm_vector.h"

namespace legato::cpu::LEGATO_LEVEL {
namespace {

// Tile sizes: accumulators, one row of b and one broadcast value fill the 16 (32) vector registers,
// and the row pointers of a fit the general ones.
#if defined(LEGATO_LEVEL_AVX512)
constexpr int kTileRows = 8, kTileVectors = 3;
#else
constexpr int kTileRows = 6, kTileVectors = 2;
#endif
static_assert(kTileRows <= kMaxTileRows && kTileVectors <= kMaxTileVectors);

template <class T, int M, int V>
LEGATO_INLINE void write_tile(Vector<T> (&acc)[M][V], T* const* d, bool add) {
  constexpr int L = kLanes<T>;
  if (add) {
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < V; ++j) store<T>(d[i] + j * L, load<T>(d[i] + j * L) + acc[i][j]);
  } else {
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < V; ++j) store<T>(d[i] + j * L, acc[i][j]);
  }
}

template <class T, int M, int V>
void tile_by_rows(const T* const* a, const T* b, int64_t b_stride, const Span* spans,
                  int64_t span_count, T* const* d, bool add) {
  constexpr int L = kLanes<T>;
  Vector<T> acc[M][V] = {};
  // The rows of d are far apart, which no hardware prefetcher foresees; by the end of the sums they
  // have come.
#pragma GCC unroll 8
  for (int i = 0; i < M; ++i) {
    __builtin_prefetch(d[i], 1);
    __builtin_prefetch(d[i] + V * L - 1, 1);
  }
  const T* row[M];
#pragma GCC unroll 8
  for (int i = 0; i < M; ++i) row[i] = a[i];
  for (const Span* s = spans; s != spans + span_count; ++s) {
    const T* bk = b + s->b * b_stride;
    for (int64_t k = s->a, end = s->a + s->count; k < end; ++k, bk += b_stride) {
      Vector<T> bv[V];
#pragma GCC unroll 4
      for (int j = 0; j < V; ++j) bv[j] = load<T>(bk + j * L);
#pragma GCC unroll 8
      for (int i = 0; i < M; ++i) {
        const Vector<T> av = fill<T>(row[i][k]);
#pragma GCC unroll 4
        for (int j = 0; j < V; ++j) acc[i][j] = multiply_add<T>(av, bv[j], acc[i][j]);
      }
    }
  }
  write_tile<T, M, V>(acc, d, add);
}

template <class T, int M, int V>
void tile_by_columns(const T* a, int64_t a_stride, const T* b, int64_t b_stride, const Span* spans,
                     int64_t span_count, T* const* d, bool add) {
  constexpr int L = kLanes<T>;
  Vector<T> acc[M][V] = {};
  for (const Span* s = spans; s != spans + span_count; ++s) {
    const T* ak = a + s->a;
    const T* bk = b + s->b;
    for (int64_t k = 0; k < s->count; ++k, ak += a_stride, bk += b_stride) {
      Vector<T> bv[V];
#pragma GCC unroll 4
      for (int j = 0; j < V; ++j) bv[j] = load<T>(bk + j * L);
#pragma GCC unroll 8
      for (int i = 0; i < M; ++i) {
        const Vector<T> av = fill<T>(ak[i]);
#pragma GCC unroll 4
        for (int j = 0; j < V; ++j) acc[i][j] = multiply_add<T>(av, bv[j], acc[i][j]);
      }
    }
  }
  write_tile<T, M, V>(acc, d, add);
}

// Fills the entries for m = M, M - 1, ..., `Least` rows.
template <class T, int M, int Least, bool Columns>
void fill_tiles(TileKernels<T>& table) {
  const auto entry = [&]<int V>() {
    if constexpr (V <= kTileVectors) {
      table.by_rows[M - 1][V - 1] = tile_by_rows<T, M, V>;
      if constexpr (Columns) table.by_columns[M - 1][V - 1] = tile_by_columns<T, M, V>;
    }
  };
  entry.template operator()<1>();
  entry.template operator()<2>();
  entry.template operator()<3>();
  if constexpr (M > Least) fill_tiles<T, M - 1, Least, Columns>(table);
}

template <class T, int Least, bool Columns>
void fill_table(TileKernels<T>& table) {
  table.rows = kTileRows;
  table.vectors = kTileVectors;
  table.lanes = kLanes<T>;
  fill_tiles<T, kTileRows, Least, Columns>(table);
}

}  // namespace
}  // namespace legato::cpu::LEGATO_LEVEL
