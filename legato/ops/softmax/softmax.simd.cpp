#include "legato/backends/cpu/lanes.h"
#include "legato/ops/pointwise/scalar.h"
#include "legato/ops/softmax/kernels.h"

namespace legato::cpu::LEGATO_LEVEL {
namespace {

template <class A>
LEGATO_INLINE V<A> exp(V<A> x) {
  return pointwise::Exp::apply(pointwise::Vec<A>::of(x)).raw;
}
template <class A>
LEGATO_INLINE A log(A x) {
  return pointwise::Log::apply(pointwise::Vec<A>(x)).raw[0];
}

// T: the elements in memory. A: what they are computed in.
template <class T, class A>
struct Rows {
  static A largest(const T* x, int64_t n) {
    return reduce_row<MaxOp, A>(
        n, [x](int64_t i, auto m) LEGATO_LAMBDA_INLINE { return load<A, T>(x + i, m); });
  }
  static A exp_sum(const T* x, int64_t n, A shift) {
    const V<A> s = splat(shift);
    return reduce_row<SumOp, A>(n, [x, s](int64_t i, auto m) LEGATO_LAMBDA_INLINE {
      return exp<A>(load<A, T>(x + i, m) - s);
    });
  }
  static A log_exp_sum(const T* x, int64_t n) {
    A top = largest(x, n);
    // Infinities would meet their own difference; they are the result already.
    if (top - top != A(0)) return top;
    return log<A>(exp_sum(x, n, top)) + top;
  }

  static void softmax(const void* from, void* to, int64_t n, int64_t rows) {
    const T* x = static_cast<const T*>(from);
    T* y = static_cast<T*>(to);
    for (int64_t r = 0; r < rows; ++r, x += n, y += n) {
      const V<A> top = splat(largest(x, n));
      if constexpr (std::is_same_v<T, A>) {  // the exponentials wait in the output
        A sum = reduce_row<SumOp, A>(n, [x, y, top](int64_t i, auto m) LEGATO_LAMBDA_INLINE {
          V<A> e = exp<A>(load<A, T>(x + i, m) - top);
          store<T, A>(y + i, e, m);
          return e;
        });
        const V<A> scale = splat(A(1) / sum);
        for_vectors<A>(n, [y, scale](int64_t i, auto m) LEGATO_LAMBDA_INLINE {
          store<T, A>(y + i, load<A, T>(y + i, m) * scale, m);
        });
      } else {  // halves would round there: computed twice
        const V<A> scale = splat(A(1) / exp_sum(x, n, top[0]));
        for_vectors<A>(n, [=](int64_t i, auto m) LEGATO_LAMBDA_INLINE {
          store<T, A>(y + i, exp<A>(load<A, T>(x + i, m) - top) * scale, m);
        });
      }
    }
  }
  static void log_softmax(const void* from, void* to, int64_t n, int64_t rows) {
    const T* x = static_cast<const T*>(from);
    T* y = static_cast<T*>(to);
    for (int64_t r = 0; r < rows; ++r, x += n, y += n) {
      // Subtracting in two steps keeps the digits of elements near a large maximum.
      const A top = largest(x, n);
      const V<A> shift = splat(top), rest = splat(log<A>(exp_sum(x, n, top)));
      for_vectors<A>(n, [=](int64_t i, auto m) LEGATO_LAMBDA_INLINE {
        store<T, A>(y + i, (load<A, T>(x + i, m) - shift) - rest, m);
      });
    }
  }
  static void logsumexp(const void* from, void* to, int64_t n, int64_t rows) {
    const T* x = static_cast<const T*>(from);
    for (int64_t r = 0; r < rows; ++r, x += n)
      store<T, A>(static_cast<T*>(to) + r, splat(log_exp_sum(x, n)), 1);
  }
  static void softmax_vjp(const void* out, const void* cotangent, void* to, int64_t n,
                          int64_t rows) {
    const T *y = static_cast<const T*>(out), *g = static_cast<const T*>(cotangent);
    T* d = static_cast<T*>(to);
    for (int64_t r = 0; r < rows; ++r, y += n, g += n, d += n) {
      const V<A> dot =
          splat(reduce_row<SumOp, A>(n, [y, g](int64_t i, auto m) LEGATO_LAMBDA_INLINE {
            return load<A, T>(y + i, m) * load<A, T>(g + i, m);
          }));
      for_vectors<A>(n, [=](int64_t i, auto m) LEGATO_LAMBDA_INLINE {
        store<T, A>(d + i, load<A, T>(y + i, m) * (load<A, T>(g + i, m) - dot), m);
      });
    }
  }
  static void log_softmax_vjp(const void* out, const void* cotangent, void* to, int64_t n,
                              int64_t rows) {
    const T *y = static_cast<const T*>(out), *g = static_cast<const T*>(cotangent);
    T* d = static_cast<T*>(to);
    for (int64_t r = 0; r < rows; ++r, y += n, g += n, d += n) {
      const V<A> total = splat(reduce_row<SumOp, A>(
          n, [g](int64_t i, auto m) LEGATO_LAMBDA_INLINE { return load<A, T>(g + i, m); }));
      for_vectors<A>(n, [=](int64_t i, auto m) LEGATO_LAMBDA_INLINE {
        store<T, A>(d + i, load<A, T>(g + i, m) - exp<A>(load<A, T>(y + i, m)) * total, m);
      });
    }
  }
  static constexpr SoftmaxLoops loops{softmax, log_softmax, logsumexp, softmax_vjp,
                                      log_softmax_vjp};
};

}  // namespace

const SoftmaxLoops& softmax_loops(Dtype dtype) {
  return dtype == Dtype::float16    ? Rows<float16_t, float>::loops
         : dtype == Dtype::bfloat16 ? Rows<bfloat16_t, float>::loops
         : dtype == Dtype::float64  ? Rows<double, double>::loops
                                    : Rows<float, float>::loops;
}

}  // namespace legato::cpu::LEGATO_LEVEL
