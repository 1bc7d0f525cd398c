// The place of the first nan, or else of the first extreme. Part of the text of generated kernels
// too.
#pragma once

#include "legato/backends/cuda/extremes.cuh"
#include "legato/backends/cuda/reduction.cuh"
#include "legato/backends/cuda/rows.cuh"

namespace legato::cuda {

// Elements are compared a pack at a time; where one is it is looked for only if the pack has a
// better one, which soon becomes rare.
template <class E>
struct ArgExtreme {
  using T = E;
  using R = uint32_t;
  using C = Compute<T>;
  static constexpr uint32_t kNone = 0xffffffffu;
  struct A {
    C value;
    uint32_t at;
  };
  bool largest;
  LEGATO_INLINE explicit ArgExtreme(const ReduceParams& p) : largest(p.flag) {}
  LEGATO_INLINE A none() const { return {end_of_range<C>(!largest), kNone}; }
  LEGATO_INLINE bool better(C a, C b) const {  // a than b
    if (is_nan(a) || is_nan(b)) return !is_nan(b);
    return largest ? less(b, a) : less(a, b);
  }
  LEGATO_INLINE A combine(A a, A b) const {
    if (a.at == kNone) return b;
    if (b.at == kNone) return a;
    if (better(b.value, a.value)) return b;
    if (better(a.value, b.value)) return a;
    return b.at < a.at ? b : a;
  }
  template <int N, int V>
  LEGATO_INLINE void take(A& acc, const T (&v)[N], uint32_t first, uint32_t jump) const {
    C best = read(v[0]);
#pragma unroll
    for (int i = 1; i < N; ++i) best = extreme(best, C(read(v[i])), largest);
    if (acc.at != kNone && !better(best, acc.value)) return;
    const bool nan = is_nan(best);
    int at = 0;
#pragma unroll
    for (int i = N - 1; i >= 0; --i) {
      const C here = read(v[i]);
      if (nan ? is_nan(here) : !less(here, best) && !less(best, here)) at = i;
    }
    acc = {best, first + static_cast<uint32_t>(at / V) * jump + static_cast<uint32_t>(at % V)};
  }
  LEGATO_INLINE R finish(A a) const { return a.at; }
};

}  // namespace legato::cuda
