// Plain loops for the complex reductions that do not fall apart into reductions of real numbers:
// products, extremes in lexicographic order, and the truth of complex128.
#pragma once

#include <algorithm>
#include <complex>
#include <limits>
#include <type_traits>

#include "legato/ops/reduce/kernels.h"

namespace legato::cpu {

namespace complex_reducer_detail {

template <class C>
bool is_nan(C z) {
  return z.real() != z.real() || z.imag() != z.imag();
}
template <class C>
bool less(C a, C b) {
  return a.real() < b.real() || (a.real() == b.real() && a.imag() < b.imag());
}

template <class C>
struct Prod {
  static C identity() { return C(1); }
  static C combine(C a, C b) {  // without the recovery of infinities that operator* does
    return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
  }
};
template <class C>
struct Max {
  static C identity() {
    auto low = -std::numeric_limits<typename C::value_type>::infinity();
    return {low, low};
  }
  static C combine(C a, C b) { return is_nan(a) || less(b, a) ? a : b; }
};
template <class C>
struct Min {
  static C identity() {
    auto high = std::numeric_limits<typename C::value_type>::infinity();
    return {high, high};
  }
  static C combine(C a, C b) { return is_nan(a) || less(a, b) ? a : b; }
};
template <class C>
struct All {
  static C identity() { return C(1); }
  static C combine(C a, C b) { return a != C(0) && b != C(0) ? C(1) : C(0); }
};
template <class C>
struct Any {
  static C identity() { return C(0); }
  static C combine(C a, C b) { return a != C(0) || b != C(0) ? C(1) : C(0); }
};

template <class C, class Op, class O>
struct Loops {
  static constexpr int64_t kCount = kReduceLaneBytes / sizeof(C);
  static void lanes(const void* x, int64_t n, void* lanes) {
    const C* p = static_cast<const C*>(x);
    C* a = static_cast<C*>(lanes);
    for (int64_t j = 0; j < kCount; ++j) a[j] = Op::identity();
    for (int64_t i = 0; i < n; ++i) a[i % kCount] = Op::combine(a[i % kCount], p[i]);
  }
  static void fold(const void* lanes, void* acc) {
    C a[kCount];
    std::copy_n(static_cast<const C*>(lanes), kCount, a);
    for (int64_t half = kCount / 2; half >= 1; half /= 2)
      for (int64_t j = 0; j < half; ++j) a[j] = Op::combine(a[j], a[j + half]);
    *static_cast<C*>(acc) = a[0];
  }
  static void rows(const void* x, int64_t n, int64_t row_stride, int64_t rows, void* out, double) {
    for (int64_t r = 0; r < rows; ++r) {
      C a[kCount], value;
      lanes(static_cast<const C*>(x) + r * row_stride, n, a);
      fold(a, &value);
      finish(&value, static_cast<O*>(out) + r, 1, 1.0);
    }
  }
  static void columns(const void* x, int64_t row_stride, int64_t rows, int64_t cols, void* acc,
                      bool) {
    const C* p = static_cast<const C*>(x);
    C* a = static_cast<C*>(acc);
    std::copy_n(p, cols, a);
    for (int64_t r = 1; r < rows; ++r)
      for (int64_t j = 0; j < cols; ++j) a[j] = Op::combine(a[j], p[r * row_stride + j]);
  }
  static void combine(void* a, const void* b, int64_t n) {
    C* p = static_cast<C*>(a);
    for (int64_t i = 0; i < n; ++i) p[i] = Op::combine(p[i], static_cast<const C*>(b)[i]);
  }
  static void finish(const void* acc, void* out, int64_t n, double) {
    for (int64_t i = 0; i < n; ++i) {
      C value = static_cast<const C*>(acc)[i];
      if constexpr (std::is_same_v<O, bool>)
        static_cast<O*>(out)[i] = value != C(0);
      else
        static_cast<O*>(out)[i] = value;
    }
  }
  static constexpr Reducer value{sizeof(C), sizeof(O), 1 << 14, rows,  lanes,
                                 fold,      columns,   combine, finish};
};

template <class C>
const Reducer& choose(ReduceKind kind) {
  switch (kind) {
    case ReduceKind::prod:
      return Loops<C, Prod<C>, C>::value;
    case ReduceKind::max:
      return Loops<C, Max<C>, C>::value;
    case ReduceKind::min:
      return Loops<C, Min<C>, C>::value;
    case ReduceKind::all:
      return Loops<C, All<C>, bool>::value;
    default:
      return Loops<C, Any<C>, bool>::value;
  }
}

}  // namespace complex_reducer_detail

/// Loops for a complex dtype and any kind but sum.
inline const Reducer& complex_reducer(ReduceKind kind, Dtype dtype) {
  return dtype == Dtype::complex64 ? complex_reducer_detail::choose<complex64_t>(kind)
                                   : complex_reducer_detail::choose<complex128_t>(kind);
}

}  // namespace legato::cpu
