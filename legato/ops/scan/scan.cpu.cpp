// Running reductions. Sums and products of float32 run in double: as fast, since each step waits
// for the one before, and every prefix is rounded once.
#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "legato/backends/cpu/axis_rows.h"
#include "legato/base/thread_pool.h"
#include "legato/ops/scan/ops.h"

namespace legato::cpu {
namespace {

template <class T>
inline constexpr bool kComplex = std::is_same_v<T, complex64_t> || std::is_same_v<T, complex128_t>;
template <class T>
inline constexpr bool kHalf = std::is_same_v<T, float16_t> || std::is_same_v<T, bfloat16_t>;

/// What sums and products of T run in. Integers wrap, hence unsigned.
template <class T>
struct WideOf {
  using type = T;
};
template <class T>
  requires std::is_integral_v<T>
struct WideOf<T> {
  using type = std::conditional_t<(sizeof(T) < 8), uint32_t, uint64_t>;
};
template <>
struct WideOf<float> {
  using type = double;
};
template <class T>
  requires kHalf<T>
struct WideOf<T> {
  using type = float;
};
template <>
struct WideOf<complex64_t> {
  using type = complex128_t;
};

template <class A, class T>
A widen(T x) {
  if constexpr (kHalf<T>)
    return static_cast<A>(static_cast<float>(x));
  else
    return static_cast<A>(x);
}
template <class T, class A>
T narrow(A x) {
  if constexpr (kHalf<T>)
    return T(static_cast<float>(x));
  else
    return static_cast<T>(x);
}

template <class T>
struct Sum {
  using A = typename WideOf<T>::type;
  static A start() { return A(0); }
  static void take(A& a, T x) { a = a + widen<A>(x); }
  static T value(const A& a) { return narrow<T>(a); }
};
template <class T>
struct Prod {
  using A = typename WideOf<T>::type;
  static A start() { return A(1); }
  static void take(A& a, T x) {
    const A b = widen<A>(x);
    if constexpr (kComplex<T>)  // without the recovery of infinities that operator* does
      a = {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
    else
      a = a * b;
  }
  static T value(const A& a) {
    if constexpr (std::is_same_v<T, bool>)
      return a != 0;
    else
      return narrow<T>(a);
  }
};

/// Values compared as they are; halves as float32.
template <class T>
using Compared = std::conditional_t<kHalf<T>, float, T>;
template <class A>
bool is_nan(const A& a) {
  if constexpr (kComplex<A>)
    return a.real() != a.real() || a.imag() != a.imag();
  else
    return a != a;
}
template <class A>
bool less(const A& a, const A& b) {
  if constexpr (kComplex<A>)
    return a.real() < b.real() || (a.real() == b.real() && a.imag() < b.imag());
  else
    return a < b;
}
template <class A, bool largest>
A end_of_range() {
  if constexpr (kComplex<A>) {
    const auto end = end_of_range<typename A::value_type, largest>();
    return {end, end};
  } else if constexpr (std::is_floating_point_v<A>) {
    return largest ? std::numeric_limits<A>::infinity() : -std::numeric_limits<A>::infinity();
  } else {
    return largest ? std::numeric_limits<A>::max() : std::numeric_limits<A>::lowest();
  }
}
template <class T, bool largest>
struct Extreme {
  using A = Compared<T>;
  static A start() { return end_of_range<A, !largest>(); }
  static void take(A& a, T x) {
    const A b = widen<A>(x);
    if (!is_nan(a) && (is_nan(b) || (largest ? less(a, b) : less(b, a)))) a = b;
  }
  static T value(const A& a) { return narrow<T>(a); }
};
template <class T>
using Max = Extreme<T, true>;
template <class T>
using Min = Extreme<T, false>;

/// log(sum(exp)): the largest so far, and the sum relative to it.
template <class T>
struct LogSumExp {
  struct A {
    double top, sum;
  };
  static A start() { return {-std::numeric_limits<double>::infinity(), 0}; }
  static void take(A& a, T x) {
    const auto v = widen<double>(x);
    if (v > a.top || v != v) {
      // exp of a difference of infinities would be nan
      a.sum = a.top == v ? a.sum + 1 : (a.sum == 0 ? 0 : a.sum * std::exp(a.top - v)) + 1;
      a.top = v;
    } else if (a.top == a.top) {
      if (v == a.top)
        a.sum += std::isinf(v) && v < 0 ? 0 : 1;
      else
        a.sum += std::exp(v - a.top);
    }
  }
  static T value(const A& a) {
    if (std::isinf(a.top)) return narrow<T>(a.top);
    return narrow<T>(a.top + std::log(a.sum));
  }
};

template <template <class> class Op, class T>
void run(Launch& l) {
  using A = typename Op<T>::A;
  const View& x = l.in[0];
  const auto& attrs = l.attrs<ScanAttrs>();
  if (x.size == 0) return;
  const AxisSplit s = split_axis(*x.shape, normalize_axis(l.op->name, attrs.axis, x.ndim()));
  const int64_t step = (attrs.reverse ? -1 : 1) * s.inner,
                first = attrs.reverse ? (s.n - 1) * s.inner : 0;
  // Neighbouring scans run side by side, a tile of them in one task.
  constexpr int64_t kTile = 64;
  const int64_t tile = std::min(s.inner, kTile), tiles = (s.inner + tile - 1) / tile;
  const int64_t join = std::max<int64_t>(1, (8 << 10) / (s.n * tile)), blocks = s.outer * tiles;
  const T* from = x.as<T>();
  T* to = l.out[0].as<T>();
  auto task = [&](int64_t t) {
    for (int64_t b = t * join; b < std::min(blocks, (t + 1) * join); ++b) {
      const int64_t column = b % tiles * tile, count = std::min(tile, s.inner - column);
      const int64_t at = b / tiles * s.n * s.inner + column + first;
      A acc[kTile];
      for (int64_t j = 0; j < count; ++j) acc[j] = Op<T>::start();
      for (int64_t i = 0; i < s.n; ++i) {
        const T* in = from + at + i * step;
        T* out = to + at + i * step;
        if (attrs.inclusive) {
          for (int64_t j = 0; j < count; ++j) {
            Op<T>::take(acc[j], in[j]);
            out[j] = Op<T>::value(acc[j]);
          }
        } else {
          for (int64_t j = 0; j < count; ++j) {
            const T value = in[j];  // may be overwritten
            out[j] = Op<T>::value(acc[j]);
            Op<T>::take(acc[j], value);
          }
        }
      }
    }
  };
  const int64_t tasks = (blocks + join - 1) / join;
  if (tasks == 1)
    task(0);
  else
    parallel_for(tasks, task);
}

// The sum is kept relative to the largest a so far.
template <class T>
void run_exp_scan(Launch& l) {
  const View& x = l.in[0];
  const auto& attrs = l.attrs<ScanAttrs>();
  if (x.size == 0) return;
  const AxisSplit s = split_axis(*x.shape, normalize_axis(l.op->name, attrs.axis, x.ndim()));
  const T *v = x.as<T>(), *a = l.in[1].as<T>(), *b = l.in[2].as<T>();
  T* to = l.out[0].as<T>();
  const int64_t join = std::max<int64_t>(1, (1 << 10) / s.n), scans = s.outer * s.inner;
  auto task = [&](int64_t t) {
    for (int64_t k = t * join; k < std::min(scans, (t + 1) * join); ++k) {
      const int64_t start = k / s.inner * s.n * s.inner + k % s.inner;
      double top = -std::numeric_limits<double>::infinity(), sum = 0;
      auto emit = [&](int64_t at) {
        to[at] = narrow<T>(sum == 0 ? 0 : sum * std::exp(top + widen<double>(b[at])));
      };
      for (int64_t i = 0; i < s.n; ++i) {
        const int64_t at = start + (attrs.reverse ? s.n - 1 - i : i) * s.inner;
        const auto here = widen<double>(a[at]), value = widen<double>(v[at]);
        if (!attrs.inclusive) emit(at);
        if (here > top) {
          sum = (sum == 0 ? 0 : sum * std::exp(top - here)) + value;
          top = here;
        } else if (here == top) {
          sum += std::isinf(here) && here < 0 ? 0 : value;
        } else {
          sum += value * std::exp(here - top);
        }
        if (attrs.inclusive) emit(at);
      }
    }
  };
  const int64_t tasks = (scans + join - 1) / join;
  if (tasks == 1)
    task(0);
  else
    parallel_for(tasks, task);
}

}  // namespace

void register_scan_kernels(KernelTable& table) {
  add_kernels(table, cumsum_op, AllTypes{},
              []<class T>(TypeTag<T>) { return Kernel{run<Sum, T>, AcceptLayout::row_major, 0}; });
  add_kernels(table, cumprod_op, AllTypes{},
              []<class T>(TypeTag<T>) { return Kernel{run<Prod, T>, AcceptLayout::row_major, 0}; });
  add_kernels(table, cummax_op, AllTypes{},
              []<class T>(TypeTag<T>) { return Kernel{run<Max, T>, AcceptLayout::row_major, 0}; });
  add_kernels(table, cummin_op, AllTypes{},
              []<class T>(TypeTag<T>) { return Kernel{run<Min, T>, AcceptLayout::row_major, 0}; });
  add_kernels(table, logcumsumexp_op, FloatTypes{}, []<class T>(TypeTag<T>) {
    return Kernel{run<LogSumExp, T>, AcceptLayout::row_major, 0};
  });
  add_kernels(table, exp_scan_op, FloatTypes{},
              []<class T>(TypeTag<T>) { return Kernel{run_exp_scan<T>, AcceptLayout::row_major}; });
}

}  // namespace legato::cpu
