// Roots, exponentials, logarithms, trigonometric, hyperbolic and special functions of the scalar
// language.
//
// float32 is computed by scalar_math.h. float64, complex values and the rarer special functions are
// calls of the C library (`lanewise`), complex64 and the special functions of float32 in double
// precision.
#pragma once

#include "legato/ops/pointwise/scalar_arith.h"

#if defined(__clang__) && !defined(__CUDACC__)
// No builtin of clang. A header's inline functions would be compiled for the level of the file that
// includes this one.
extern "C" double lgamma_r(double, int*) noexcept;
#define __builtin_lgamma_r lgamma_r
#endif

namespace legato::pointwise {
inline namespace LEGATO_LEVEL {

/// C's complex number.
LEGATO_INLINE _Complex double c_complex(double re, double im) {
  _Complex double z;
  __real__ z = re;
  __imag__ z = im;
  return z;
}
/// A complex function of the C library applied to z, in double precision.
template <class F, class V>
LEGATO_INLINE Cx<V> complex_call(F f, Cx<V> z) {
  using T = typename V::Elem;
  _Complex double r =
      f(c_complex(static_cast<double>(z.re.value), static_cast<double>(z.im.value)));
  return {V(static_cast<T>(__real__ r)), V(static_cast<T>(__imag__ r))};
}

// float32 by math::f32_name, float64 by the C function double_name, complex by complex_name.
#define LEGATO_ELEMENTARY(Name, f32_name, double_name, complex_name)                       \
  struct Name : Function<1> {                                                              \
    static constexpr TypeSet types = kInexact, lanewise = kF64;                            \
    template <class V>                                                                     \
    static LEGATO_INLINE V apply(V x) {                                                    \
      if constexpr (is_f32<V>)                                                             \
        return math::f32_name(x);                                                          \
      else                                                                                 \
        return call([](double v) LEGATO_LAMBDA { return __builtin_##double_name(v); }, x); \
    }                                                                                      \
    template <class V>                                                                     \
    static LEGATO_INLINE Cx<V> apply(Cx<V> x) {                                            \
      return complex_call(                                                                 \
          [](_Complex double z) LEGATO_LAMBDA { return __builtin_##complex_name(z); }, x); \
    }                                                                                      \
  };
#define LEGATO_LAMBDA __attribute__((always_inline))
LEGATO_ELEMENTARY(Exp, exp, exp, cexp)
LEGATO_ELEMENTARY(Log, log, log, clog)
LEGATO_ELEMENTARY(Sin, sin, sin, csin)
LEGATO_ELEMENTARY(Cos, cos, cos, ccos)
LEGATO_ELEMENTARY(Tan, tan, tan, ctan)
LEGATO_ELEMENTARY(Arcsin, arcsin, asin, casin)
LEGATO_ELEMENTARY(Arccos, arccos, acos, cacos)
LEGATO_ELEMENTARY(Arctan, arctan, atan, catan)
LEGATO_ELEMENTARY(Sinh, sinh, sinh, csinh)
LEGATO_ELEMENTARY(Cosh, cosh, cosh, ccosh)
LEGATO_ELEMENTARY(Tanh, tanh, tanh, ctanh)
LEGATO_ELEMENTARY(Arcsinh, arcsinh, asinh, casinh)
LEGATO_ELEMENTARY(Arccosh, arccosh, acosh, cacosh)
LEGATO_ELEMENTARY(Arctanh, arctanh, atanh, catanh)
#undef LEGATO_ELEMENTARY

/// The complex logarithm divided by log(base), given 1 / log(base).
template <class V>
LEGATO_INLINE Cx<V> complex_log(Cx<V> x, double over_log_base) {
  return complex_call(
      [=](_Complex double z) LEGATO_LAMBDA {
        _Complex double l = __builtin_clog(z);
        return c_complex(__real__ l * over_log_base, __imag__ l * over_log_base);
      },
      x);
}
struct Log2 : Function<1> {
  static constexpr TypeSet types = kInexact, lanewise = kF64;
  template <class V>
  static LEGATO_INLINE V apply(V x) {
    if constexpr (is_f32<V>)
      return math::log2(x);
    else
      return call([](double v) LEGATO_LAMBDA { return __builtin_log2(v); }, x);
  }
  template <class V>
  static LEGATO_INLINE Cx<V> apply(Cx<V> x) {
    return complex_log(x, 1.4426950408889634);
  }
};
struct Log10 : Function<1> {
  static constexpr TypeSet types = kInexact, lanewise = kF64;
  template <class V>
  static LEGATO_INLINE V apply(V x) {
    if constexpr (is_f32<V>)
      return math::log10(x);
    else
      return call([](double v) LEGATO_LAMBDA { return __builtin_log10(v); }, x);
  }
  template <class V>
  static LEGATO_INLINE Cx<V> apply(Cx<V> x) {
    return complex_log(x, 0.43429448190325182);
  }
};
struct Log1p : Function<1> {
  static constexpr TypeSet types = kInexact, lanewise = kF64;
  template <class V>
  static LEGATO_INLINE V apply(V x) {
    if constexpr (is_f32<V>)
      return math::log1p(x);
    else
      return call([](double v) LEGATO_LAMBDA { return __builtin_log1p(v); }, x);
  }
  /// |1 + z|^2 - 1 = x (2 + x) + y^2 keeps what 1 + z would round away.
  template <class V>
  static LEGATO_INLINE Cx<V> apply(Cx<V> v) {
    return complex_call(
        [](_Complex double z) LEGATO_LAMBDA {
          double x = __real__ z, y = __imag__ z;
          double angle = __builtin_atan2(y, x + 1);
          double grown = x * (2 + x) + y * y;
          double length = __builtin_fabs(grown) < 0.5 ? 0.5 * __builtin_log1p(grown)
                                                      : __builtin_log(__builtin_hypot(x + 1, y));
          return c_complex(length, angle);
        },
        v);
  }
};
struct Exp2 : Function<1> {
  static constexpr TypeSet types = kInexact, lanewise = kF64;
  template <class V>
  static LEGATO_INLINE V apply(V x) {
    if constexpr (is_f32<V>)
      return math::exp2(x);
    else
      return call([](double v) LEGATO_LAMBDA { return __builtin_exp2(v); }, x);
  }
  template <class V>
  static LEGATO_INLINE Cx<V> apply(Cx<V> x) {
    return complex_call(
        [](_Complex double z) LEGATO_LAMBDA {
          constexpr double ln2 = 0.69314718055994531;
          return __builtin_cexp(c_complex(__real__ z * ln2, __imag__ z * ln2));
        },
        x);
  }
};
struct Expm1 : Function<1> {
  static constexpr TypeSet types = kInexact, lanewise = kF64;
  template <class V>
  static LEGATO_INLINE V apply(V x) {
    if constexpr (is_f32<V>)
      return math::expm1(x);
    else
      return call([](double v) LEGATO_LAMBDA { return __builtin_expm1(v); }, x);
  }
  /// e^x cos y - 1 = expm1(x) cos y - 2 sin^2(y/2)
  template <class V>
  static LEGATO_INLINE Cx<V> apply(Cx<V> v) {
    return complex_call(
        [](_Complex double z) LEGATO_LAMBDA {
          double x = __real__ z, y = __imag__ z, s = __builtin_sin(0.5 * y);
          return c_complex(__builtin_expm1(x) * __builtin_cos(y) - 2 * s * s,
                           __builtin_exp(x) * __builtin_sin(y));
        },
        v);
  }
};

struct Sqrt : Light<1> {
  static constexpr TypeSet types = kInexact;
  template <class V>
  static LEGATO_INLINE V apply(V x) {
    return sqrt(x);
  }
  template <class V>
  static LEGATO_INLINE Cx<V> apply(Cx<V> x) {
    return complex_call([](_Complex double z) LEGATO_LAMBDA { return __builtin_csqrt(z); }, x);
  }
};
struct Rsqrt : Light<1> {
  static constexpr TypeSet types = kInexact;
  template <class V>
  static LEGATO_INLINE V apply(V x) {
    return V(1) / sqrt(x);
  }
  template <class V>
  static LEGATO_INLINE Cx<V> apply(Cx<V> x) {
    return complex_divide(Cx<V>{V(1), V(0)}, Sqrt::apply(x));
  }
};
struct Cbrt : Function<1> {
  static constexpr TypeSet types = kFloat, lanewise = kFloat;
  template <class V>
  static LEGATO_INLINE V apply(V x) {
    return call([](double v) LEGATO_LAMBDA { return __builtin_cbrt(v); }, x);
  }
};
struct Hypot : Function<2> {
  static constexpr TypeSet types = kFloat, lanewise = kF64;
  template <class V>
  static LEGATO_INLINE V apply(V a, V b) {
    return magnitude(Cx<V>{a, b});
  }
};

/// Integers: by repeated squaring, wrapping; a negative exponent gives 0.
struct Power : Function<2> {
  static constexpr TypeSet types = kNumeric, lanewise = kF64;
  template <class V>
  static LEGATO_INLINE V apply(V x, V y) {
    using T = typename V::Elem;
    if constexpr (is_f32<V>) {
      return math::power(x, y);
    } else if constexpr (is_f64<V>) {
      return call([](double a, double b) LEGATO_LAMBDA { return __builtin_pow(a, b); }, x, y);
    } else if constexpr (is_bool<V>) {
      return V(x.value || !y.value);
    } else {
      if constexpr (std::is_signed_v<T>) {
        if (y.value < 0) return V(T(0));
      }
      typename V::Wide base = x.wide(), result = 1;
      for (auto n = y.wide(); n; n >>= 1) {
        if (n & 1) result *= base;
        base *= base;
      }
      return V::wrap(result);
    }
  }
  template <class V>
  static LEGATO_INLINE Cx<V> apply(Cx<V> x, Cx<V> y) {
    using T = typename V::Elem;
    if (y.re.value == 0 && y.im.value == 0) return {V(1), V(0)};
    if (x.re.value == 0 && x.im.value == 0 && y.re.value > 0) return {V(0), V(0)};
    _Complex double r =
        __builtin_cpow(c_complex(static_cast<double>(x.re.value), static_cast<double>(x.im.value)),
                       c_complex(static_cast<double>(y.re.value), static_cast<double>(y.im.value)));
    return {V(static_cast<T>(__real__ r)), V(static_cast<T>(__imag__ r))};
  }
};

struct Arctan2 : Function<2> {
  static constexpr TypeSet types = kFloat, lanewise = kF64;
  template <class V>
  static LEGATO_INLINE V apply(V y, V x) {
    if constexpr (is_f32<V>)
      return math::arctan2(y, x);
    else
      return call([](double a, double b) LEGATO_LAMBDA { return __builtin_atan2(a, b); }, y, x);
  }
};
/// The angle of a complex value.
struct Arg : Function<1> {
  static constexpr TypeSet types = kComplex;
  template <class V>
  static LEGATO_INLINE V apply(Cx<V> z) {
    return Arctan2::apply(z.im, z.re);
  }
};

/// 1 / (1 + e^-x)
struct Sigmoid : Function<1> {
  static constexpr TypeSet types = kInexact, lanewise = kF64;
  template <class V>
  static LEGATO_INLINE V apply(V x) {
    if constexpr (is_f32<V>) {
      return math::sigmoid(x);
    } else {
      V e = Exp::apply(-math::abs(x));
      return select(x < V(0), e, V(1)) / (V(1) + e);
    }
  }
  template <class V>
  static LEGATO_INLINE Cx<V> apply(Cx<V> x) {
    Cx<V> e = Exp::apply(Cx<V>{-x.re, -x.im});
    return complex_divide(Cx<V>{V(1), V(0)}, Cx<V>{V(1) + e.re, e.im});
  }
};
/// log(e^a + e^b)
struct LogAddExp : Function<2> {
  static constexpr TypeSet types = kInexact, lanewise = kF64;
  template <class V>
  static LEGATO_INLINE V apply(V a, V b) {
    V high = Maximum::apply(a, b), low = Minimum::apply(a, b);
    V d = low - high;
    d = select(low == high, V(0), d);  // both infinite
    return high + Log1p::apply(Exp::apply(d));
  }
  template <class V>
  static LEGATO_INLINE Cx<V> apply(Cx<V> a, Cx<V> b) {
    Cx<V> high = Maximum::apply(a, b), low = Minimum::apply(a, b);
    auto same = (high.re == low.re) & (high.im == low.im);
    Cx<V> d = {select(same, V(0), low.re - high.re), select(same, V(0), low.im - high.im)};
    Cx<V> l = Log1p::apply(Exp::apply(d));
    return {high.re + l.re, high.im + l.im};
  }
};
/// x log(y), 0 where x is 0 unless y is nan.
struct Xlogy : Function<2> {
  static constexpr TypeSet types = kFloat, lanewise = kF64;
  template <class V>
  static LEGATO_INLINE V apply(V x, V y) {
    return select((x == V(0)) & (y == y), V(0), x * Log::apply(y));
  }
};

struct Erf : Function<1> {
  static constexpr TypeSet types = kFloat, lanewise = kF64;
  template <class V>
  static LEGATO_INLINE V apply(V x) {
    if constexpr (is_f32<V>)
      return math::erf(x);
    else
      return call([](double v) LEGATO_LAMBDA { return __builtin_erf(v); }, x);
  }
};
struct Erfc : Function<1> {
  static constexpr TypeSet types = kFloat, lanewise = kFloat;
  template <class V>
  static LEGATO_INLINE V apply(V x) {
    return call([](double v) LEGATO_LAMBDA { return __builtin_erfc(v); }, x);
  }
};
/// float64: a start in float32 precision, then two steps of Halley's method on erf (erfc near 1).
struct Erfinv : Function<1> {
  static constexpr TypeSet types = kFloat, lanewise = kF64;
  template <class V>
  static LEGATO_INLINE V apply(V x) {
    if constexpr (is_f32<V>) {
      return math::erfinv(x);
    } else {
      double a = __builtin_fabs(x.value);
      if (!(a < 1))
        return V(a == 1 ? __builtin_copysign(__builtin_inf(), x.value) : __builtin_nan(""));
      if (a < 0x1p-60) return V(x.value * 0.88622692545275801);  // sqrt(pi) / 2
      double w = -__builtin_log((1 - a) * (1 + a));
      // Winitzki's closed form, good to 2e-3.
      double u = 4.3307467508 - 0.5 * w, y = __builtin_sqrt(__builtin_sqrt(u * u + w / 0.147) - u);
      for (int i = 0; i < 4; ++i) {
        double e = a < 0.5 ? __builtin_erf(y) - a : (1 - a) - __builtin_erfc(y);
        double step = e / (1.1283791670955126 * __builtin_exp(-y * y));  // 2 / sqrt(pi)
        y -= step / (1 + y * step);
      }
      return V(__builtin_copysign(y, x.value));
    }
  }
};
struct Lgamma : Function<1> {
  static constexpr TypeSet types = kFloat, lanewise = kFloat;
  template <class V>
  static LEGATO_INLINE V apply(V x) {
    return call(
        [](double v) LEGATO_LAMBDA {
          int sign;
          return __builtin_lgamma_r(v, &sign);
        },
        x);
  }
};

/// On [1, 2] a rational function times the distance to the root, which keeps the relative error
/// small beside it (lab/pointwise/digamma.py); up to 10 by recurrence down to there, beyond by the
/// asymptotic series; reflection for negative arguments. Within 4 ULP for x > 0.
LEGATO_INLINE double digamma_of(double x) {
  if (x == 0) return __builtin_copysign(__builtin_inf(), -x);
  double other = 0;  // the terms beside psi(x), with x then in [1, inf)
  if (x < 0) {
    const double nearest = __builtin_rint(x);
    if (nearest == x) return __builtin_nan("");
    constexpr double pi = 3.14159265358979324;
    other = -pi / __builtin_tan(pi * (x - nearest));
    x = 1 - x;
  } else if (x < 1) {
    other = -1 / x;
    x += 1;
  }
  if (x >= 10) {
    const double t = 1 / (x * x);
    // Bernoulli numbers B(2k) / (2k)
    const double series =
        t * (1.0 / 12 -
             t * (1.0 / 120 -
                  t * (1.0 / 252 -
                       t * (1.0 / 240 - t * (1.0 / 132 - t * (691.0 / 32760 - t * (1.0 / 12)))))));
    return __builtin_log(x) - (0.5 / x + series) + other;
  }
  double shifted = 0;
  while (x > 2) {  // smallest terms first; x - 1 is exact
    x -= 1;
    shifted += 1 / x;
  }
  const double t = x - 1.5;
  const double top =
      0.9510558760318328 +
      t * (1.0786473286494878 +
           t * (0.41869245850949033 +
                t * (0.06552136794893776 +
                     t * (0.0035369185229135415 +
                          t * (1.9227634434238662e-05 + t * (-2.1371909144303333e-07))))));
  const double bottom =
      1 +
      t * (1.5795862133768737 +
           t * (0.8909108601153678 + t * (0.22226135682897646 + t * (0.023995076433558565 +
                                                                     t * (0.000857691360255349)))));
  const double distance = (x - 1.4616321449683622) - 9.549995429965697e-17;
  return distance * (top / bottom) + shifted + other;
}
struct Digamma : Function<1> {
  static constexpr TypeSet types = kFloat, lanewise = kFloat;
  template <class V>
  static LEGATO_INLINE V apply(V x) {
    return call([](double v) LEGATO_LAMBDA { return digamma_of(v); }, x);
  }
};

/// The n-th derivative of digamma: (-1)^(n+1) n! zeta(n + 1, x), the zeta function of Hurwitz by
/// Euler and Maclaurin's formula from x + k >= 12 on. nan for x below -100000, where the terms
/// before that are too many.
LEGATO_INLINE double polygamma_of(double order, double x) {
  if (order == 0) return digamma_of(x);
  if (!(order > 0) || __builtin_floor(order) != order || x != x || x < -100000)
    return __builtin_nan("");
  const double sign = __builtin_fmod(order, 2) == 1 ? 1 : -1;
  if (x <= 0 && __builtin_floor(x) == x) return sign > 0 ? __builtin_inf() : __builtin_nan("");
  const double s = order + 1;
  double sum = 0, q = x;
  for (; q < 12; q += 1) sum += __builtin_pow(q, -s);
  const double power = __builtin_pow(q, -s);
  sum += power * q / order + 0.5 * power;
  // B(2j) / (2j)!
  constexpr double kTerms[] = {1.0 / 12,       -1.0 / 720,     1.0 / 30240,
                               -1.0 / 1209600, 1.0 / 47900160, -691.0 / 1307674368000.0};
  double rising = s, t = power / q;
  for (int j = 0; j < 6; ++j) {
    sum += kTerms[j] * rising * t;
    rising *= (s + 2 * j + 1) * (s + 2 * j + 2);
    t /= q * q;
  }
  return sign * __builtin_tgamma(s) * sum;
}
struct Polygamma : Function<2> {
  static constexpr TypeSet types = kFloat, lanewise = kFloat;
  template <class V>
  static LEGATO_INLINE V apply(V order, V x) {
    return call([](double n, double v) LEGATO_LAMBDA { return polygamma_of(n, v); }, order, x);
  }
};

/// e^-|x| I_n(x) for n = 0 or 1. Power series up to 30, the asymptotic series (DLMF 10.40.1)
/// beyond.
LEGATO_INLINE double bessel_ie(double x, int n) {
  double a = __builtin_fabs(x);
  double sum;
  if (a < 30) {
    double q = 0.25 * a * a, term = n == 0 ? 1 : 0.5 * a;
    sum = term;
    for (int k = 1; term > sum * 1e-17; ++k) {
      term *= q / (static_cast<double>(k) * (k + n));
      sum += term;
    }
    sum *= __builtin_exp(-a);
  } else {
    double term = 1, mu = 4.0 * n * n;
    sum = 1;
    for (int k = 1; k < 30; ++k) {
      double odd = 2.0 * k - 1, next = term * -(mu - odd * odd) / (k * 8.0 * a);
      if (__builtin_fabs(next) < 1e-17) break;
      term = next;
      sum += term;
    }
    sum /= __builtin_sqrt(6.28318530717958648 * a);
  }
  return n == 1 ? __builtin_copysign(sum, x) : sum;
}
struct I0e : Function<1> {
  static constexpr TypeSet types = kFloat, lanewise = kFloat;
  template <class V>
  static LEGATO_INLINE V apply(V x) {
    return call([](double v) LEGATO_LAMBDA { return v != v ? v : bessel_ie(v, 0); }, x);
  }
};
struct I1e : Function<1> {
  static constexpr TypeSet types = kFloat, lanewise = kFloat;
  template <class V>
  static LEGATO_INLINE V apply(V x) {
    return call([](double v) LEGATO_LAMBDA { return v != v ? v : bessel_ie(v, 1); }, x);
  }
};
#undef LEGATO_LAMBDA

}  // namespace LEGATO_LEVEL
}  // namespace legato::pointwise
