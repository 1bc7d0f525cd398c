// Functions whose result is a half, for machines that approximate: the functions of scalar.h that
// are long in float32, written on the approximations of fuse/lane.h.
//
// Note [Functions of halves]: a half holds 11 bits (bfloat16 8), and a GPU that moves 4 bytes an
// element has time for some 38 instructions; an exponential that is right to 24 bits takes 24 of
// them, one that is right to 20 takes three. Each function here is right to 2^-17 of its result
// before that is rounded, so that what is stored is within 0.51 of the distance of two halves
// (tests/cpp/test_scalar_half.cpp tries all of them). Registers keep results unrounded, so two more
// things hold: what is exact in float32 (quotients, powers of two, saturated results) is exact
// here, for floor and casts to integers behind it; and erf keeps 1 - |erf| to 2^-14 of itself,
// because gelu adds 1 to it.
#pragma once

#include "legato/ops/pointwise/scalar.h"

namespace legato::pointwise {
inline namespace LEGATO_LEVEL {

/// What F is for results that are halves; `exists`: whether that is anything else than F itself.
template <class F>
struct HalfForm {
  static constexpr bool exists = false;
};
/// The same for float16 alone, where its smaller range allows more: bfloat16's is that of float32.
template <class F>
struct Float16Form : HalfForm<F> {
  static constexpr bool is_own = false;
};

namespace half_math {

inline constexpr float kLog2e = 0x1.715476p+0f;

/// The square of e^(x / 2): results below 2^-126 are right, which 2^x by one instruction loses.
template <class V>
LEGATO_INLINE V exp(V x) {
  V root = exp2_near(x * V(0.5f * kLog2e));
  return root * root;
}
template <class V>
LEGATO_INLINE V expm1(V x) {
  V near = math::poly(x, 0.00837357529f, 0.0418787897f, 0.16666472f, 0.499993563f, 1.f) * x;
  return select(math::abs(x) < V(0.35f), near, half_math::exp(x) - V(1.f));
}
/// log(1 + f) near 0, where the logarithm to base 2 is not right to enough bits.
template <class V>
LEGATO_INLINE V log_near(V f) {
  return fma(f * f, math::poly(f, 0.207878232f, -0.256827116f, 0.333231926f, -0.499946117f), f);
}
template <class V>
LEGATO_INLINE auto is_near(V f) {
  return math::abs(f) < V(0.18f);
}
/// log(u), u = 1 + f, where f is the more exact of the two near 0.
template <class V>
LEGATO_INLINE V log(V u, V f) {
  return select(is_near(f), log_near(f), log2_near(u) * V(math::kLn2));
}
/// Of what float16 holds: log2_near is exact for powers of two that are not below 1.
template <class V>
LEGATO_INLINE V log2(V x) {
  V f = x - V(1.f);
  return select(is_near(f), log_near(f) * V(kLog2e), log2_near(x * V(0x1p24f)) - V(24.f));
}
template <class V>
LEGATO_INLINE V sigmoid(V x) {
  V e = half_math::exp(-math::abs(x));
  return select(x < V(0.f), e, V(1.f)) * reciprocal_near16(e + V(1.f));
}
template <class V>
LEGATO_INLINE V tanh(V x) {
  V t = x * x, a = math::abs(x);
  V near = math::poly(t, -0.044789467f, 0.132067144f, -0.33328265f, 1.f) * x;
  V e = exp2_near(a * V(2 * kLog2e));
  V far = fma(reciprocal_near16(e + V(1.f)), V(-2.f), V(1.f));
  return select(a < V(0.5f), near, math::copysign(far, x));
}
template <class V>
LEGATO_INLINE V erf(V x) {
  V t = x * x, a = math::abs(x);
  V near = math::poly(t, -0.0222486332f, 0.111462921f, -0.375992179f, 1.12837708f) * x;
  V b = math::at_most(a, V(4.f));
  V q = math::poly(b, -0.000199407819f, 0.00362667348f, -0.0294624306f, 0.145976871f, 0.921653092f,
                   1.62682712f);
  V far = V(1.f) - exp2_near(-(q * b));
  return select(a < V(0.7f), near, math::copysign(far, x));
}

}  // namespace half_math

#define LEGATO_HALF_FORM(Name, ...)      \
  template <>                            \
  struct HalfForm<Name> {                \
    static constexpr bool exists = true; \
    template <class V>                   \
    static LEGATO_INLINE V apply(V x) {  \
      return __VA_ARGS__;                \
    }                                    \
  };
#define LEGATO_FLOAT16_FORM(Name, ...)                  \
  template <>                                           \
  struct Float16Form<Name> {                            \
    static constexpr bool exists = true, is_own = true; \
    template <class V>                                  \
    static LEGATO_INLINE V apply(V x) {                 \
      return __VA_ARGS__;                               \
    }                                                   \
  };
LEGATO_HALF_FORM(Exp, half_math::exp(x))
LEGATO_FLOAT16_FORM(Exp2, exp2_near(x))
LEGATO_HALF_FORM(Expm1, half_math::expm1(x))
LEGATO_HALF_FORM(Log, half_math::log(x, x - V(1.f)))
LEGATO_FLOAT16_FORM(Log2, half_math::log2(x))
LEGATO_HALF_FORM(Log10, half_math::log(x, x - V(1.f)) * V(0x1.bcb7b2p-2f))
LEGATO_HALF_FORM(Log1p, half_math::log(x + V(1.f), x))
LEGATO_HALF_FORM(Sigmoid, half_math::sigmoid(x))
LEGATO_HALF_FORM(Tanh, half_math::tanh(x))
LEGATO_HALF_FORM(Erf, half_math::erf(x))
LEGATO_HALF_FORM(Rsqrt, rsqrt_near(x))
LEGATO_HALF_FORM(Reciprocal, divide_near(V(1.f), x))
LEGATO_FLOAT16_FORM(Reciprocal, reciprocal_near16(x))
#undef LEGATO_HALF_FORM
#undef LEGATO_FLOAT16_FORM
template <>
struct HalfForm<Divide> {
  static constexpr bool exists = true;
  template <class V>
  static LEGATO_INLINE V apply(V a, V b) {
    return divide_near(a, b);
  }
};
template <>
struct Float16Form<Divide> {
  static constexpr bool exists = true, is_own = true;
  template <class V>
  static LEGATO_INLINE V apply(V a, V b) {
    return divide_near16(a, b);
  }
};

}  // namespace LEGATO_LEVEL
}  // namespace legato::pointwise
