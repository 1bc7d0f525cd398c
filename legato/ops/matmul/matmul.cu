// Matrix products through tiles in shared memory: the form that every product has; and the fastest
// way to small ones.
#include "legato/ops/matmul/tiles.cuh"

namespace legato::cuda {

// Where the matrices of one index of the batch begin.
struct BatchPlace {
  long long a = 0, b = 0, e = 0, f = 0;
};
LEGATO_INLINE BatchPlace batch_place(const MatmulParams& p, long long batch) {
  BatchPlace at;
  for (int axis = p.axes - 1; axis >= 0; --axis) {
    const long long index = axis == 0 ? batch : batch % p.batch_size[axis];
    batch /= p.batch_size[axis];
    at.a += index * p.a_batch[axis];
    at.b += index * p.b_batch[axis];
    at.e += index * p.e_batch[axis];
    at.f += index * p.f_batch[axis];
  }
  return at;
}

// Stores element (row, col) of a product: scaled, with what is added to it.
template <class T>
LEGATO_INLINE void store(const MatmulParams& p, const BatchPlace& at, long long batch,
                         long long row, long long col, Compute<T> v) {
  using A = Compute<T>;
  if (p.alpha != 1) v = times(v, p.alpha);
  if (p.e)
    v = plus(v,
             times(read(static_cast<const T*>(p.e)[at.e + row * p.e_row + col * p.e_col]), p.beta));
  if (p.f)
    v = plus(
        v, times(read(static_cast<const T*>(p.f)[at.f + row * p.f_row + col * p.f_col]), p.gamma));
  if constexpr (std::is_floating_point_v<A>) {
    if (p.relu && v < A(0)) v = A(0);  // a nan stays one
  }
  static_cast<T*>(p.d)[(batch * p.m + row) * p.n + col] = written<T>(v);
}

template <class T>
LEGATO_INLINE void matmul(const MatmulParams& p, Tiles<T>& tiles) {
  const TilePlace at = tile_place(p.m, p.n, kMatmulTile);
  const BatchPlace from = batch_place(p, at.batch);
  auto row_at = [&](int r) { return at.row0 + r < p.m ? (at.row0 + r) * p.a_row : kOutside; };
  TileProduct<T> product;
  product.compute(tiles, static_cast<const T*>(p.a) + from.a, row_at, p.a_col,
                  static_cast<const T*>(p.b) + from.b + at.col0 * p.b_col, p.b_row, p.b_col,
                  p.n - at.col0, p.k);
  product.for_each([&](int r, int c, Compute<T> sum) {
    const long long row = at.row0 + r, col = at.col0 + c;
    if (row < p.m && col < p.n) store<T>(p, from, at.batch, row, col, sum);
  });
}

// Small products: what counts is how long one block takes. All of k is in shared memory after one
// round trip (of kSmallDepth at a time), each warp multiplies its part of k for all 256 outputs,
// and the parts are added in order.
struct alignas(16) SmallTiles {
  float a[kSmallDepth][kSmallPitch], b[kSmallDepth][kSmallPitch];
};
struct alignas(16) Four {
  float v[4];
};
struct alignas(8) Two {
  float v[2];
};

template <class T>
LEGATO_INLINE void matmul_small(const MatmulParams& p, SmallTiles& tiles) {
  const TilePlace at = tile_place(p.m, p.n, kSmallTile);
  const BatchPlace from = batch_place(p, at.batch);
  const T* a = static_cast<const T*>(p.a) + from.a + at.row0 * p.a_row;
  const T* b = static_cast<const T*>(p.b) + from.b + at.col0 * p.b_col;
  const int rows = static_cast<int>(p.m - at.row0 < kSmallTile ? p.m - at.row0 : kSmallTile),
            cols = static_cast<int>(p.n - at.col0 < kSmallTile ? p.n - at.col0 : kSmallTile);
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32;
  const int row = lane / 4 * 2, col = lane % 4 * 4;  // of the 2 x 4 outputs of this lane
  constexpr int kWarps = kMatmulThreads / 32, kEach = kSmallTile * kSmallDepth / kMatmulThreads;
  float sums[2][4] = {{0, 0, 0, 0}, {0, 0, 0, 0}};
  for (long long k0 = 0; k0 < p.k; k0 += kSmallDepth) {
    const int depth = static_cast<int>(p.k - k0 < kSmallDepth ? p.k - k0 : kSmallDepth);
    T next_a[kEach], next_b[kEach];  // converted later, so that all are on their way at once
    // Neighbouring threads read along the operand's fast axis.
    const bool along_a = p.a_col == 1, along_b = p.b_row == 1;
    for (int i = 0; i < kEach; ++i) {
      const int e = thread + i * kMatmulThreads;
      const int k = along_a ? e % kSmallDepth : e / kSmallTile,
                r = along_a ? e / kSmallDepth : e % kSmallTile;
      next_a[i] = r < rows && k < depth ? a[r * p.a_row + (k0 + k) * p.a_col] : T{};
    }
    for (int i = 0; i < kEach; ++i) {
      const int e = thread + i * kMatmulThreads;
      const int k = along_b ? e % kSmallDepth : e / kSmallTile,
                c = along_b ? e / kSmallDepth : e % kSmallTile;
      next_b[i] = c < cols && k < depth ? b[(k0 + k) * p.b_row + c * p.b_col] : T{};
    }
    if (k0 > 0) __syncthreads();
    for (int i = 0; i < kEach; ++i) {
      const int e = thread + i * kMatmulThreads;
      tiles.a[along_a ? e % kSmallDepth : e / kSmallTile]
             [along_a ? e / kSmallDepth : e % kSmallTile] = read(next_a[i]);
      tiles.b[along_b ? e % kSmallDepth : e / kSmallTile]
             [along_b ? e / kSmallDepth : e % kSmallTile] = read(next_b[i]);
    }
    __syncthreads();
    // What lies beyond the depth is zero.
    const int steps = (depth + kWarps - 1) / kWarps;
#ifndef LEGATO_EMULATED
#pragma unroll 4
#endif
    for (int step = 0; step < steps; ++step) {
      const int k = step * kWarps + warp;
      const Two x = *reinterpret_cast<const Two*>(&tiles.a[k][row]);
      const Four y = *reinterpret_cast<const Four*>(&tiles.b[k][col]);
      for (int i = 0; i < 2; ++i)
        for (int j = 0; j < 4; ++j) sums[i][j] = ::fmaf(x.v[i], y.v[j], sums[i][j]);
    }
  }
  __syncthreads();
  // What the warps have, one behind the other; then a thread adds up one output.
  float* parts = &tiles.a[0][0];
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 4; ++j)
      parts[(warp * kSmallTile + row + i) * kSmallTile + col + j] = sums[i][j];
  __syncthreads();
  const int r = thread / kSmallTile, c = thread % kSmallTile;
  if (r >= rows || c >= cols) return;
  float sum = 0;
  for (int w = 0; w < kWarps; ++w) sum += parts[(w * kSmallTile + r) * kSmallTile + c];
  store<T>(p, from, at.batch, at.row0 + r, at.col0 + c, sum);
}

#define LEGATO_MATMUL(end, T)                                 \
  LEGATO_KERNEL(matmul_##end, MatmulParams, kMatmulThreads) { \
    __shared__ Tiles<T> tiles;                                \
    matmul<T>(p, tiles);                                      \
  }
LEGATO_MATMUL(u8, uint8_t)
LEGATO_MATMUL(u16, uint16_t)
LEGATO_MATMUL(u32, uint32_t)
LEGATO_MATMUL(u64, uint64_t)
LEGATO_MATMUL(f16, f16)
LEGATO_MATMUL(bf16, bf16)
LEGATO_MATMUL(f32, float)
LEGATO_MATMUL(f64, double)
LEGATO_MATMUL(c64, c64)
LEGATO_MATMUL(c128, c128)

#define LEGATO_MATMUL_SMALL(end, T)                                 \
  LEGATO_KERNEL(matmul_small_##end, MatmulParams, kMatmulThreads) { \
    __shared__ SmallTiles tiles;                                    \
    matmul_small<T>(p, tiles);                                      \
  }
LEGATO_MATMUL_SMALL(f16, f16)
LEGATO_MATMUL_SMALL(bf16, bf16)
LEGATO_MATMUL_SMALL(f32, float)

}  // namespace legato::cuda
