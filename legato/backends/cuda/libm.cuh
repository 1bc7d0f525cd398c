// The C functions that the scalar language calls, under the names which they have in generated
// programs: lg_name for __builtin_name. Those of a complex argument are written here, in double
// precision; CUDA has none. And what else is the language's alone: lanes' short division.
#pragma once

namespace legato {

constexpr LEGATO_INLINE float lg_inff() { return __builtin_bit_cast(float, 0x7f800000u); }
constexpr LEGATO_INLINE float lg_nanf(const char*) {
  return __builtin_bit_cast(float, 0x7fc00000u);
}
constexpr LEGATO_INLINE double lg_inf() {
  return __builtin_bit_cast(double, uint64_t{0x7ff0000000000000u});
}
constexpr LEGATO_INLINE double lg_nan(const char*) {
  return __builtin_bit_cast(double, uint64_t{0x7ff8000000000000u});
}
LEGATO_INLINE float lg_fmodf(float a, float b) { return ::fmodf(a, b); }
#define LEGATO_LIBM1(name) \
  LEGATO_INLINE double lg_##name(double x) { return ::name(x); }
#define LEGATO_LIBM2(name) \
  LEGATO_INLINE double lg_##name(double x, double y) { return ::name(x, y); }
// clang-format off
LEGATO_LIBM1(exp) LEGATO_LIBM1(exp2) LEGATO_LIBM1(expm1) LEGATO_LIBM1(log) LEGATO_LIBM1(log2)
LEGATO_LIBM1(log10) LEGATO_LIBM1(log1p) LEGATO_LIBM1(sqrt) LEGATO_LIBM1(cbrt) LEGATO_LIBM1(sin)
LEGATO_LIBM1(cos) LEGATO_LIBM1(tan) LEGATO_LIBM1(asin) LEGATO_LIBM1(acos) LEGATO_LIBM1(atan)
LEGATO_LIBM1(sinh) LEGATO_LIBM1(cosh) LEGATO_LIBM1(tanh) LEGATO_LIBM1(asinh) LEGATO_LIBM1(acosh)
LEGATO_LIBM1(atanh) LEGATO_LIBM1(erf) LEGATO_LIBM1(erfc) LEGATO_LIBM1(tgamma) LEGATO_LIBM1(floor)
LEGATO_LIBM1(rint) LEGATO_LIBM1(fabs) LEGATO_LIBM2(pow) LEGATO_LIBM2(atan2) LEGATO_LIBM2(hypot) LEGATO_LIBM2(fmod)
LEGATO_LIBM2(copysign)
// clang-format on
#undef LEGATO_LIBM1
#undef LEGATO_LIBM2
                                LEGATO_INLINE double lg_lgamma_r(double x, int*) {
  return ::lgamma(x);
}

/// C's _Complex double.
struct CDouble {
  double re, im;
};
LEGATO_INLINE CDouble operator+(CDouble a, CDouble b) { return {a.re + b.re, a.im + b.im}; }
LEGATO_INLINE CDouble operator-(CDouble a, CDouble b) { return {a.re - b.re, a.im - b.im}; }
LEGATO_INLINE CDouble operator*(CDouble a, CDouble b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
// i z, -i z
LEGATO_INLINE CDouble turned(CDouble z) { return {-z.im, z.re}; }
LEGATO_INLINE CDouble turned_back(CDouble z) { return {z.im, -z.re}; }

LEGATO_DEVICE CDouble lg_cexp(CDouble z) {
  if (z.im == 0) return {::exp(z.re), z.im};
  if (::isinf(z.re) && !::isfinite(z.im)) {
    if (z.re < 0) return {0.0, 0.0};
    return {z.re, lg_nan("")};
  }
  // Beyond the range of exp the product may still be finite: in two steps.
  const double half = z.re > 700 ? 0.5 * z.re : z.re, e = ::exp(half);
  const double more = z.re > 700 ? e : 1;
  return {e * ::cos(z.im) * more, e * ::sin(z.im) * more};
}
/// log(|z|), accurate near |z| = 1.
LEGATO_DEVICE double log_magnitude(CDouble z) {
  double a = ::fabs(z.re), b = ::fabs(z.im);
  if (a < b) {
    double t = a;
    a = b;
    b = t;
  }
  if (a > 0.5 && a < 2 && b < 2) {
    // a^2 + b^2 - 1 without cancellation
    const double square = a * a, low = ::fma(a, a, -square), b2 = b * b, b2_low = ::fma(b, b, -b2);
    return 0.5 * ::log1p(((square - 1) + b2) + (low + b2_low));
  }
  return ::log(::hypot(a, b));
}
LEGATO_DEVICE CDouble lg_clog(CDouble z) { return {log_magnitude(z), ::atan2(z.im, z.re)}; }
LEGATO_DEVICE CDouble lg_csqrt(CDouble z) {
  if (z.re == 0 && z.im == 0) return {0.0, z.im};
  if (::isinf(z.im)) return {lg_inf(), z.im};
  if (::isinf(z.re)) {
    if (z.re > 0) return {z.re, ::isnan(z.im) ? z.im : ::copysign(0.0, z.im)};
    return {::isnan(z.im) ? z.im : 0.0, ::copysign(lg_inf(), z.im)};
  }
  const bool large = ::fabs(z.re) > 1e300 || ::fabs(z.im) > 1e300;
  const double s = large ? 0.0625 : 1.0, re = z.re * s, im = z.im * s;
  const double t = ::sqrt((::fabs(re) + ::hypot(re, im)) * 0.5), back = large ? 4.0 : 1.0;
  if (re >= 0) return {t * back, im / (2 * t) * back};
  return {::fabs(im) / (2 * t) * back, ::copysign(t, im) * back};
}
LEGATO_DEVICE CDouble lg_cpow(CDouble a, CDouble b) {
  if (a.re == 0 && a.im == 0) {
    if (b.re == 0 && b.im == 0) return {1.0, 0.0};
    if (b.im == 0 && b.re > 0) return {0.0, 0.0};
  }
  return lg_cexp(b * lg_clog(a));
}
LEGATO_DEVICE CDouble lg_csinh(CDouble z) {
  if (z.im == 0) return {::sinh(z.re), z.im};
  return {::sinh(z.re) * ::cos(z.im), ::cosh(z.re) * ::sin(z.im)};
}
LEGATO_DEVICE CDouble lg_ccosh(CDouble z) {
  if (z.im == 0) return {::cosh(z.re), z.re * z.im};
  return {::cosh(z.re) * ::cos(z.im), ::sinh(z.re) * ::sin(z.im)};
}
LEGATO_DEVICE CDouble lg_ctanh(CDouble z) {
  if (::fabs(z.re) > 20)
    return {::copysign(1.0, z.re), 4 * ::sin(z.im) * ::cos(z.im) * ::exp(-2 * ::fabs(z.re))};
  const double t = ::tan(z.im), beta = 1 + t * t, s = ::sinh(z.re), rho = ::sqrt(1 + s * s);
  const double d = 1 + beta * s * s;
  return {beta * rho * s / d, t / d};
}
LEGATO_DEVICE CDouble lg_csin(CDouble z) { return turned_back(lg_csinh(turned(z))); }
LEGATO_DEVICE CDouble lg_ccos(CDouble z) { return lg_ccosh(turned(z)); }
LEGATO_DEVICE CDouble lg_ctan(CDouble z) { return turned_back(lg_ctanh(turned(z))); }
// Kahan's formulas.
LEGATO_DEVICE CDouble lg_casinh(CDouble z) {
  // asinh(z) = i asin(-i z)
  const CDouble w = turned_back(z);  // -i z
  const CDouble a = lg_csqrt({1 - w.re, -w.im}), b = lg_csqrt({1 + w.re, w.im});
  const CDouble asin = {::atan2(w.re, a.re * b.re - a.im * b.im),
                        ::asinh(a.re * b.im - a.im * b.re)};
  return turned(asin);
}
LEGATO_DEVICE CDouble lg_casin(CDouble z) {
  const CDouble a = lg_csqrt({1 - z.re, -z.im}), b = lg_csqrt({1 + z.re, z.im});
  return {::atan2(z.re, a.re * b.re - a.im * b.im), ::asinh(a.re * b.im - a.im * b.re)};
}
LEGATO_DEVICE CDouble lg_cacos(CDouble z) {
  const CDouble a = lg_csqrt({1 - z.re, -z.im}), b = lg_csqrt({1 + z.re, z.im});
  return {2 * ::atan2(a.re, b.re), ::asinh(b.re * a.im - b.im * a.re)};
}
LEGATO_DEVICE CDouble lg_cacosh(CDouble z) {
  const CDouble a = lg_csqrt({z.re - 1, z.im}), b = lg_csqrt({z.re + 1, z.im});
  return {::asinh(a.re * b.re + a.im * b.im), 2 * ::atan2(a.im, b.re)};
}
LEGATO_DEVICE CDouble lg_catanh(CDouble z) {
  const double beta = ::copysign(1.0, z.re);
  const double x = beta * z.re, y = -beta * z.im;  // of conj(beta z)
  const double ay = ::fabs(y);
  double re, im;
  if (x > 1e150 || ay > 1e150) {
    re = x == 0 ? 0.0 : 1 / (x + y / x * y);
    im = ::copysign(1.5707963267948966, y);
  } else if (x == 1 && ay < 1e-150) {
    re = ::log(::sqrt(::sqrt(4 + y * y)) / ::sqrt(ay));
    im = ::copysign(1.5707963267948966 + ::atan(ay * 0.5), y) * 0.5;
  } else {
    re = 0.25 * ::log1p(4 * x / ((1 - x) * (1 - x) + ay * ay));
    im = 0.5 * ::atan2(2 * y, (1 - x) * (1 + x) - ay * ay);
  }
  return {beta * re, -beta * im};
}
LEGATO_DEVICE CDouble lg_catan(CDouble z) { return turned_back(lg_catanh(turned(z))); }

namespace pointwise {
inline namespace device {
/// See fuse/lane.h.
LEGATO_INLINE Lane<float> divide_normal(Lane<float> a, Lane<float> b) {
  return Lane<float>(::legato::divide_normal(a.value, b.value));
}
}  // namespace device
}  // namespace pointwise

}  // namespace legato
