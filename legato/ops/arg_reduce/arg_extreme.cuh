// The place of the first nan, or else of the first extreme. Part of the text of generated kernels
// too.
#pragma once

#include "legato/backends/cuda/extremes.cuh"
#include "legato/backends/cuda/reduction.cuh"
#include "legato/backends/cuda/rows.cuh"

namespace legato::cuda {

// Elements are compared a run at a time; where one is it is looked for only if the run has a better
// one, which soon becomes rare. What is kept is a key, which is the larger the better the value is,
// the largest of all for nan: accumulators are compared as numbers.
template <class E>
struct ArgExtreme {
  using T = E;
  using R = uint32_t;
  using C = Compute<T>;
  using K = decltype(ordered(C{}));
  static constexpr uint32_t kNone = 0xffffffffu;
  struct A {
    K key;
    uint32_t at;
  };
  bool largest;
  LEGATO_INLINE explicit ArgExtreme(const ReduceParams& p) : largest(p.flag) {}
  LEGATO_INLINE A none() const { return {K{}, kNone}; }
  LEGATO_INLINE A combine(A a, A b) const {
    return b.key > a.key || (b.key == a.key && b.at < a.at) ? b : a;
  }
  LEGATO_INLINE K key_of(C v) const {
    if (is_nan(v)) return opposite(K{});
    const K key = ordered(v);
    return largest ? key : opposite(key);
  }
  static LEGATO_INLINE bool same(C a, C b) {
    if constexpr (is_complex_value<C>)
      return a.re == b.re && a.im == b.im;
    else
      return a == b;
  }
  template <int N, int V>
  LEGATO_INLINE void take(A& acc, const T (&v)[N], uint32_t first, uint32_t jump) const {
    C w[N];
#pragma unroll
    for (int i = 0; i < N; ++i) w[i] = read(v[i]);
    const C best = largest ? pairwise(w, [](C a, C b) { return extreme(a, b, true); })
                           : pairwise(w, [](C a, C b) { return extreme(a, b, false); });
    const K key = key_of(best);
    if (acc.key > key || (acc.key == key && acc.at != kNone)) return;
    int at = 0;
    if (is_nan(best)) {
#pragma unroll
      for (int i = N - 1; i >= 0; --i)
        if (is_nan(C(read(v[i])))) at = i;
    } else {
#pragma unroll
      for (int i = N - 1; i >= 0; --i)
        if (same(read(v[i]), best)) at = i;
    }
    acc = {key, first + static_cast<uint32_t>(at / V) * jump + static_cast<uint32_t>(at % V)};
  }
  LEGATO_INLINE R finish(A a) const { return a.at; }
};

}  // namespace legato::cuda
