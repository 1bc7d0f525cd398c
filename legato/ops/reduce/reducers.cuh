// What reductions compute; how they walk is in backends/cuda/reduction.cuh. Part of the text of
// generated kernels too.
#pragma once

#include "legato/backends/cuda/extremes.cuh"
#include "legato/backends/cuda/reduction.cuh"
#include "legato/backends/cuda/rows.cuh"

namespace legato::cuda {

// Sums (flag 0) and products. Integers accumulate in the result's width and wrap there.
template <class E, class Result>
struct Arith {
  using T = E;
  using R = Result;
  using A = std::conditional_t<std::is_integral_v<T>,
                               std::conditional_t<(sizeof(R) < 8), uint32_t, uint64_t>, Compute<T>>;
  bool product;
  double divisor;
  LEGATO_INLINE explicit Arith(const ReduceParams& p) : product(p.flag), divisor(p.divisor) {}
  LEGATO_INLINE A none() const {
    if constexpr (is_complex_value<A>)
      return {static_cast<decltype(A::re)>(product), 0};
    else
      return static_cast<A>(product);
  }
  static LEGATO_INLINE A times(A a, A b) {
    if constexpr (is_complex_value<A>)
      return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
    else
      return a * b;
  }
  static LEGATO_INLINE A plus(A a, A b) {
    if constexpr (is_complex_value<A>)
      return {a.re + b.re, a.im + b.im};
    else
      return a + b;
  }
  LEGATO_INLINE A combine(A a, A b) const { return product ? times(a, b) : plus(a, b); }
  template <int N, int V>
  LEGATO_INLINE void take(A& acc, const T (&v)[N], uint32_t, uint32_t) const {
    A w[N];
#pragma unroll
    for (int i = 0; i < N; ++i) {
      if constexpr (std::is_integral_v<T>)
        w[i] = static_cast<A>(static_cast<R>(v[i]));
      else
        w[i] = read(v[i]);
    }
    if (product)
      acc = times(acc, pairwise(w, times));
    else
      acc = plus(acc, pairwise(w, plus));
  }
  LEGATO_INLINE R finish(A a) const {
    if constexpr (is_complex_value<A>) {
      if (divisor != 1) {
        a.re /= static_cast<decltype(a.re)>(divisor);
        a.im /= static_cast<decltype(a.im)>(divisor);
      }
      return a;
    } else if constexpr (std::is_integral_v<T>) {
      return static_cast<R>(a);
    } else {
      return written<R>(divisor != 1 ? a / static_cast<A>(divisor) : a);
    }
  }
};

// Largest (flag 1) and smallest; nan if any is.
template <class E>
struct Extreme {
  using T = E;
  using R = E;
  using A = Compute<T>;
  bool largest;
  LEGATO_INLINE explicit Extreme(const ReduceParams& p) : largest(p.flag) {}
  LEGATO_INLINE A none() const { return end_of_range<A>(!largest); }
  LEGATO_INLINE A combine(A a, A b) const { return extreme(a, b, largest); }
  template <int N, int V>
  LEGATO_INLINE void take(A& acc, const T (&v)[N], uint32_t, uint32_t) const {
    A w[N];
#pragma unroll
    for (int i = 0; i < N; ++i) w[i] = read(v[i]);
    if (largest)
      acc = extreme(acc, pairwise(w, [](A a, A b) { return extreme(a, b, true); }), true);
    else
      acc = extreme(acc, pairwise(w, [](A a, A b) { return extreme(a, b, false); }), false);
  }
  LEGATO_INLINE R finish(A a) const { return written<T>(a); }
};

// Whether any is true, or (flag 1) all are. Elements are words of their size: true where one of the
// bits of the mask is set, which leaves out the sign of a zero.
struct Sixteen {
  uint64_t half[2];
};
template <class E>
struct Any {
  using T = E;
  using R = uint8_t;
  using A = uint32_t;
  bool all;
  uint64_t mask;
  LEGATO_INLINE explicit Any(const ReduceParams& p) : all(p.flag), mask(p.mask) {}
  LEGATO_INLINE A none() const { return 0; }
  LEGATO_INLINE A combine(A a, A b) const { return a | b; }
  template <int N, int V>
  LEGATO_INLINE void take(A& acc, const T (&v)[N], uint32_t, uint32_t) const {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      bool is_true;
      if constexpr (sizeof(T) == 16)
        is_true = ((v[i].half[0] | v[i].half[1]) & mask) != 0;
      else
        is_true = (v[i] & static_cast<T>(mask)) != 0;
      acc |= is_true != all;
    }
  }
  LEGATO_INLINE R finish(A a) const { return (a != 0) != all; }
};

// Variance, from count, mean and sum of squares about the mean, which combine without
// cancellation (Chan, Golub, LeVeque 1979).
template <class E>
struct Variance {
  using T = E;
  using R = E;
  using C = Compute<T>;
  struct A {
    C n, mean, squares;
  };
  C divisor;
  LEGATO_INLINE explicit Variance(const ReduceParams& p) : divisor(static_cast<C>(p.divisor)) {}
  LEGATO_INLINE A none() const { return {0, 0, 0}; }
  // Counts are right; a share that is not to the last bit moves the result by no more than
  // rounding does.
  static LEGATO_INLINE C share_of(C part, C whole) {
#ifndef LEGATO_EMULATED
    if constexpr (std::is_same_v<C, float>) return __fdividef(part, whole);
#endif
    return part / whole;
  }
  LEGATO_INLINE A combine(A a, A b) const {
    if (a.n == 0) return b;
    if (b.n == 0) return a;
    const C n = a.n + b.n, apart = b.mean - a.mean, share = share_of(b.n, n);
    return {n, a.mean + apart * share, a.squares + b.squares + apart * apart * (a.n * share)};
  }
  template <int N, int V>
  LEGATO_INLINE void take(A& acc, const T (&v)[N], uint32_t, uint32_t) const {
    C w[N];
    auto plus = [](C a, C b) { return a + b; };
#pragma unroll
    for (int i = 0; i < N; ++i) w[i] = read(v[i]);
    const C mean = pairwise(w, plus) * (C(1) / C(N));
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const C apart = read(v[i]) - mean;
      w[i] = apart * apart;
    }
    acc = combine(acc, {C(N), mean, pairwise(w, plus)});
  }
  LEGATO_INLINE R finish(A a) const { return written<T>(a.squares / divisor); }
};

}  // namespace legato::cuda
