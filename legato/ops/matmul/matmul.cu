// Matrix products of any dtype and any strides, through tiles in shared memory: the form that every
// product has, and the fastest way to small ones. A block does a tile of 32 x 32 outputs, a thread
// four of them.
#include "legato/backends/cuda/report.cuh"
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

  // row_at(r): where row r of the tile begins in `a`, or kOutside. The elements of the next step
  // are read while those of this one are multiplied.
  template <class RowAt>
  LEGATO_INLINE void compute(Tiles<T>& tiles, const T* a, RowAt row_at, long long a_col, const T* b,
                             long long b_row, long long b_col, long long cols, long long depth) {
    A next_a[kEach], next_b[kEach];
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
        next_a[i] = at != kOutside && k0 + c < depth ? read(a[at + (k0 + c) * a_col]) : zero<A>();
      }
      for (int i = 0; i < kEach; ++i) {
        int r, c;
        place(i, along_b, r, c);
        next_b[i] = c < cols && k0 + r < depth ? read(b[(k0 + r) * b_row + c * b_col]) : zero<A>();
      }
    };
    for (auto& row : sums)
      for (A& s : row) s = zero<A>();
    fetch(0);
    for (long long k0 = 0; k0 < depth; k0 += kMatmulDepth) {
      for (int i = 0; i < kEach; ++i) {
        int c, r;
        place(i, along_a, c, r);
        tiles.a[c][r] = next_a[i];
        place(i, along_b, r, c);
        tiles.b[r][c] = next_b[i];
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
  const long long tiles_n = (n + tile - 1) / tile, tiles_m = (m + tile - 1) / tile;
  long long block = blockIdx.x;
  TilePlace at;
  at.col0 = block % tiles_n * tile;
  block /= tiles_n;
  at.row0 = block % tiles_m * tile;
  at.batch = block / tiles_m;
  return at;
}

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
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 2; ++j) {
      const long long row = at.row0 + product.row(i), col = at.col0 + product.col(j);
      if (row < p.m && col < p.n) store<T>(p, from, at.batch, row, col, product.sums[i][j]);
    }
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
    float next_a[kEach], next_b[kEach];
    // Neighbouring threads read along the operand's fast axis.
    const bool along_a = p.a_col == 1, along_b = p.b_row == 1;
    for (int i = 0; i < kEach; ++i) {
      const int e = thread + i * kMatmulThreads;
      const int k = along_a ? e % kSmallDepth : e / kSmallTile,
                r = along_a ? e / kSmallDepth : e % kSmallTile;
      next_a[i] = r < rows && k < depth ? read(a[r * p.a_row + (k0 + k) * p.a_col]) : 0.0f;
    }
    for (int i = 0; i < kEach; ++i) {
      const int e = thread + i * kMatmulThreads;
      const int k = along_b ? e % kSmallDepth : e / kSmallTile,
                c = along_b ? e / kSmallDepth : e % kSmallTile;
      next_b[i] = c < cols && k < depth ? read(b[(k0 + k) * p.b_row + c * p.b_col]) : 0.0f;
    }
    if (k0 > 0) __syncthreads();
    for (int i = 0; i < kEach; ++i) {
      const int e = thread + i * kMatmulThreads;
      tiles.a[along_a ? e % kSmallDepth : e / kSmallTile]
             [along_a ? e / kSmallDepth : e % kSmallTile] = next_a[i];
      tiles.b[along_b ? e % kSmallDepth : e / kSmallTile]
             [along_b ? e / kSmallDepth : e % kSmallTile] = next_b[i];
    }
    __syncthreads();
    for (int k = warp; k < depth; k += kWarps) {
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

// A block takes 32 rows of the stacked results, which may belong to several pairs of matrices: one
// pass for each run of rows that meet the same matrix of b.
template <class T>
LEGATO_INLINE void gather_mm(const GatherMmParams& p, Tiles<T>& tiles, long long* row_at,
                             long long* right) {
  const TilePlace at = tile_place(p.count * p.m, p.n, kMatmulTile);
  const int thread = static_cast<int>(threadIdx.x);
  if (thread < kMatmulTile) {
    const long long row = at.row0 + thread;
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
  for (int first = 0, end; first < kMatmulTile; first = end) {
    end = first + 1;
    while (end < kMatmulTile && right[end] == right[first]) ++end;
    if (right[first] < 0) continue;
    auto in_run = [&](int r) { return r >= first && r < end ? row_at[r] : kOutside; };
    TileProduct<T> product;
    product.compute(tiles, static_cast<const T*>(p.a), in_run, p.a_col,
                    static_cast<const T*>(p.b) + right[first] * p.b_next + at.col0 * p.b_col,
                    p.b_row, p.b_col, p.n - at.col0, p.k);
    for (int i = 0; i < 2; ++i)
      for (int j = 0; j < 2; ++j) {
        const int row = product.row(i);
        const long long col = at.col0 + product.col(j);
        if (row < first || row >= end || col >= p.n) continue;
        static_cast<T*>(p.d)[(at.row0 + row) * p.n + col] = written<T>(product.sums[i][j]);
      }
  }
}

template <class T>
LEGATO_INLINE void segmented_mm(const SegmentedMmParams& p, Tiles<T>& tiles) {
  const TilePlace at = tile_place(p.m, p.n, kMatmulTile);
  const long long begin = p.ends[at.batch * p.ends_step],
                  end = p.ends[at.batch * p.ends_step + p.ends_next];
  const bool fits = begin >= 0 && begin <= end && end <= p.k;
  if (!fits && threadIdx.x == 0) report_value(p.report, static_cast<int>(at.batch), begin, end);
  auto row_at = [&](int r) { return at.row0 + r < p.m ? (at.row0 + r) * p.a_row : kOutside; };
  TileProduct<T> product;
  const long long from = fits ? begin : 0;
  product.compute(tiles, static_cast<const T*>(p.a) + from * p.a_col, row_at, p.a_col,
                  static_cast<const T*>(p.b) + from * p.b_row + at.col0 * p.b_col, p.b_row, p.b_col,
                  p.n - at.col0, fits ? end - begin : 0);
  T* d = static_cast<T*>(p.d) + at.batch * p.m * p.n;
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 2; ++j) {
      const long long row = at.row0 + product.row(i), col = at.col0 + product.col(j);
      if (row < p.m && col < p.n) d[row * p.n + col] = written<T>(product.sums[i][j]);
    }
}

#define LEGATO_MATMUL(end, T)                                            \
  LEGATO_KERNEL(matmul_##end, MatmulParams, kMatmulThreads) {            \
    __shared__ Tiles<T> tiles;                                           \
    matmul<T>(p, tiles);                                                 \
  }                                                                      \
  LEGATO_KERNEL(gather_mm_##end, GatherMmParams, kMatmulThreads) {       \
    __shared__ Tiles<T> tiles;                                           \
    __shared__ long long row_at[kMatmulTile], right[kMatmulTile];        \
    gather_mm<T>(p, tiles, row_at, right);                               \
  }                                                                      \
  LEGATO_KERNEL(segmented_mm_##end, SegmentedMmParams, kMatmulThreads) { \
    __shared__ Tiles<T> tiles;                                           \
    segmented_mm<T>(p, tiles);                                           \
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
