// softmax, log_softmax, logsumexp and their derivatives along another axis than the last: threads
// next to each other take columns next to each other. Columns of up to K * lines elements are read
// once.
#include "legato/ops/softmax/tally.cuh"

namespace legato::cuda {

/// Merges the tallies of the lines of a block; all threads get their columns'.
template <class V, int W>
LEGATO_INLINE void over_lines(Tally<V>* t, Tally<V>* shared, int across, int lines) {
  const int thread = static_cast<int>(threadIdx.x), line = thread / across;
  for (int j = 0; j < W; ++j) shared[thread * W + j] = t[j];
  for (int by = lines / 2; by > 0; by /= 2) {
    __syncthreads();
    if (line >= by) continue;
    for (int j = 0; j < W; ++j)
      shared[thread * W + j] =
          merged(shared[thread * W + j], shared[(thread + by * across) * W + j]);
  }
  __syncthreads();
  for (int j = 0; j < W; ++j) t[j] = shared[thread % across * W + j];
}

template <class T, int W, bool vjp>
LEGATO_INLINE void softmax_columns(const SoftmaxColumnParams& p) {
  using V = Compute<T>;
  constexpr int K = 4;
  __shared__ Tally<V> shared[kColumnThreads * W];
  const int thread = static_cast<int>(threadIdx.x), line = thread / p.across;
  const long long packs = p.inner / W,
                  column = static_cast<long long>(blockIdx.x) * p.across + thread % p.across;
  const bool valid = column < p.outer * packs;
  const long long o = valid ? column / packs : 0, i = valid ? (column - o * packs) * W : 0;
  const long long start = o * p.n * p.inner + i, n = valid ? p.n : 0;
  const T *x = static_cast<const T*>(p.x) + start, *g = static_cast<const T*>(p.g) + start;
  const long long chunk = static_cast<long long>(K) * p.lines;
  Stored<T, W> stored[K], gs[vjp ? K : 1];
  const auto load_chunk = [&](long long first) {
    for (int k = 0; k < K; ++k) {
      const long long at = first + k * p.lines + line;
      if (at >= n) continue;
      stored[k] = load<T, W>(x + at * p.inner);
      if constexpr (vjp) gs[k] = load<T, W>(g + at * p.inner);
    }
  };
  Tally<V> t[W];
  for (int j = 0; j < W; ++j) t[j] = Tally<V>::none();
  for (long long first = 0; first < p.n; first += chunk) {
    load_chunk(first);
    for (int k = 0; k < K; ++k) {
      if (first + k * p.lines + line >= n) continue;
      V v[W], c[W];
      unpack<T, W>(stored[k], v);
      if constexpr (vjp) unpack<T, W>(gs[k], c);
      for (int j = 0; j < W; ++j) {
        if constexpr (vjp)
          t[j].sum += vjp_term(p.kind, v[j], c[j]);
        else
          t[j].template add<1>(v + j);
      }
    }
  }
  over_lines<V, W>(t, shared, p.across, p.lines);
  T* y = static_cast<T*>(p.y);
  if (!vjp && p.kind == kLogSumExp) {
    if (!valid || line != 0) return;
    V v[W];
    for (int j = 0; j < W; ++j) v[j] = log_sum_exp(t[j]);
    store<T, W>(y + o * p.inner + i, v);
    return;
  }
  for (long long first = 0; first < n; first += chunk) {
    if (p.n > chunk) load_chunk(first);
    for (int k = 0; k < K; ++k) {
      const long long at = first + k * p.lines + line;
      if (at >= n) continue;
      V v[W], c[W];
      unpack<T, W>(stored[k], v);
      if constexpr (vjp) unpack<T, W>(gs[k], c);
      for (int j = 0; j < W; ++j) {
        if constexpr (vjp)
          v[j] = vjp_result(p.kind, v[j], c[j], t[j].sum);
        else
          v[j] = Finish<V>(t[j], p.kind)(v[j]);
      }
      store<T, W>(y + start + at * p.inner, v);
    }
  }
}

#define LEGATO_SOFTMAX_COLUMNS(end, T, W)                                                \
  LEGATO_KERNEL(softmax_columns_w##W##_##end, SoftmaxColumnParams, kColumnThreads) {     \
    softmax_columns<T, W, false>(p);                                                     \
  }                                                                                      \
  LEGATO_KERNEL(softmax_columns_vjp_w##W##_##end, SoftmaxColumnParams, kColumnThreads) { \
    softmax_columns<T, W, true>(p);                                                      \
  }
LEGATO_SOFTMAX_COLUMNS(f16, f16, 8)
LEGATO_SOFTMAX_COLUMNS(f16, f16, 1)
LEGATO_SOFTMAX_COLUMNS(bf16, bf16, 8)
LEGATO_SOFTMAX_COLUMNS(bf16, bf16, 1)
LEGATO_SOFTMAX_COLUMNS(f32, float, 4)
LEGATO_SOFTMAX_COLUMNS(f32, float, 1)
LEGATO_SOFTMAX_COLUMNS(f64, double, 2)
LEGATO_SOFTMAX_COLUMNS(f64, double, 1)

}  // namespace legato::cuda
