// Layer norm and RMS norm over the last axis, and their derivatives, each row read once: a thread
// keeps K packs of W elements of its group's row. The variance is that of the differences from the
// mean: no cancellation. Rows that do not fit: norm_long.cu. See lab/gpu_norm.
#include "legato/backends/cuda/packs.cuh"
#include "legato/ops/norm/norm.cuh"

namespace legato::cuda {

template <class T, int W, int K>
LEGATO_INLINE void norm_rows(const RowNormParams& p) {
  using V = Compute<T>;
  __shared__ V shared[2][32];
  const int group = p.group, thread = static_cast<int>(threadIdx.x), lane = thread & (group - 1);
  const long long row = static_cast<long long>(blockIdx.x) * (blockDim.x / group) + thread / group;
  const int n = row < p.rows ? static_cast<int>(p.n) : 0;
  const T* x = static_cast<const T*>(p.x) + row * p.n;
  Stored<T, W> stored[K];
  for (int k = 0; k < K; ++k) {
    const int at = (k * group + lane) * W;
    if (at < n) stored[k] = load<T, W>(x + at);
  }
  const V count = static_cast<V>(p.n);
  V mean = 0;
  if (!p.rms) {
    V sum = 0;
    for (int k = 0; k < K; ++k) {
      if ((k * group + lane) * W >= n) continue;
      V v[W];
      unpack<T, W>(stored[k], v);
      for (int j = 0; j < W; ++j) sum += v[j];
    }
    mean = over_threads(sum, group, shared[0], Plus{}) / count;
  }
  V squares = 0;
  for (int k = 0; k < K; ++k) {
    if ((k * group + lane) * W >= n) continue;
    V v[W];
    unpack<T, W>(stored[k], v);
    for (int j = 0; j < W; ++j) squares = fma(v[j] - mean, v[j] - mean, squares);
  }
  const V variance = over_threads(squares, group, shared[1], Plus{}) / count;
  const V scale = V(1) / root_of(variance + static_cast<V>(p.eps));
  const T *weight = static_cast<const T*>(p.weight), *bias = static_cast<const T*>(p.bias);
  T* y = static_cast<T*>(p.y) + row * p.n;
  for (int k = 0; k < K; ++k) {
    const int at = (k * group + lane) * W;
    if (at >= n) continue;
    V v[W], w[W], b[W];
    unpack<T, W>(stored[k], v);
    if (weight) unpack<T, W>(load<T, W>(weight + at), w);
    if (bias) unpack<T, W>(load<T, W>(bias + at), b);
    for (int j = 0; j < W; ++j) {
      v[j] = (v[j] - mean) * scale;
      if (weight) v[j] *= w[j];
      if (bias) v[j] += b[j];
    }
    store<T, W>(y + at, v);
  }
}

// With xhat = (x - mean) * scale and wg = g * weight:
//   dx = scale * (wg - mean(wg) - xhat * mean(wg * xhat)), without mean(wg) for RMS norm.
// A group walks rows and keeps the sums of its columns, which are added up over the block.
template <class T, int W, int K>
LEGATO_INLINE void norm_rows_vjp(const RowNormParams& p) {
  using V = Compute<T>;
  __shared__ V shared[4][32];
  const int group = p.group, thread = static_cast<int>(threadIdx.x), lane = thread & (group - 1);
  const int per_block = static_cast<int>(blockDim.x) / group;
  const V count = static_cast<V>(p.n);
  const T* weight = static_cast<const T*>(p.weight);
  V dw[K * W], db[K * W];
  for (int i = 0; i < K * W; ++i) dw[i] = db[i] = V(0);
  const long long step = static_cast<long long>(gridDim.x) * per_block;
  // The next row is on its way while this one is worked on.
  Stored<T, W> xs[K], gs[K];
  const auto load_row = [&](long long row) {
    const int n = row < p.rows ? static_cast<int>(p.n) : 0;
    const T *x = static_cast<const T*>(p.x) + row * p.n,
            *g = static_cast<const T*>(p.g) + row * p.n;
    for (int k = 0; k < K; ++k) {
      const int at = (k * group + lane) * W;
      if (at < n) xs[k] = load<T, W>(x + at), gs[k] = load<T, W>(g + at);
    }
  };
  const long long begin = static_cast<long long>(blockIdx.x) * per_block;
  load_row(begin + thread / group);
  for (long long first = begin; first < p.rows; first += step) {
    const long long row = first + thread / group;
    const int n = row < p.rows ? static_cast<int>(p.n) : 0;
    Stored<T, W> now[K];
    V sum = 0;
    V v[K * W];
    for (int k = 0; k < K; ++k) {
      for (int j = 0; j < W; ++j) v[k * W + j] = V(0);
      if ((k * group + lane) * W >= n) continue;
      unpack<T, W>(xs[k], v + k * W);
      now[k] = gs[k];
      for (int j = 0; j < W; ++j) sum += v[k * W + j];
    }
    if (step < p.rows - first) load_row(row + step);
    V mean = 0;
    if (!p.rms) mean = over_threads(sum, group, shared[0], Plus{}) / count;
    V squares = 0;
    for (int k = 0; k < K; ++k) {
      if ((k * group + lane) * W >= n) continue;
      for (int j = 0; j < W; ++j) {
        v[k * W + j] -= mean;
        squares = fma(v[k * W + j], v[k * W + j], squares);
      }
    }
    const V variance = over_threads(squares, group, shared[1], Plus{}) / count;
    const V scale = V(1) / root_of(variance + static_cast<V>(p.eps));
    V wg_sum = 0, wgx_sum = 0;
    for (int k = 0; k < K; ++k) {
      const int at = (k * group + lane) * W;
      if (at >= n) continue;
      V g_[W], w[W];
      unpack<T, W>(now[k], g_);
      if (weight) unpack<T, W>(load<T, W>(weight + at), w);
      for (int j = 0; j < W; ++j) {
        const int i = k * W + j;
        v[i] *= scale;
        dw[i] = fma(g_[j], v[i], dw[i]);
        db[i] += g_[j];
        const V wg = weight ? g_[j] * w[j] : g_[j];
        wg_sum += wg;
        wgx_sum = fma(wg, v[i], wgx_sum);
      }
    }
    V c1 = 0;
    if (!p.rms) c1 = over_threads(wg_sum, group, shared[2], Plus{}) / count;
    const V c2 = over_threads(wgx_sum, group, shared[3], Plus{}) / count;
    T* dx = static_cast<T*>(p.y) + row * p.n;
    for (int k = 0; k < K; ++k) {
      const int at = (k * group + lane) * W;
      if (at >= n) continue;
      V g_[W], w[W], out[W];
      unpack<T, W>(now[k], g_);
      if (weight) unpack<T, W>(load<T, W>(weight + at), w);
      for (int j = 0; j < W; ++j) {
        const V wg = weight ? g_[j] * w[j] : g_[j];
        out[j] = scale * (wg - c1 - v[k * W + j] * c2);
      }
      store<T, W>(dx + at, out);
    }
  }
  if (!p.sums) return;
  // Each group in turn adds its sums to the block's, so that the order is fixed.
  const int n = static_cast<int>(p.n);
  V* to = static_cast<V*>(p.sums);
  V* dw_to = to + static_cast<long long>(blockIdx.x) * n;
  V* db_to = to + (static_cast<long long>(gridDim.x) + blockIdx.x) * n;
  for (int turn = 0; turn < per_block; ++turn) {
    if (thread / group == turn)
      for (int k = 0; k < K; ++k) {
        const int at = (k * group + lane) * W;
        if (at >= n) continue;
        for (int j = 0; j < W; ++j) {
          dw_to[at + j] = (turn ? dw_to[at + j] : V(0)) + dw[k * W + j];
          db_to[at + j] = (turn ? db_to[at + j] : V(0)) + db[k * W + j];
        }
      }
    __syncthreads();
  }
}

/// A block of (32, 32) threads adds up 32 columns.
template <class T>
LEGATO_INLINE void column_sums(const ColumnSumParams& p) {
  using V = Compute<T>;
  __shared__ V shared[32][33];
  const int x = static_cast<int>(threadIdx.x) % 32, y = static_cast<int>(threadIdx.x) / 32;
  const long long column = static_cast<long long>(blockIdx.x) * 32 + x;
  const V* sums = static_cast<const V*>(p.sums);
  V sum = 0;
  if (column < p.n)
    for (long long part = y; part < p.parts; part += 32) sum += sums[part * p.n + column];
  shared[y][x] = sum;
  __syncthreads();
  sum = shared[x][y];
  for (int by = 16; by > 0; by /= 2) sum += __shfl_xor_sync(~0u, sum, by);
  if (x == 0 && static_cast<long long>(blockIdx.x) * 32 + y < p.n)
    static_cast<T*>(p.y)[static_cast<long long>(blockIdx.x) * 32 + y] = written<T>(sum);
}

#define X(W, K, threads) \
  LEGATO_KERNEL(norm_w##W##_k##K##_f16, RowNormParams, threads) { norm_rows<f16, W, K>(p); }
LEGATO_NORM_HALF(X)
#undef X
#define X(W, K, threads) \
  LEGATO_KERNEL(norm_vjp_w##W##_k##K##_f16, RowNormParams, threads) { norm_rows_vjp<f16, W, K>(p); }
LEGATO_NORM_VJP_HALF(X)
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
