// What the softmax kernels know of a part of a row, and what becomes of an element.
#pragma once

#include "legato/backends/cuda/packs.cuh"
#include "legato/backends/cuda/report.cuh"
#include "legato/ops/softmax/softmax.cuh"

namespace legato::cuda {

struct Largest {
  template <class V>
  LEGATO_INLINE V operator()(V a, V b) const {
    return max_of(a, b);
  }
};
template <class V>
LEGATO_INLINE V lowest() {
  return static_cast<V>(__builtin_bit_cast(float, 0xff800000u));  // NVRTC has no INFINITY
}
/// What is subtracted before exponentials are summed: never infinite, since inf - inf is nan.
template <class V>
LEGATO_INLINE V finite(V top) {
  return top == lowest<V>() || top == -lowest<V>() ? V(0) : top;
}

/// exp(v - shift), exactly 1 where both are equal. Half types: by the GPU's exponential, right to
/// 2^-20 or so where that is asked for less than 2^-100 of the largest.
template <class T>
struct Exponentials {
  using V = Compute<T>;
  V shift;
  LEGATO_INLINE explicit Exponentials(V s) : shift(s) {}
  LEGATO_INLINE V operator()(V v) const { return exp_of(v - shift); }
};
template <class T>
  requires(sizeof(T) == 2)
struct Exponentials<T> {
  float shift;
  LEGATO_INLINE explicit Exponentials(float s) : shift(s) {}
  LEGATO_INLINE float operator()(float v) const { return exp2_fast((v - shift) * 1.44269504f); }
};

/// The largest element and the sum of exp(element - finite(top)). Of a derivative: `sum` alone.
template <class V>
struct Tally {
  V top, sum;

  static LEGATO_INLINE Tally none() { return {lowest<V>(), V(0)}; }
  LEGATO_INLINE V sum_relative_to(V other) const {
    return sum == V(0) || top == other ? sum : sum * exp_of(finite(top) - finite(other));
  }
  template <int n>
  LEGATO_INLINE void add(const V* v) {
    V most = top;
    for (int j = 0; j < n; ++j) most = max_of(most, v[j]);
    sum = sum_relative_to(most);
    top = most;
    const V shift = finite(top);
    for (int j = 0; j < n; ++j) sum += exp_of(v[j] - shift);
  }
};
template <class V>
LEGATO_INLINE Tally<V> merged(Tally<V> a, Tally<V> b) {
  const V top = max_of(a.top, b.top);
  return {top, a.sum_relative_to(top) + b.sum_relative_to(top)};
}

/// Results from the tally of the whole row. An infinite largest element makes all of them nan, as
/// inf - inf does.
template <class V>
struct Finish {
  V top, scale, less;
  int kind;
  LEGATO_INLINE Finish(Tally<V> t, int kind_) : top(t.top), kind(kind_) {
    const V sum = t.sum + (top - top);
    scale = V(1) / sum;
    less = log_of(sum);
  }
  LEGATO_INLINE V operator()(V v) const {
    return kind == kLogSoftmax ? v - top - less : exp_of(v - top) * scale;
  }
};
/// The class of a row, or -1 if it is none; then `tell` says whether this thread reports it.
template <class P>
LEGATO_INLINE long long target_of(const P& p, long long row, bool tell) {
  const long long given = static_cast<const long long*>(p.target.targets)[row];
  const long long at = given < 0 && !p.target.is_unsigned ? given + p.n : given;
  if (at >= 0 && at < p.n) return at;
  if (tell) report_value(p.target.report, p.target.is_unsigned, given, p.n);
  return -1;
}

template <class V>
LEGATO_INLINE V log_sum_exp(Tally<V> t) {
  return finite(t.top) + log_of(t.sum);
}

// softmax: y (g - sum(g y)); log_softmax: g - exp(y) sum(g).
template <class V>
LEGATO_INLINE V vjp_term(int kind, V y, V g) {
  return kind == kSoftmax ? g * y : g;
}
template <class V>
LEGATO_INLINE V vjp_result(int kind, V y, V g, V sum) {
  return kind == kSoftmax ? y * (g - sum) : g - exp_of(y) * sum;
}

}  // namespace legato::cuda
