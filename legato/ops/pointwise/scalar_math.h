// Elementary functions in float32, generic over the value type V (lane.h): the cores that
// scalar_transcend.h turns into functions. Each is within 4 ULP over all of float32, subnormals
// included (tests/cpp/test_scalar_math.cpp). Polynomials: lab/pointwise/fit.py. Multiply-add pairs
// are fused where written as fma, and nowhere else.
#pragma once

#include "legato/fuse/lane.h"

namespace legato::pointwise {
inline namespace LEGATO_LEVEL {
namespace math {

inline constexpr float kInf = __builtin_inff();
inline constexpr float kNan = __builtin_nanf("");
inline constexpr float kLn2 = 0x1.62e430p-1f, kLn2Low = -0x1.05c610p-29f;
inline constexpr float kPiOver2 = 0x1.921fb6p+0f, kPiOver2Low = -0x1.777a5cp-25f;
inline constexpr float kPi = 0x1.921fb6p+1f, kPiLow = -0x1.777a5cp-24f;

/// c[0] x^(n-1) + ... + c[n-1]
template <class V, class... C>
LEGATO_INLINE V poly(V x, float first, C... rest) {
  V p(first);
  ((p = fma(p, x, V(rest))), ...);
  return p;
}

template <class V>
LEGATO_INLINE V abs(V x) {
  using T = typename V::Elem;
  using I = decltype(bits(x));
  if constexpr (sizeof(T) == 4)
    return from_bits(bits(x) & I(0x7fffffff));
  else
    return from_bits(bits(x) & I(0x7fffffffffffffff));
}
template <class V>
LEGATO_INLINE V copysign(V magnitude, V sign) {
  using I = decltype(bits(sign));
  using T = typename I::Elem;
  constexpr T top = static_cast<T>(T{1} << (sizeof(T) * 8 - 2)) * -2;
  return from_bits((bits(magnitude) & I(~top)) | (bits(sign) & I(top)));
}
// The smaller / larger; `x` if it is nan.
template <class V>
LEGATO_INLINE V at_most(V x, V limit) {
  return select(x > limit, limit, x);
}
template <class V>
LEGATO_INLINE V at_least(V x, V limit) {
  return select(x < limit, limit, x);
}

/// 2^n for integers n in [-126, 127].
template <class V>
LEGATO_INLINE V pow2(decltype(bits(V())) n) {
  return from_bits((n + 127) << 23);
}
/// p * 2^n for whole n in [-252, 254], p near 1: two steps, so that results beyond either end of
/// the normal range are right.
template <class V>
LEGATO_INLINE V scale_by(V p, V n) {
  auto whole = to_int(n), half = whole >> 1;
  return p * pow2<V>(half) * pow2<V>(whole - half);
}

/// e^x * 2^shift for a small constant shift, without an intermediate overflow.
template <class V>
LEGATO_INLINE V exp(V x, float shift = 0) {
  V c = at_most(at_least(x, V(-106.f)), V(92.f));
  V n = rint(c * V(0x1.715476p+0f));
  V r = fma(n, V(-kLn2), c);
  r = fma(n, V(-kLn2Low), r);
  V p = poly(r, 0.00138142193f, 0.00836889911f, 0.0416684076f, 0.166665196f, 0.49999994f);
  p = fma(p, r * r, r) + V(1.f);
  return scale_by(p, shift == 0 ? n : n + V(shift));
}

template <class V>
LEGATO_INLINE V exp2(V x) {
  V c = at_most(at_least(x, V(-152.f)), V(130.f));
  V n = rint(c);
  V r = c - n;
  V p = poly(r, 1.53149467e-05f, 0.000154671099f, 0.0013333431f, 0.00961803645f, 0.0555041097f,
             0.240226507f, 0.693147182f);
  return scale_by(fma(p, r, V(1.f)), n);
}

template <class V>
LEGATO_INLINE V expm1(V x) {
  V c = at_most(at_least(x, V(-20.f)), V(92.f));
  V n = rint(c * V(0x1.715476p+0f));
  V r = fma(n, V(-kLn2), c);
  r = fma(n, V(-kLn2Low), r);
  V p = poly(r, 0.000199139497f, 0.00139412913f, 0.00833327323f, 0.0416663513f, 0.166666672f, 0.5f);
  p = fma(p, r * r, r);
  // 2^n p + (2^n - 1), halved so that n = 128 stays finite until the end.
  auto k = to_int(n);
  V s = pow2<V>(select(k > 127, decltype(k)(126), k - 1));
  s = select(k > 127, s * V(2.f), s);
  V y = fma(p, s, s - V(0.5f)) * V(2.f);
  y = select(n > V(128.f), V(kInf), y);
  y = select(n == V(0.f), p, y);
  return select(abs(x) < V(0x1p-25f), x, y);  // -0.0, and nothing is lost: expm1(x) = x (1 + x/2)
}

/// x = 2^e (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), for x > 0; subnormals too.
template <class V>
struct Split {
  V e, f;
};
template <class V>
LEGATO_INLINE Split<V> split(V x) {
  auto tiny = x < V(0x1p-126f);
  auto b = bits(select(tiny, x * V(0x1p23f), x)) - 0x3f3504f3;  // bits of sqrt(1/2)
  V e = to_float(b >> 23);
  e = select(tiny, e - V(23.f), e);
  V m = from_bits((b & 0x7fffff) + 0x3f3504f3);
  return {e, m - V(1.f)};
}
/// (log1p(f) - f + f^2/2) / f^3
template <class V>
LEGATO_INLINE V log1p_poly(V f) {
  return poly(f, -0.0615341626f, 0.107457489f, -0.107944384f, 0.110116772f, -0.12424989f,
              0.142869622f, -0.166694403f, 0.200000361f, -0.249999657f, 0.333333343f);
}
/// log1p(f) - f
template <class V>
LEGATO_INLINE V log1p_rest(V f) {
  V f2 = f * f;
  return fma(log1p_poly(f) * f, f2, f2 * V(-0.5f));
}
// log's value outside of (0, inf).
template <class V>
LEGATO_INLINE V log_edges(V x, V y) {
  y = select(x == V(0.f), V(-kInf), y);
  y = select(x == V(kInf), x, y);
  return select(x >= V(0.f), y, V(kNan));
}
/// log1p(f) for f in [sqrt(1/2) - 1, sqrt(2) - 1). A multiple of log(2) is added to it plainly:
/// where that is not 0 the sum is at least 0.34, and log(2)'s rounding 0.1 ULP of it.
template <class V>
LEGATO_INLINE V log1p_near(V f) {
  V p = poly(f, -0.0762478858f, 0.129076883f, -0.132433951f, 0.141813442f, -0.166089758f,
             0.200019956f, -0.250015885f, 0.333333254f, -0.499999881f);
  return fma(f * f, p, f);
}
template <class V>
LEGATO_INLINE V log(V x) {
  auto s = split(x);
  return log_edges(x, fma(s.e, V(kLn2), log1p_near(s.f)));
}
template <class V>
LEGATO_INLINE V log2(V x) {
  constexpr float c = 0x1.715476p+0f, low = 0x1.4ae0c0p-26f;
  auto s = split(x);
  V high = s.f * V(c);
  V rest = fma(s.f, V(c), -high) + fma(s.f, V(low), log1p_rest(s.f) * V(c));
  return log_edges(x, (s.e + high) + (rest + ((s.e - (s.e + high)) + high)));
}
template <class V>
LEGATO_INLINE V log10(V x) {
  constexpr float c = 0x1.bcb7b2p-2f, low = -0x1.5b235ep-27f;  // log10(e)
  constexpr float two = 0x1.344000p-2f,
                  two_low = 0x1.3509f8p-18f;  // log10(2), exact when multiplied by e
  auto s = split(x);
  V high = s.f * V(c);
  V rest = fma(s.f, V(c), -high) + fma(s.f, V(low), log1p_rest(s.f) * V(c));
  V a = s.e * V(two);
  V sum = a + high;
  V lost = (a - sum) + high;
  return log_edges(x, sum + (rest + fma(s.e, V(two_low), lost)));
}
/// log(1 + x), 1 + x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)). f is x 2^-k - (1 - 2^-k), so
/// that what 1 + x rounds away is kept; where k is 0 it is x.
template <class V>
LEGATO_INLINE V log1p(V x) {
  using I = decltype(bits(x));
  V u = x + V(1.f);
  I k = (I(0x3fb504f2) - bits(u)) & I(-0x800000);  // -k in the place of an exponent
  I shrink = I(0x3f800000) + k;
  shrink = select(shrink > I(0), shrink, I(0));  // k = 128: 2^-k is as good as 0
  V f = from_bits(bits(x) + k) - (V(1.f) - from_bits(shrink));
  return log_edges(u, fma(to_float(k), V(-0x1p-23f * kLn2), log1p_near(f)));
}

// sin and cos. Beyond this the reduction in float32 loses bits and the lanes go through double
// (`rare`).
inline constexpr float kTrigLimit = 70000.f;
template <class V>
struct Reduced {
  V r;  // x - n pi/2, in [-pi/4, pi/4]
  decltype(bits(V())) n;
};
template <class V>
LEGATO_INLINE Reduced<V> reduce_trig(V x) {
  V n = rint(x * V(0x1.45f306p-1f));
  V r = fma(n, V(-0x1.921fb0p+0f), x);
  r = fma(n, V(-0x1.5110b4p-22f), r);
  r = fma(n, V(-0x1.84698ap-48f), r);
  return {r, to_int(n)};
}
template <class V>
LEGATO_INLINE V sin_poly(V r) {
  V t = r * r;
  V p = poly(t, 2.71812178e-06f, -0.000198393158f, 0.00833332911f, -0.166666672f);
  return fma(p * t, r, r);
}
template <class V>
LEGATO_INLINE V cos_poly(V r) {
  V t = r * r;
  V p = poly(t, 2.44366092e-05f, -0.00138873525f, 0.0416666456f);
  return fma(p, t * t, fma(t, V(-0.5f), V(1.f)));
}
struct SinSlow {
  LEGATO_INLINE float operator()(float x) const {
    return static_cast<float>(__builtin_sin(static_cast<double>(x)));
  }
};
struct CosSlow {
  LEGATO_INLINE float operator()(float x) const {
    return static_cast<float>(__builtin_cos(static_cast<double>(x)));
  }
};
struct TanSlow {
  LEGATO_INLINE float operator()(float x) const {
    return static_cast<float>(__builtin_tan(static_cast<double>(x)));
  }
};
// Not (|x| <= limit): nan too.
template <class V>
LEGATO_INLINE auto beyond_trig(V x) {
  return ~(abs(x) <= V(kTrigLimit));
}
template <class V>
LEGATO_INLINE V sin(V x) {
  auto [r, n] = reduce_trig(x);
  using I = decltype(n);
  V y = select((n & I(1)) == I(0), sin_poly(r), cos_poly(r));
  y = from_bits(bits(y) ^ ((n & I(2)) << 30));
  y = select(x == V(0.f), x, y);
  return rare(beyond_trig(x), y, SinSlow{}, x);
}
template <class V>
LEGATO_INLINE V cos(V x) {
  auto [r, n] = reduce_trig(x);
  using I = decltype(n);
  V y = select((n & I(1)) == I(0), cos_poly(r), sin_poly(r));
  y = from_bits(bits(y) ^ (((n + I(1)) & I(2)) << 30));
  return rare(beyond_trig(x), y, CosSlow{}, x);
}
template <class V>
LEGATO_INLINE V tan(V x) {
  auto [r, n] = reduce_trig(x);
  using I = decltype(n);
  V t = r * r;
  V p = poly(t, 0.00444205711f, -4.66789643e-05f, 0.0109459637f, 0.0212384313f, 0.054068692f,
             0.13332583f, 0.333333522f);
  V y = fma(p * t, r, r);
  y = select((n & I(1)) == I(0), y, V(-1.f) / y);
  y = select(x == V(0.f), x, y);
  return rare(beyond_trig(x), y, TanSlow{}, x);
}

/// arctan of z in [0, 1]
template <class V>
LEGATO_INLINE V atan_unit(V z) {
  V t = z * z;
  V p = poly(t, -0.00182718469f, 0.0110643152f, -0.0314554684f, 0.0582343191f, -0.084194459f,
             0.109575719f, -0.142652452f, 0.199986383f, -0.333333015f);
  return fma(p * t, z, z);
}
template <class V>
LEGATO_INLINE V arctan(V x) {
  V a = abs(x);
  auto steep = a > V(1.f);
  V p = atan_unit(select(steep, V(1.f) / a, a));
  p = select(steep, V(kPiOver2) - (p - V(kPiOver2Low)), p);
  return copysign(p, x);
}
template <class V>
LEGATO_INLINE V arctan2(V y, V x) {
  V ax = abs(x), ay = abs(y);
  auto steep = ay > ax;
  V num = select(steep, ax, ay), den = select(steep, ay, ax);
  V z = num / den;
  z = select(den == V(0.f), V(0.f), z);   // arctan2(0, 0)
  z = select(num == V(kInf), V(1.f), z);  // both infinite
  V p = atan_unit(z);
  p = select(steep, V(kPiOver2) - (p - V(kPiOver2Low)), p);
  p = select(bits(x) < decltype(bits(x))(0), V(kPi) - (p - V(kPiLow)), p);
  p = copysign(p, y);
  return select(x != x, x, select(y != y, y, p));
}

/// arcsin(s) for s in [0, 1/2], z = s*s
template <class V>
LEGATO_INLINE V asin_half(V s, V z) {
  V p = poly(z, 0.0375651866f, 0.0144026149f, 0.0318176076f, 0.0445157215f, 0.0750051066f,
             0.166666597f);
  return fma(p * z, s, s);
}
template <class V>
LEGATO_INLINE V arcsin(V x) {
  V a = abs(x);
  auto outer = a > V(0.5f);
  V z = select(outer, fma(a, V(-0.5f), V(0.5f)), a * a);
  V p = asin_half(select(outer, sqrt(z), a), z);
  p = select(outer, V(kPiOver2) - fma(p, V(2.f), V(-kPiOver2Low)), p);
  return copysign(p, x);
}
template <class V>
LEGATO_INLINE V arccos(V x) {
  V a = abs(x);
  auto outer = a > V(0.5f);
  auto left = x < V(0.f);
  V z = select(outer, fma(a, V(-0.5f), V(0.5f)), a * a);
  V p = asin_half(select(outer, sqrt(z), a), z);
  V inner = V(kPiOver2) - (copysign(p, x) - V(kPiOver2Low));
  V twice = p + p;
  V edge = select(left, V(kPi) - (twice - V(kPiLow)), twice);
  return select(outer, edge, inner);
}

template <class V>
LEGATO_INLINE V sinh(V x) {
  V a = abs(x), t = x * x;
  V p = poly(t, 2.81743974e-06f, 0.000198360663f, 0.00833335053f, 0.166666672f);
  V near = fma(p * t, x, x);
  V h = exp(a, -1);
  V far = copysign(h - V(0.25f) / h, x);
  return select(a < V(1.f), near, far);
}
template <class V>
LEGATO_INLINE V cosh(V x) {
  V h = exp(abs(x), -1);
  return h + V(0.25f) / h;
}
/// h / (h + 1) with h = (e^(2|x|) - 1) / 2 = 2^n p + (2^n - 1) / 2, which keeps small x exact:
/// within 2.6 ULP (all floats tried, lab/pointwise). No low part of log(2): where n is not 0, tanh
/// is flat enough.
template <class V>
LEGATO_INLINE V tanh(V x) {
  V a = at_most(abs(x), V(10.f));
  V n = rint(a * V(0x1.715476p+1f));
  V r = fma(n, V(-0.5f * kLn2), a);
  V p = poly(r, 0.0446290523f, 0.133866549f, 0.333330244f, 0.66666168f, 1.f);
  p = fma(p, r * r, r);
  V s = pow2<V>(to_int(n));
  V h = fma(p, s, fma(s, V(0.5f), V(-0.5f)));
  return copysign(divide_normal(h, h + V(1.f)), x);
}
template <class V>
LEGATO_INLINE V arcsinh(V x) {
  V a = abs(x);
  auto far = a > V(0x1p40f);
  V t = select(far, V(1.f), a);
  V u = fma(t, t / (V(1.f) + sqrt(fma(t, t, V(1.f)))), t);  // e^y - 1
  V y = log1p(select(far, a, u));
  y = select(far, y + V(kLn2), y);
  return copysign(y, x);
}
template <class V>
LEGATO_INLINE V arccosh(V x) {
  auto far = x > V(0x1p40f);
  V t = select(far, V(1.f), x) - V(1.f);
  V u = t + sqrt(fma(t, t, t + t));
  V y = log1p(select(far, x, u));
  return select(x < V(1.f), V(kNan), select(far, y + V(kLn2), y));
}
template <class V>
LEGATO_INLINE V arctanh(V x) {
  V a = abs(x);
  V y = V(0.5f) * log1p((a + a) / (V(1.f) - a));
  y = select(a < V(0x1p-13f), a, y);  // the next term is below 2^-27 of it
  return copysign(y, x);
}

template <class V>
LEGATO_INLINE V erf(V x) {
  V a = abs(x), t = x * x;
  V p = poly(t, 8.29282653e-05f, -0.000812489365f, 0.00519951805f, -0.0268588178f, 0.11283686f,
             -0.376126319f, 0.128379166f);
  V near = fma(p, x, x);
  V b = at_most(a, V(4.f));
  V q = poly(b, 4.63920696e-06f, -4.19459648e-05f, -6.80688318e-05f, 0.00298110698f, -0.0227564145f,
             0.10534057f, 0.635585248f, 1.12856042f);
  V far = copysign(V(1.f) - exp(-(q * b)), x);
  return select(a < V(0.93f), near, far);
}
template <class V>
LEGATO_INLINE V erfinv(V x) {
  V a = abs(x);
  V w = -log((V(1.f) - a) * (V(1.f) + a));
  w = select(a < V(0.25f), -log1p(-(x * x)), w);
  V t = w - V(2.5f);
  V p = poly(t, 4.04623612e-10f, -8.74874129e-09f, 1.69627636e-08f, 4.65553967e-07f,
             -3.42877092e-06f, -4.96032999e-06f, 0.000218269692f, -0.00125274737f, -0.0041773296f,
             0.246640295f, 1.50140941f);
  V s = sqrt(w) - V(3.f);
  V q =
      poly(s, 9.36745928e-05f, -0.000281783665f, -3.04070782e-05f, 0.00144997588f, -0.00360837346f,
           0.00570090488f, -0.00763536105f, 0.00944353268f, 1.00167489f, 2.83297682f);
  V y = x * select(w < V(5.f), p, q);
  return select(a == V(1.f), copysign(V(kInf), x), y);
}

template <class V>
LEGATO_INLINE V sigmoid(V x) {
  V e = exp(-abs(x));
  return divide_normal(select(x < V(0.f), e, V(1.f)), V(1.f) + e);
}

struct PowSlow {
  LEGATO_INLINE float operator()(float x, float y) const {
    return static_cast<float>(__builtin_pow(static_cast<double>(x), static_cast<double>(y)));
  }
};
/// x^y as 2^(y log2 |x|), the logarithm in two floats.
template <class V>
LEGATO_INLINE V power(V x, V y) {
  V a = abs(x);
  auto [e, f] = split(a);
  // log(1 + f) = log((1 + s) / (1 - s)) with s = f / (2 + f), s in two floats
  V d = f + V(2.f);
  V s = f / d;
  V s_low = fma(-s, d, f);                       // f - s d, exact
  s_low = fma(-s, f - (d - V(2.f)), s_low) / d;  // and d's own rounding error
  V t = s * s;
  V p = poly(t, 0.235899925f, 0.285369188f, 0.400003403f, 0.666666627f) * t * s;
  V high = s + s, low = fma(s_low, V(2.f), p);
  V sum = high + low;
  low = (high - sum) + low;
  // times log2(e), plus e
  constexpr float c = 0x1.715476p+0f, c_low = 0x1.4ae0c0p-26f;
  V g = sum * V(c);
  V g_low = fma(sum, V(c), -g) + fma(sum, V(c_low), low * V(c));
  V l = e + g;
  V l_low = ((e - l) + g) + g_low;
  // times y
  V z = l * y;
  V z_low = fma(l, y, -z) + l_low * y;
  z = at_most(at_least(z, V(-200.f)), V(200.f));
  z_low = select(abs(z) < V(200.f), z_low, V(0.f));
  V n = rint(z);
  V r = (z - n) + z_low;
  V q = poly(r, 1.53149467e-05f, 0.000154671099f, 0.0013333431f, 0.00961803645f, 0.0555041097f,
             0.240226507f, 0.693147182f);
  V result = scale_by(fma(q, r, V(1.f)), n);
  // A negative base: the sign of an odd power, nan for what is no integer.
  V half = y * V(0.5f);
  auto whole = rint(y) == y;
  auto odd = whole & (rint(half) != half);
  auto negative = x < V(0.f);
  result = select(negative & odd, -result, result);
  result = select(negative & ~whole, V(kNan), result);
  result = select((y == V(0.f)) | (x == V(1.f)), V(1.f), result);
  // Zeros, infinities, nans and huge exponents.
  auto odd_ones = ~((a > V(0.f)) & (a < V(kInf)) & (abs(y) < V(0x1p31f)));
  return rare(odd_ones, result, PowSlow{}, x, y);
}

template <class V>
LEGATO_INLINE V hypot(V a, V b) {
  V x = abs(a), y = abs(b);
  V big = select(x > y, x, y);
  V k = select(big > V(0x1p60f), V(0x1p-80f), select(big < V(0x1p-50f), V(0x1p70f), V(1.f)));
  V back = select(big > V(0x1p60f), V(0x1p80f), select(big < V(0x1p-50f), V(0x1p-70f), V(1.f)));
  x = x * k;
  y = y * k;
  V r = sqrt(fma(x, x, y * y)) * back;
  return select((abs(a) == V(kInf)) | (abs(b) == V(kInf)), V(kInf), r);
}

}  // namespace math
}  // namespace LEGATO_LEVEL
}  // namespace legato::pointwise
