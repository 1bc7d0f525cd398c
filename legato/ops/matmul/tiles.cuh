// Products of tiles in shared memory, of any dtype and any strides: a block does 32 x 32 outputs, a
// thread four of them.
#pragma once

#include "legato/backends/cuda/rows.cuh"
#include "legato/ops/matmul/matmul.cuh"

namespace legato::cuda {

template <class A>
inline constexpr bool is_cx = std::is_same_v<A, c64> || std::is_same_v<A, c128>;

template <class A>
LEGATO_INLINE A zero() {
  if constexpr (is_cx<A>)
    return {0, 0};
  else
    return A(0);
}
template <class A>
LEGATO_INLINE A add_product(A sum, A x, A y) {
  if constexpr (is_cx<A>)
    return {sum.re + (x.re * y.re - x.im * y.im), sum.im + (x.re * y.im + x.im * y.re)};
  else if constexpr (std::is_integral_v<A>)  // wraps
    return static_cast<A>(static_cast<uint64_t>(sum) +
                          static_cast<uint64_t>(x) * static_cast<uint64_t>(y));
  else if constexpr (std::is_same_v<A, float>)
    return ::fmaf(x, y, sum);
  else
    return ::fma(x, y, sum);
}
template <class A>
LEGATO_INLINE A times(A v, double factor) {
  if constexpr (is_cx<A>) {
    using R = decltype(v.re);
    return {static_cast<R>(factor) * v.re, static_cast<R>(factor) * v.im};
  } else {
    return static_cast<A>(static_cast<A>(factor) * v);
  }
}
template <class A>
LEGATO_INLINE A plus(A x, A y) {
  if constexpr (is_cx<A>)
    return {x.re + y.re, x.im + y.im};
  else
    return static_cast<A>(x + y);
}

template <class T>
struct Tiles {
  Compute<T> a[kMatmulDepth][kMatmulTile + 1], b[kMatmulDepth][kMatmulTile + 1];
};

// Instead of where a row begins: it lies outside of the matrix.
inline constexpr long long kOutside = -(1ll << 62);

// A tile of a product and what a thread has of it: rows y and y + 16, columns x and x + 16.
template <class T>
struct TileProduct {
  using A = Compute<T>;
  static constexpr int kSide = kMatmulTile / 2;
  static constexpr int kEach = kMatmulTile * kMatmulDepth / kMatmulThreads;
  A sums[2][2];

  LEGATO_INLINE static int row(int i) { return static_cast<int>(threadIdx.x) / kSide + i * kSide; }
  LEGATO_INLINE static int col(int j) { return static_cast<int>(threadIdx.x) % kSide + j * kSide; }

  // Calls f(row, column, sum) for each output of this thread.
  template <class F>
  LEGATO_INLINE void for_each(F f) const {
    for (int i = 0; i < 2; ++i)
      for (int j = 0; j < 2; ++j) f(row(i), col(j), sums[i][j]);
  }

  // row_at(r): where row r of the tile begins in `a`, or kOutside. The elements of the next step
  // are read while those of this one are multiplied.
  template <class RowAt>
  LEGATO_INLINE void compute(Tiles<T>& tiles, const T* a, RowAt row_at, long long a_col, const T* b,
                             long long b_row, long long b_col, long long cols, long long depth) {
    T next_a[kEach], next_b[kEach];
    // Neighbouring threads read along the operand's fast axis.
    const bool along_a = a_col == 1, along_b = b_row == 1;
    auto place = [](int i, bool along, int& fast, int& slow) {
      const int e = static_cast<int>(threadIdx.x) + i * kMatmulThreads;
      fast = along ? e % kMatmulDepth : e / kMatmulTile;
      slow = along ? e / kMatmulDepth : e % kMatmulTile;
    };
    auto fetch = [&](long long k0) {
      for (int i = 0; i < kEach; ++i) {
        int c, r;
        place(i, along_a, c, r);
        const long long at = row_at(r);
        next_a[i] = at != kOutside && k0 + c < depth ? a[at + (k0 + c) * a_col] : T{};
      }
      for (int i = 0; i < kEach; ++i) {
        int r, c;
        place(i, along_b, r, c);
        next_b[i] = c < cols && k0 + r < depth ? b[(k0 + r) * b_row + c * b_col] : T{};
      }
    };
    for (auto& row : sums)
      for (A& s : row) s = zero<A>();
    fetch(0);
    for (long long k0 = 0; k0 < depth; k0 += kMatmulDepth) {
      for (int i = 0; i < kEach; ++i) {
        int c, r;
        place(i, along_a, c, r);
        tiles.a[c][r] = read(next_a[i]);
        place(i, along_b, r, c);
        tiles.b[r][c] = read(next_b[i]);
      }
      __syncthreads();
      if (k0 + kMatmulDepth < depth) fetch(k0 + kMatmulDepth);
      const int n = depth - k0 < kMatmulDepth ? static_cast<int>(depth - k0) : kMatmulDepth;
#ifndef LEGATO_EMULATED
#pragma unroll 8
#endif
      for (int k = 0; k < n; ++k) {
        const A x0 = tiles.a[k][row(0)], x1 = tiles.a[k][row(1)];
        const A y0 = tiles.b[k][col(0)], y1 = tiles.b[k][col(1)];
        sums[0][0] = add_product(sums[0][0], x0, y0);
        sums[0][1] = add_product(sums[0][1], x0, y1);
        sums[1][0] = add_product(sums[1][0], x1, y0);
        sums[1][1] = add_product(sums[1][1], x1, y1);
      }
      __syncthreads();
    }
  }
};

struct TilePlace {
  long long row0, col0, batch;
};
LEGATO_INLINE TilePlace tile_place(long long m, long long n, int tile) {
  // There are less than 2^31 blocks; dividing 64 bits would take longer than a small product.
  const unsigned tiles_n = static_cast<unsigned>((n + tile - 1) / tile),
                 tiles_m = static_cast<unsigned>((m + tile - 1) / tile);
  const unsigned rest = blockIdx.x / tiles_n;
  TilePlace at;
  at.col0 = static_cast<long long>(blockIdx.x - rest * tiles_n) * tile;
  at.batch = rest / tiles_m;
  at.row0 = static_cast<long long>(rest - static_cast<unsigned>(at.batch) * tiles_m) * tile;
  return at;
}

}  // namespace legato::cuda
