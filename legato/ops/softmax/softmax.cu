// softmax, log_softmax, logsumexp and their derivatives along one axis. Two passes over a row: the
// running maximum with the sum rescaled to it, then the results.
#include "legato/backends/cuda/rows.cuh"
#include "legato/ops/softmax/softmax.cuh"

namespace legato::cuda {

/// A group's row, and the threads' part in it.
struct Row {
  long long start, stride, n;
  int first, step;
  bool valid;
};
LEGATO_INLINE Row row_of(const SoftmaxParams& p, long long row) {
  const int group = p.group, thread = static_cast<int>(threadIdx.x);
  const bool valid = row < p.outer * p.inner;
  const long long o = valid ? row / p.inner : 0;
  return {o * p.n * p.inner + (valid ? row - o * p.inner : 0),
          p.inner,
          valid ? p.n : 0,
          thread % group,
          group,
          valid};
}

template <class V>
struct MaxSum {
  V max, sum;
};
template <class T>
LEGATO_INLINE MaxSum<Compute<T>> max_and_sum(const T* x, const Row& r, int group,
                                             Compute<T>* shared) {
  using V = Compute<T>;
  const V lowest = -static_cast<V>(INFINITY);
  MaxSum<V> a{lowest, V(0)};
  for (long long i = r.first; i < r.n; i += r.step) {
    const V v = read(x[r.start + i * r.stride]);
    if (v > a.max || v != v)
      a = {v, a.sum * (a.max == lowest ? V(0) : exp_of(a.max - v)) + V(1)};
    else
      a.sum += v == a.max ? V(1) : exp_of(v - a.max);
  }
  const V m = over_group(a.max, group, shared, [](V p, V q) { return p > q || p != p ? p : q; });
  const V scaled = a.sum == V(0) ? V(0) : a.max == m ? a.sum : a.sum * exp_of(a.max - m);
  return {m, over_group(scaled, group, shared, Plus{})};
}

enum Kind { kSoftmax, kLogSoftmax, kLogSumExp };

template <class T, int kind>
LEGATO_INLINE void forward(const SoftmaxParams& p, Compute<T>* shared) {
  using V = Compute<T>;
  const T* x = static_cast<const T*>(p.x);
  T* y = static_cast<T*>(p.y);
  const int per_block = kRowThreads / p.group;
  const long long rows = p.outer * p.inner, blocks = (rows + per_block - 1) / per_block;
  for (long long b = blockIdx.x; b < blocks; b += gridDim.x) {
    const long long row = b * per_block + static_cast<int>(threadIdx.x) / p.group;
    const Row r = row_of(p, row);
    const MaxSum<V> s = max_and_sum(x, r, p.group, shared);
    if constexpr (kind == kLogSumExp) {
      const bool infinite = s.max == static_cast<V>(INFINITY) || s.max == -static_cast<V>(INFINITY);
      if (r.valid && r.first == 0) y[row] = written<T>(infinite ? s.max : s.max + log_of(s.sum));
    } else {
      const V scale = kind == kSoftmax ? V(1) / s.sum : log_of(s.sum);
      for (long long i = r.first; i < r.n; i += r.step) {
        const long long at = r.start + i * r.stride;
        const V v = read(x[at]) - s.max;
        y[at] = written<T>(kind == kSoftmax ? exp_of(v) * scale : v - scale);
      }
    }
  }
}

// softmax: y (g - sum(g y)); log_softmax: g - exp(y) sum(g).
template <class T, int kind>
LEGATO_INLINE void backward(const SoftmaxParams& p, Compute<T>* shared) {
  using V = Compute<T>;
  const T *y = static_cast<const T*>(p.x), *g = static_cast<const T*>(p.g);
  T* dx = static_cast<T*>(p.y);
  const int per_block = kRowThreads / p.group;
  const long long rows = p.outer * p.inner, blocks = (rows + per_block - 1) / per_block;
  for (long long b = blockIdx.x; b < blocks; b += gridDim.x) {
    const Row r = row_of(p, b * per_block + static_cast<int>(threadIdx.x) / p.group);
    V sum = 0;
    for (long long i = r.first; i < r.n; i += r.step) {
      const long long at = r.start + i * r.stride;
      sum += kind == kSoftmax ? read(g[at]) * read(y[at]) : read(g[at]);
    }
    sum = over_group(sum, p.group, shared, Plus{});
    for (long long i = r.first; i < r.n; i += r.step) {
      const long long at = r.start + i * r.stride;
      const V v = read(y[at]), c = read(g[at]);
      dx[at] = written<T>(kind == kSoftmax ? v * (c - sum) : c - exp_of(v) * sum);
    }
  }
}

#define LEGATO_SOFTMAX_KERNEL(name, end, call, T, kind)     \
  LEGATO_KERNEL(name##_##end, SoftmaxParams, kRowThreads) { \
    __shared__ Compute<T> shared[kRowThreads / 32];         \
    call<T, kind>(p, shared);                               \
  }
#define LEGATO_SOFTMAX(end, T)                                     \
  LEGATO_SOFTMAX_KERNEL(softmax, end, forward, T, kSoftmax)        \
  LEGATO_SOFTMAX_KERNEL(log_softmax, end, forward, T, kLogSoftmax) \
  LEGATO_SOFTMAX_KERNEL(logsumexp, end, forward, T, kLogSumExp)    \
  LEGATO_SOFTMAX_KERNEL(softmax_vjp, end, backward, T, kSoftmax)   \
  LEGATO_SOFTMAX_KERNEL(log_softmax_vjp, end, backward, T, kLogSoftmax)
LEGATO_SOFTMAX(f16, f16)
LEGATO_SOFTMAX(bf16, bf16)
LEGATO_SOFTMAX(f32, float)
LEGATO_SOFTMAX(f64, double)

}  // namespace legato::cuda
