// softmax, log_softmax, logsumexp and their derivatives along the last axis, each row read once: a
// thread keeps K packs of W elements of its group's row. Rows that do not fit are read twice. Other
// axes: softmax_columns.cu. See lab/gpu_norm.
#include "legato/backends/cuda/packs.cuh"
#include "legato/ops/softmax/tally.cuh"

namespace legato::cuda {

// Half types stay as they are stored, and are unpacked three times: registers are scarcer than
// conversions are dear. Their exponentials need 11 bits only.
template <class T, int W, int K, Rows rows>
LEGATO_INLINE void softmax_row(const SoftmaxRowParams& p, Compute<T> (*shared)[32]) {
  using V = Compute<T>;
  const long long row = row_number(p.group);
  const RowPlace<W, rows> r = row_place<W, rows>(p.group, p.rows, p.n, row);
  const T* x = kept(static_cast<const T*>(p.x) + row * p.n);
  Stored<T, W> stored[K];
  for (int k = 0; k < K; ++k)
    if (r.has(k)) stored[k] = r.load(x, k);
  V top = lowest<V>();
  for (int k = 0; k < K; ++k) {
    V v[W];
    if (!r.has(k)) continue;
    unpack<T, W>(stored[k], v);
    for (int j = 0; j < W; ++j)
      if (r.inside(k, j)) top = max_of(top, v[j]);
  }
  top = over_threads(top, p.group, shared[0], Largest{});
  const bool one = p.kind >= kLogSumExp;  // result a row
  const Exponentials<T> exponentials(one ? finite(top) : top);
  V sum = 0;
  for (int k = 0; k < K; ++k) {
    V v[W];
    if (!r.has(k)) continue;
    unpack<T, W>(stored[k], v);
    for (int j = 0; j < W; ++j) {
      v[j] = exponentials(v[j]);
      if (r.inside(k, j)) sum += v[j];
    }
    if constexpr (sizeof(T) > 2)
      if (p.kind != kLogSoftmax) stored[k] = pack<T, W>(v);
  }
  sum = over_threads(sum, p.group, shared[1], Plus{});
  if (one) {
    if (r.n == 0 || r.lane != 0) return;
    V v = log_sum_exp(Tally<V>{top, sum});
    if (p.kind == kCrossEntropy) {
      const long long target = target_of(p, row, true);
      v -= target < 0 ? V(0) : read(x[target]);
    }
    static_cast<T*>(p.y)[row] = written<T>(v);
    return;
  }
  T* y = kept(static_cast<T*>(p.y) + row * p.n);
  V scale = V(1) / sum;
  const V less = log_of(sum);
  if (p.kind == kCrossEntropyVjp && r.n > 0) scale *= read(static_cast<const T*>(p.g)[row]);
  for (int k = 0; k < K; ++k) {
    if (!r.has(k)) continue;
    V v[W];
    unpack<T, W>(stored[k], v);
    for (int j = 0; j < W; ++j) {
      if (p.kind == kLogSoftmax)
        v[j] = v[j] - top - less;
      else if constexpr (sizeof(T) > 2)
        v[j] *= scale;
      else
        v[j] = exponentials(v[j]) * scale;
    }
    r.store(y, k, v);
  }
  if (p.kind != kCrossEntropyVjp || r.n == 0) return;
  // The thread that wrote it corrects the target's.
  const long long target = target_of(p, row, r.lane == 0);
  if (target < 0 ||
      r.lane != ((static_cast<int>(target) + (r.odd ? r.shift : 0)) / W & (p.group - 1)))
    return;
  y[target] =
      written<T>(exponentials(read(x[target])) * scale - read(static_cast<const T*>(p.g)[row]));
}

template <class T, int W, int K, bool odd = false>
LEGATO_INLINE void softmax_rows(const SoftmaxRowParams& p) {
  __shared__ Compute<T> shared[2][32];
  if constexpr (odd)
    softmax_row<T, W, K, Rows::odd>(p, shared);
  else if (full_rows<W, K>(p.group, p.rows, p.n))
    softmax_row<T, W, K, Rows::full>(p, shared);
  else
    softmax_row<T, W, K, Rows::any>(p, shared);
}

template <class T, int W, int K, bool odd = false>
LEGATO_INLINE void softmax_rows_vjp(const SoftmaxRowParams& p) {
  using V = Compute<T>;
  __shared__ V shared[32];
  constexpr Rows rows = odd ? Rows::odd : Rows::any;
  const long long row = row_number(p.group);
  const RowPlace<W, rows> r = row_place<W, rows>(p.group, p.rows, p.n, row);
  const T *y = static_cast<const T*>(p.x) + row * p.n, *g = static_cast<const T*>(p.g) + row * p.n;
  Stored<T, W> ys[K], gs[K];
  for (int k = 0; k < K; ++k)
    if (r.has(k)) ys[k] = r.load(y, k), gs[k] = r.load(g, k);
  V sum = 0;
  for (int k = 0; k < K; ++k) {
    V a[W], c[W];
    if (!r.has(k)) continue;
    unpack<T, W>(ys[k], a);
    unpack<T, W>(gs[k], c);
    for (int j = 0; j < W; ++j)
      if (r.inside(k, j)) sum += vjp_term(p.kind, a[j], c[j]);
  }
  sum = over_threads(sum, p.group, shared, Plus{});
  T* out = static_cast<T*>(p.y) + row * p.n;
  for (int k = 0; k < K; ++k) {
    if (!r.has(k)) continue;
    V a[W], c[W], d[W];
    unpack<T, W>(ys[k], a);
    unpack<T, W>(gs[k], c);
    for (int j = 0; j < W; ++j) d[j] = vjp_result(p.kind, a[j], c[j], sum);
    r.store(out, k, d);
  }
}

// --- long rows

template <class V>
LEGATO_INLINE Tally<V> over_block(Tally<V> t, V (*shared)[32]) {
  const V top = over_threads(t.top, kLongThreads, shared[0], Largest{});
  return {top, over_threads(t.sum_relative_to(top), kLongThreads, shared[1], Plus{})};
}

template <class T, int W, bool vjp>
LEGATO_INLINE void softmax_long(const SoftmaxLongParams& p) {
  using V = Compute<T>;
  __shared__ V shared[4][32];
  const long long row = blockIdx.x / p.parts, part = blockIdx.x % p.parts;
  const T* x = static_cast<const T*>(p.x) + row * p.n;
  const T* g = static_cast<const T*>(p.g) + row * p.n;
  const long long first = part * p.part, last = first + p.part < p.n ? first + p.part : p.n;
  Tally<V> t = Tally<V>::none();
  if (p.pass != 2) {
    each_pack<T, W>(x, first, last, [&](long long at, const Stored<T, W>& stored) {
      V v[W], c[W];
      unpack<T, W>(stored, v);
      if constexpr (vjp) {
        unpack<T, W>(load<T, W>(g + at), c);
        for (int j = 0; j < W; ++j) t.sum += vjp_term(p.kind, v[j], c[j]);
      } else {
        t.template add<W>(v);
      }
    });
    t = over_block(t, shared);
  }
  Tally<V>* tallies = static_cast<Tally<V>*>(p.tallies) + row * p.parts;
  if (p.pass == 1) {
    if (threadIdx.x == 0) tallies[part] = t;
    return;
  }
  if (p.pass == 2) {
    for (long long i = threadIdx.x; i < p.parts; i += kLongThreads) t = merged(t, tallies[i]);
    t = over_block(t, shared + 2);
  }
  T* y = static_cast<T*>(p.y);
  if (!vjp && p.kind >= kLogSumExp) {
    if (threadIdx.x != 0 || part != 0) return;
    V v = log_sum_exp(t);
    if (p.kind == kCrossEntropy) {
      const long long target = target_of(p, row, true);
      v -= target < 0 ? V(0) : read(x[target]);
    }
    y[row] = written<T>(v);
    return;
  }
  y += row * p.n;
  Finish<V> finish(t, p.kind);
  if (!vjp && p.kind == kCrossEntropyVjp) finish.scale *= read(static_cast<const T*>(p.g)[row]);
  each_pack<T, W>(x, first, last, [&](long long at, const Stored<T, W>& stored) {
    V v[W], c[W];
    unpack<T, W>(stored, v);
    if constexpr (vjp) unpack<T, W>(load<T, W>(g + at), c);
    for (int j = 0; j < W; ++j) {
      if constexpr (vjp)
        v[j] = vjp_result(p.kind, v[j], c[j], t.sum);
      else
        v[j] = finish(v[j]);
    }
    store<T, W>(y + at, v);
  });
  if (vjp || p.kind != kCrossEntropyVjp) return;
  const long long target = target_of(p, row, threadIdx.x == 0 && part == 0);
  if (target < first || target >= last || (target - first) / W % kLongThreads != threadIdx.x)
    return;
  y[target] = written<T>(finish(read(x[target])) - read(static_cast<const T*>(p.g)[row]));
}

// --- instances

#define X(W, K, threads)                                                \
  LEGATO_KERNEL(softmax_w##W##_k##K##_f16, SoftmaxRowParams, threads) { \
    softmax_rows<f16, W, K>(p);                                         \
  }
LEGATO_SOFTMAX_HALF(X)
#undef X
#define X(W, K, threads)                                                    \
  LEGATO_KERNEL(softmax_vjp_w##W##_k##K##_f16, SoftmaxRowParams, threads) { \
    softmax_rows_vjp<f16, W, K>(p);                                         \
  }
LEGATO_SOFTMAX_VJP_HALF(X)
#undef X
#define X(W, K, threads)                                                    \
  LEGATO_KERNEL(softmax_odd_w##W##_k##K##_f16, SoftmaxRowParams, threads) { \
    softmax_rows<f16, W, K, true>(p);                                       \
  }
LEGATO_SOFTMAX_ODD(X)
#undef X
#define X(W, K, threads)                                                        \
  LEGATO_KERNEL(softmax_odd_vjp_w##W##_k##K##_f16, SoftmaxRowParams, threads) { \
    softmax_rows_vjp<f16, W, K, true>(p);                                       \
  }
LEGATO_SOFTMAX_VJP_ODD(X)
#undef X
#define X(W, K, threads)                                                 \
  LEGATO_KERNEL(softmax_w##W##_k##K##_bf16, SoftmaxRowParams, threads) { \
    softmax_rows<bf16, W, K>(p);                                         \
  }
LEGATO_SOFTMAX_HALF(X)
#undef X
#define X(W, K, threads)                                                     \
  LEGATO_KERNEL(softmax_vjp_w##W##_k##K##_bf16, SoftmaxRowParams, threads) { \
    softmax_rows_vjp<bf16, W, K>(p);                                         \
  }
LEGATO_SOFTMAX_VJP_HALF(X)
#undef X
#define X(W, K, threads)                                                     \
  LEGATO_KERNEL(softmax_odd_w##W##_k##K##_bf16, SoftmaxRowParams, threads) { \
    softmax_rows<bf16, W, K, true>(p);                                       \
  }
LEGATO_SOFTMAX_ODD(X)
#undef X
#define X(W, K, threads)                                                         \
  LEGATO_KERNEL(softmax_odd_vjp_w##W##_k##K##_bf16, SoftmaxRowParams, threads) { \
    softmax_rows_vjp<bf16, W, K, true>(p);                                       \
  }
LEGATO_SOFTMAX_VJP_ODD(X)
#undef X
#define X(W, K, threads)                                                \
  LEGATO_KERNEL(softmax_w##W##_k##K##_f32, SoftmaxRowParams, threads) { \
    softmax_rows<float, W, K>(p);                                       \
  }
LEGATO_SOFTMAX_SINGLE(X)
#undef X
#define X(W, K, threads)                                                    \
  LEGATO_KERNEL(softmax_vjp_w##W##_k##K##_f32, SoftmaxRowParams, threads) { \
    softmax_rows_vjp<float, W, K>(p);                                       \
  }
LEGATO_SOFTMAX_VJP_SINGLE(X)
#undef X
#define X(W, K, threads)                                                \
  LEGATO_KERNEL(softmax_w##W##_k##K##_f64, SoftmaxRowParams, threads) { \
    softmax_rows<double, W, K>(p);                                      \
  }
LEGATO_SOFTMAX_DOUBLE(X)
#undef X
#define X(W, K, threads)                                                    \
  LEGATO_KERNEL(softmax_vjp_w##W##_k##K##_f64, SoftmaxRowParams, threads) { \
    softmax_rows_vjp<double, W, K>(p);                                      \
  }
LEGATO_SOFTMAX_VJP_DOUBLE(X)
#undef X

#define LEGATO_SOFTMAX_LONG(end, T, W)                                            \
  LEGATO_KERNEL(softmax_long_w##W##_##end, SoftmaxLongParams, kLongThreads) {     \
    softmax_long<T, W, false>(p);                                                 \
  }                                                                               \
  LEGATO_KERNEL(softmax_long_vjp_w##W##_##end, SoftmaxLongParams, kLongThreads) { \
    softmax_long<T, W, true>(p);                                                  \
  }
LEGATO_SOFTMAX_LONG(f16, f16, 8)
LEGATO_SOFTMAX_LONG(f16, f16, 1)
LEGATO_SOFTMAX_LONG(bf16, bf16, 8)
LEGATO_SOFTMAX_LONG(bf16, bf16, 1)
LEGATO_SOFTMAX_LONG(f32, float, 4)
LEGATO_SOFTMAX_LONG(f32, float, 1)
LEGATO_SOFTMAX_LONG(f64, double, 2)
LEGATO_SOFTMAX_LONG(f64, double, 1)

}  // namespace legato::cuda
