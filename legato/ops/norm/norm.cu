// Layer norm and RMS norm over the last axis, and their derivatives, each row read once: a thread
// keeps K packs of W elements of its group's row. The variance is that of the differences from the
// mean: no cancellation. Rows that do not fit: norm_long.cu. See lab/gpu_norm.
#include "legato/backends/cuda/packs.cuh"
#include "legato/ops/norm/norm.cuh"

namespace legato::cuda {

template <class V>
struct MeanScale {
  V mean, scale;
};

/// values(k, v) gives the values of pack k. Where all threads have equally many, their moments are
/// merged; else the mean comes first, since merging unequal ones takes divisions.
template <int K, int W, Rows rows, class V, class Values>
LEGATO_INLINE MeanScale<V> row_moments(const RowNormParams& p, const RowPlace<W, rows>& r,
                                       V (*shared)[32], Values values) {
  const bool even = rows != Rows::odd && !p.rms && p.n == static_cast<long long>(r.group) * K * W;
  const V count = static_cast<V>(p.n);
  V mean = 0, squares = 0;
  if (!p.rms) {
    for (int k = 0; k < K; ++k) {
      if (!r.has(k)) continue;
      V v[W];
      values(k, v);
      for (int j = 0; j < W; ++j) mean += v[j];  // what lies outside of the row is 0
    }
    mean = even ? mean * (V(1) / V(K * W)) : over_threads(mean, r.group, shared[2], Plus{}) / count;
  }
  for (int k = 0; k < K; ++k) {
    if (!r.has(k)) continue;
    V v[W];
    values(k, v);
    for (int j = 0; j < W; ++j)
      if (r.inside(k, j)) squares = fma(v[j] - mean, v[j] - mean, squares);
  }
  if (even)
    add_moments(mean, squares, V(K * W), r.group, shared);
  else
    squares = over_threads(squares, r.group, shared[0], Plus{});
  return {mean, V(1) / root_of(squares / count + static_cast<V>(p.eps))};
}

template <class T, int W, int K, Rows rows>
LEGATO_INLINE void norm_row(const RowNormParams& p, Compute<T> (*shared)[32]) {
  using V = Compute<T>;
  const long long row = row_number(p.group);
  const RowPlace<W, rows> r = row_place<W, rows>(p.group, p.rows, p.n, row);
  const T* x = kept(static_cast<const T*>(p.x) + row * p.n);
  Stored<T, W> stored[K];
  for (int k = 0; k < K; ++k)
    if (r.has(k)) stored[k] = r.load(x, k);
  const MeanScale<V> m =
      row_moments<K>(p, r, shared, [&](int k, V* v) { unpack<T, W>(stored[k], v); });
  const T *weight = static_cast<const T*>(p.weight), *bias = static_cast<const T*>(p.bias);
  T* y = kept(static_cast<T*>(p.y) + row * p.n);
  for (int k = 0; k < K; ++k) {
    if (!r.has(k)) continue;
    V v[W], w[W], b[W];
    unpack<T, W>(stored[k], v);
    if (weight) r.load_values(weight, k, w);
    if (bias) r.load_values(bias, k, b);
    for (int j = 0; j < W; ++j) {
      v[j] = (v[j] - m.mean) * m.scale;
      if (weight) v[j] *= w[j];
      if (bias) v[j] += b[j];
    }
    r.store(y, k, v);
  }
}

template <class T, int W, int K, bool odd = false>
LEGATO_INLINE void norm_rows(const RowNormParams& p) {
  __shared__ Compute<T> shared[3][32];
  if constexpr (odd)
    norm_row<T, W, K, Rows::odd>(p, shared);
  else if (full_rows<W, K>(p.group, p.rows, p.n))
    norm_row<T, W, K, Rows::full>(p, shared);
  else
    norm_row<T, W, K, Rows::any>(p, shared);
}

// With xhat = (x - mean) * scale and wg = g * weight:
//   dx = scale * (wg - mean(wg) - xhat * mean(wg * xhat)), without mean(wg) for RMS norm.
// A group walks rows and keeps the sums of its columns, which are added up over the block.
template <class T, int W, int K>
LEGATO_INLINE void norm_rows_vjp(const RowNormParams& p) {
  using V = Compute<T>;
  // The next row is on its way while one is worked on. Wider types have enough bytes in flight.
  constexpr bool ahead = sizeof(T) == 2;
  __shared__ V shared[5][32];
  const int group = p.group, thread = static_cast<int>(threadIdx.x), log = log_of_power(group),
            per_block = static_cast<int>(blockDim.x) >> log;
  RowPlace<W, Rows::any> r{group, thread & (group - 1), 0, 0};
  const T* weight = static_cast<const T*>(p.weight);
  V dw[K * W], db[K * W];
  for (int i = 0; i < K * W; ++i) dw[i] = db[i] = V(0);
  const auto load_row = [&](long long row, Stored<T, W>* xs, Stored<T, W>* gs) {
    const int n = row < p.rows ? static_cast<int>(p.n) : 0;
    const T *x = static_cast<const T*>(p.x) + row * p.n,
            *g = static_cast<const T*>(p.g) + row * p.n;
    for (int k = 0; k < K; ++k)
      if (r.at(k) < n) xs[k] = load<T, W>(x + r.at(k)), gs[k] = load<T, W>(g + r.at(k));
  };
  Stored<T, W> xs[K], gs[K], next_x[K], next_g[K];
  const long long begin = static_cast<long long>(blockIdx.x) * per_block,
                  step = static_cast<long long>(gridDim.x) * per_block;
  if constexpr (ahead) load_row(begin + (thread >> log), next_x, next_g);
  for (long long first = begin; first < p.rows; first += step) {
    const long long row = first + (thread >> log);
    r.n = row < p.rows ? static_cast<int>(p.n) : 0;
    if constexpr (ahead) {
      for (int k = 0; k < K; ++k) xs[k] = next_x[k], gs[k] = next_g[k];
      if (step < p.rows - first) load_row(row + step, next_x, next_g);
    } else {
      load_row(row, xs, gs);
    }
    V v[K * W], wg[K * W];
    for (int k = 0; k < K; ++k)
      if (r.has(k)) unpack<T, W>(xs[k], v + k * W);
    const MeanScale<V> m = row_moments<K>(p, r, shared, [&](int k, V* to) {
      for (int j = 0; j < W; ++j) to[j] = v[k * W + j];
    });
    V wg_sum = 0, wgx_sum = 0;
    for (int k = 0; k < K; ++k) {
      if (!r.has(k)) continue;
      V g[W], w[W];
      unpack<T, W>(gs[k], g);
      if (weight) unpack<T, W>(load<T, W>(weight + r.at(k)), w);
      for (int j = 0; j < W; ++j) {
        const int i = k * W + j;
        v[i] = (v[i] - m.mean) * m.scale;
        dw[i] = fma(g[j], v[i], dw[i]);
        db[i] += g[j];
        if (weight) g[j] *= w[j];
        wg_sum += g[j];
        wgx_sum = fma(g[j], v[i], wgx_sum);
        wg[i] = g[j];
      }
    }
    add_two(wg_sum, wgx_sum, group, shared + 3);
    const V over = m.scale / static_cast<V>(p.n), c1 = p.rms ? V(0) : wg_sum * over,
            c2 = wgx_sum * over;
    T* dx = static_cast<T*>(p.y) + row * p.n;
    for (int k = 0; k < K; ++k) {
      if (!r.has(k)) continue;
      V out[W];
      for (int j = 0; j < W; ++j) {
        const int i = k * W + j;
        out[j] = fma(-c2, v[i], fma(m.scale, wg[i], -c1));
      }
      store<T, W>(dx + r.at(k), out);
    }
  }
  if (!p.sums) return;
  // Each group in turn adds its sums to the block's, so that the order is fixed.
  const int n = static_cast<int>(p.n);
  V* to = static_cast<V*>(p.sums);
  V* dw_to = to + static_cast<long long>(blockIdx.x) * n;
  V* db_to = to + (static_cast<long long>(gridDim.x) + blockIdx.x) * n;
  for (int turn = 0; turn < per_block; ++turn) {
    if ((thread >> log) == turn)
      for (int k = 0; k < K; ++k) {
        const int at = r.at(k);
        if (at >= n) continue;
        for (int j = 0; j < W; ++j) {
          dw_to[at + j] = (turn ? dw_to[at + j] : V(0)) + dw[k * W + j];
          db_to[at + j] = (turn ? db_to[at + j] : V(0)) + db[k * W + j];
        }
      }
    __syncthreads();
  }
}

/// A block of (32, 32) threads adds up 32 columns of one of the arrays.
template <class T>
LEGATO_INLINE void column_sums(const ColumnSumParams& p) {
  using V = Compute<T>;
  __shared__ V shared[32][33];
  const int x = static_cast<int>(threadIdx.x) % 32, y = static_cast<int>(threadIdx.x) / 32;
  const unsigned array = blockIdx.x & 1;
  T* to = static_cast<T*>(array ? p.second : p.first);
  if (!to) return;
  const long long first = static_cast<long long>(blockIdx.x / 2) * 32;
  const V* sums = static_cast<const V*>(p.sums) + array * p.parts * p.n;
  V sum = 0;
  if (first + x < p.n)
    for (long long part = y; part < p.parts; part += 32) sum += sums[part * p.n + first + x];
  shared[y][x] = sum;
  __syncthreads();
  sum = shared[x][y];
  for (int by = 16; by > 0; by /= 2) sum += __shfl_xor_sync(~0u, sum, by);
  if (x == 0 && first + y < p.n) to[first + y] = written<T>(sum);
}

#define X(W, K, threads) \
  LEGATO_KERNEL(norm_w##W##_k##K##_f16, RowNormParams, threads) { norm_rows<f16, W, K>(p); }
LEGATO_NORM_HALF(X)
#undef X
#define X(W, K, threads) \
  LEGATO_KERNEL(norm_vjp_w##W##_k##K##_f16, RowNormParams, threads) { norm_rows_vjp<f16, W, K>(p); }
LEGATO_NORM_VJP_HALF(X)
#undef X
#define X(W, K, threads)                                              \
  LEGATO_KERNEL(norm_odd_w##W##_k##K##_f16, RowNormParams, threads) { \
    norm_rows<f16, W, K, true>(p);                                    \
  }
LEGATO_NORM_ODD(X)
#undef X
#define X(W, K, threads) \
  LEGATO_KERNEL(norm_w##W##_k##K##_bf16, RowNormParams, threads) { norm_rows<bf16, W, K>(p); }
LEGATO_NORM_HALF(X)
#undef X
#define X(W, K, threads)                                               \
  LEGATO_KERNEL(norm_vjp_w##W##_k##K##_bf16, RowNormParams, threads) { \
    norm_rows_vjp<bf16, W, K>(p);                                      \
  }
LEGATO_NORM_VJP_HALF(X)
#undef X
#define X(W, K, threads)                                               \
  LEGATO_KERNEL(norm_odd_w##W##_k##K##_bf16, RowNormParams, threads) { \
    norm_rows<bf16, W, K, true>(p);                                    \
  }
LEGATO_NORM_ODD(X)
#undef X
#define X(W, K, threads) \
  LEGATO_KERNEL(norm_w##W##_k##K##_f32, RowNormParams, threads) { norm_rows<float, W, K>(p); }
LEGATO_NORM_SINGLE(X)
#undef X
#define X(W, K, threads)                                              \
  LEGATO_KERNEL(norm_vjp_w##W##_k##K##_f32, RowNormParams, threads) { \
    norm_rows_vjp<float, W, K>(p);                                    \
  }
LEGATO_NORM_VJP_SINGLE(X)
#undef X
#define X(W, K, threads) \
  LEGATO_KERNEL(norm_w##W##_k##K##_f64, RowNormParams, threads) { norm_rows<double, W, K>(p); }
LEGATO_NORM_DOUBLE(X)
#undef X
#define X(W, K, threads)                                              \
  LEGATO_KERNEL(norm_vjp_w##W##_k##K##_f64, RowNormParams, threads) { \
    norm_rows_vjp<double, W, K>(p);                                   \
  }
LEGATO_NORM_VJP_DOUBLE(X)
#undef X

#define LEGATO_COLUMN_SUMS(end, T) \
  LEGATO_KERNEL(column_sums_##end, ColumnSumParams, 1024) { column_sums<T>(p); }
LEGATO_COLUMN_SUMS(f16, f16)
LEGATO_COLUMN_SUMS(bf16, bf16)
LEGATO_COLUMN_SUMS(f32, float)
LEGATO_COLUMN_SUMS(f64, double)

}  // namespace legato::cuda
