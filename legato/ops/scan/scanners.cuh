// What scans combine, for kernels. A scanner has types T (elements), A (accumulators) and Raw (what
// is read for one), which make() turns into an accumulator: so that several reads are on the way at
// once, none of them waits for the one before to be turned. Where it has a result(), an accumulator
// gives one element and needs nothing else, so that neighbours can be stored at once.
//
// Sums and products of float32 run in double, as on the CPU.
#pragma once

#include "legato/backends/cuda/extremes.cuh"
#include "legato/backends/cuda/order_keys.cuh"
#include "legato/backends/cuda/reduction.cuh"
#include "legato/backends/cuda/rows.cuh"
#include "legato/ops/scan/scan.cuh"

namespace legato::cuda {

template <class T>
struct WideOf {
  using type = std::conditional_t<std::is_integral_v<T>,
                                  std::conditional_t<(sizeof(T) < 8), uint32_t, uint64_t>, T>;
};
template <>
struct WideOf<float> {
  using type = double;
};
template <>
struct WideOf<f16> {
  using type = float;
};
template <>
struct WideOf<bf16> {
  using type = float;
};
template <>
struct WideOf<c64> {
  using type = c128;
};
template <class T, class A>
LEGATO_INLINE T narrowed(A a) {
  if constexpr (is_complex_value<T>)
    return {static_cast<decltype(T::re)>(a.re), static_cast<decltype(T::re)>(a.im)};
  else if constexpr (std::is_same_v<T, f16>)
    return to_f16(static_cast<float>(a));
  else if constexpr (std::is_same_v<T, bf16>)
    return to_bf16(static_cast<float>(a));
  else if constexpr (std::is_same_v<T, bool>)
    return a != 0;
  else
    return static_cast<T>(a);
}

// Sums (flag 0) and products. Integers wrap, so that their sign does not matter.
template <class E>
struct ArithScan {
  using T = E;
  using A = typename WideOf<T>::type;
  bool product;
  LEGATO_INLINE explicit ArithScan(const ScanParams& p) : product(p.flag) {}
  LEGATO_INLINE A none() const {
    if constexpr (is_complex_value<A>)
      return {static_cast<decltype(A::re)>(product), 0};
    else
      return static_cast<A>(product);
  }
  using Raw = T;
  LEGATO_INLINE Raw raw(const ScanParams& p, long long at) const {
    return static_cast<const T*>(p.x)[at];
  }
  LEGATO_INLINE A make(const ScanParams&, Raw v) const {
    if constexpr (is_complex_value<T>)
      return {v.re, v.im};
    else
      return static_cast<A>(read(v));
  }
  LEGATO_INLINE A combine(A a, A b) const {
    if constexpr (is_complex_value<A>) {
      if (product) return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
      return {a.re + b.re, a.im + b.im};
    } else {
      return product ? a * b : a + b;
    }
  }
  LEGATO_INLINE T result(const ScanParams&, A a) const { return narrowed<T>(a); }
  LEGATO_INLINE void store(const ScanParams& p, long long at, A a) const {
    static_cast<T*>(p.y)[at] = result(p, a);
  }
};

// Largest (flag 1) and smallest of real values: the largest of keys, which are turned over for the
// smallest.
template <class K>
struct KeyScan {
  using T = K;
  using A = K;
  bool largest, floating;
  K start;
  LEGATO_INLINE explicit KeyScan(const ScanParams& p)
      : largest(p.flag),
        floating(p.form.kind == KeyForm::floating),
        start(static_cast<K>(p.none)) {}
  LEGATO_INLINE K turned(K key) const {
    const bool nan = floating && key == static_cast<K>(~K{0});
    return largest || nan ? key : static_cast<K>(~key);
  }
  LEGATO_INLINE A none() const { return start; }
  using Raw = K;
  LEGATO_INLINE Raw raw(const ScanParams& p, long long at) const {
    return static_cast<const K*>(p.x)[at];
  }
  LEGATO_INLINE A make(const ScanParams& p, Raw v) const {
    return turned(encode<K>(v, p.form.kind, 0, static_cast<K>(p.form.infinity)));
  }
  LEGATO_INLINE A combine(A a, A b) const { return b > a ? b : a; }
  LEGATO_INLINE K result(const ScanParams& p, A a) const { return decode<K>(turned(a), p.form); }
  LEGATO_INLINE void store(const ScanParams& p, long long at, A a) const {
    static_cast<K*>(p.y)[at] = result(p, a);
  }
};
template <class E>
struct ComplexExtremeScan {
  using T = E;
  using A = E;
  bool largest;
  LEGATO_INLINE explicit ComplexExtremeScan(const ScanParams& p) : largest(p.flag) {}
  LEGATO_INLINE A none() const { return end_of_range<A>(!largest); }
  using Raw = T;
  LEGATO_INLINE Raw raw(const ScanParams& p, long long at) const {
    return static_cast<const T*>(p.x)[at];
  }
  LEGATO_INLINE A make(const ScanParams&, Raw v) const { return v; }
  LEGATO_INLINE A combine(A a, A b) const { return extreme(a, b, largest); }
  LEGATO_INLINE T result(const ScanParams&, A a) const { return a; }
  LEGATO_INLINE void store(const ScanParams& p, long long at, A a) const {
    static_cast<T*>(p.y)[at] = a;
  }
};

// Sums of v * exp(a), relative to the largest a.
struct Scaled {
  double top, sum;
};
// `fast`: e^x in float32, where values are no more precise. Terms with large exponents, whose error
// is larger, weigh little.
template <bool fast>
LEGATO_INLINE double exp_below(double x) {
  return fast ? static_cast<double>(exp_of(static_cast<float>(x))) : exp_of(x);
}
template <bool fast>
LEGATO_INLINE Scaled add_scaled(Scaled a, Scaled b) {
  if (a.top != a.top) return a;
  if (b.top != b.top) return b;
  if (a.top == b.top) return {a.top, a.sum + b.sum};  // infinities too
  if (a.top < b.top) {
    const Scaled c = a;
    a = b;
    b = c;
  }
  return {a.top, b.sum == 0 ? a.sum : a.sum + b.sum * exp_below<fast>(b.top - a.top)};
}
LEGATO_INLINE double no_top() { return end_of_range<double>(false); }

template <class E>
struct LogSumExpScan {
  using T = E;
  using A = Scaled;
  LEGATO_INLINE explicit LogSumExpScan(const ScanParams&) {}
  LEGATO_INLINE A none() const { return {no_top(), 0}; }
  using Raw = T;
  LEGATO_INLINE Raw raw(const ScanParams& p, long long at) const {
    return static_cast<const T*>(p.x)[at];
  }
  LEGATO_INLINE A make(const ScanParams&, Raw raw) const {
    const double v = static_cast<double>(read(raw));
    return {v, v == no_top() ? 0. : 1.};
  }
  LEGATO_INLINE A combine(A a, A b) const { return add_scaled<!std::is_same_v<E, double>>(a, b); }
  LEGATO_INLINE T result(const ScanParams&, A a) const {
    const bool infinite = a.top == no_top() || a.top == -no_top();
    return narrowed<T>(infinite ? a.top : a.top + log_of(a.sum));
  }
  LEGATO_INLINE void store(const ScanParams& p, long long at, A a) const {
    static_cast<T*>(p.y)[at] = result(p, a);
  }
};
template <class E>
struct ExpScan {
  using T = E;
  using A = Scaled;
  LEGATO_INLINE explicit ExpScan(const ScanParams&) {}
  LEGATO_INLINE A none() const { return {no_top(), 0}; }
  struct Raw {
    T v, a;
  };
  LEGATO_INLINE Raw raw(const ScanParams& p, long long at) const {
    return {static_cast<const T*>(p.x)[at], static_cast<const T*>(p.a)[at]};
  }
  LEGATO_INLINE A make(const ScanParams&, Raw raw) const {
    const double a = static_cast<double>(read(raw.a));
    return {a, a == no_top() ? 0. : static_cast<double>(read(raw.v))};
  }
  LEGATO_INLINE A combine(A a, A b) const { return add_scaled<!std::is_same_v<E, double>>(a, b); }
  LEGATO_INLINE void store(const ScanParams& p, long long at, A a) const {
    const double b = static_cast<double>(read(static_cast<const T*>(p.b)[at]));
    static_cast<T*>(p.y)[at] = narrowed<T>(a.sum == 0 ? 0. : a.sum * exp_of(a.top + b));
  }
};

/// P neighbours of the result, in the order of the scan.
template <class T, int P>
LEGATO_INLINE void write_results(const ScanParams& p, long long row, long long i,
                                 const T (&to)[P]) {
  T* start = static_cast<T*>(p.y) + row * p.n;
  if (p.packs) {
    if (i >= p.n) return;
    Pack<T, P> v;
#pragma unroll
    for (int k = 0; k < P; ++k) v.at[k] = p.reverse ? to[P - 1 - k] : to[k];
    store_pack<T, P>(start + (p.reverse ? p.n - P - i : i), v);
    return;
  }
#pragma unroll
  for (int k = 0; k < P; ++k)
    if (i + k < p.n) start[p.reverse ? p.n - 1 - i - k : i + k] = to[k];
}
template <class S, int P>
LEGATO_INLINE void write_neighbours(const S& s, const ScanParams& p, long long row, long long i,
                                    const typename S::A (&to)[P]) {
  if constexpr (requires { s.result(p, to[0]); }) {
    typename S::T each[P];
#pragma unroll
    for (int k = 0; k < P; ++k) each[k] = s.result(p, to[k]);
    write_results(p, row, i, each);
  } else {
#pragma unroll
    for (int k = 0; k < P; ++k)
      if (i + k < p.n) s.store(p, row * p.n + (p.reverse ? p.n - 1 - i - k : i + k), to[k]);
  }
}

/// What lanes up to this one have.
template <class S>
LEGATO_INLINE typename S::A scan_warp(const S& s, typename S::A v) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int by = 1; by < 32; by *= 2) {
    const typename S::A other = shuffle_up(v, by);
    if (lane >= by) v = s.combine(other, v);
  }
  return v;
}

}  // namespace legato::cuda
