// Lane<T>: the value type of the scalar language that is one plain number. The functions of
// scalar_*.h are generic over the value type V: Lane<T> here, cpu::Vec<T> in backends/cpu/simd.h.
// Every V offers
//   + - * / unary -  < <= > >= == !=  (comparisons give a mask)   & | ^ ~ << >> on integers
//   select(mask, a, b)  fma  sqrt  floor  ceil  trunc  rint  bits  from_bits  to_int  to_float
//   rare(mask, value, f, args...)   lanes of `value` where mask is set become f(args...), called
//   lane by lane call(f, args...)                f(args...) lane by lane
// Integers wrap; no operation has undefined behaviour. Everything stands in a namespace of its
// vector level, because the same template compiled for two levels must not share a symbol.
#pragma once

#include <cstdint>
#include <type_traits>

#ifndef LEGATO_LEVEL
#define LEGATO_LEVEL plain
#endif
#define LEGATO_INLINE inline __attribute__((always_inline))

namespace legato::pointwise {
inline namespace LEGATO_LEVEL {

template <int bytes>
struct IntOfBytes;
template <>
struct IntOfBytes<1> {
  using type = int8_t;
};
template <>
struct IntOfBytes<2> {
  using type = int16_t;
};
template <>
struct IntOfBytes<4> {
  using type = int32_t;
};
template <>
struct IntOfBytes<8> {
  using type = int64_t;
};
template <class T>
using int_of = typename IntOfBytes<sizeof(T)>::type;

/// A comparison's result for one lane.
struct LaneMask {
  bool value;
  friend LEGATO_INLINE LaneMask operator&(LaneMask a, LaneMask b) {
    return {static_cast<bool>(a.value & b.value)};
  }
  friend LEGATO_INLINE LaneMask operator|(LaneMask a, LaneMask b) {
    return {static_cast<bool>(a.value | b.value)};
  }
  friend LEGATO_INLINE LaneMask operator^(LaneMask a, LaneMask b) { return {a.value != b.value}; }
  friend LEGATO_INLINE LaneMask operator~(LaneMask a) { return {!a.value}; }
};

template <class T>
struct Lane {
  using Elem = T;
  using MaskType = LaneMask;
  // The type in which integers are computed without overflow being undefined.
  using Wide = std::conditional_t<std::is_floating_point_v<T>, T,
                                  std::conditional_t<(sizeof(T) < 8), uint32_t, uint64_t>>;
  T value;

  Lane() = default;
  LEGATO_INLINE Lane(T v) : value(v) {}
  static LEGATO_INLINE Lane wrap(Wide w) {
    if constexpr (std::is_same_v<T, bool>)
      return Lane(w != 0);
    else
      return Lane(static_cast<T>(w));
  }
  LEGATO_INLINE Wide wide() const { return static_cast<Wide>(value); }

  friend LEGATO_INLINE Lane operator+(Lane a, Lane b) { return wrap(a.wide() + b.wide()); }
  friend LEGATO_INLINE Lane operator-(Lane a, Lane b) { return wrap(a.wide() - b.wide()); }
  friend LEGATO_INLINE Lane operator*(Lane a, Lane b) { return wrap(a.wide() * b.wide()); }
  friend LEGATO_INLINE Lane operator/(Lane a, Lane b) {
    static_assert(std::is_floating_point_v<T>, "integers divide by FloorDivide");
    return Lane(a.value / b.value);
  }
  friend LEGATO_INLINE Lane operator-(Lane a) {
    if constexpr (std::is_floating_point_v<T>)
      return Lane(-a.value);
    else
      return wrap(Wide{0} - a.wide());
  }
  friend LEGATO_INLINE LaneMask operator<(Lane a, Lane b) { return {a.value < b.value}; }
  friend LEGATO_INLINE LaneMask operator<=(Lane a, Lane b) { return {a.value <= b.value}; }
  friend LEGATO_INLINE LaneMask operator>(Lane a, Lane b) { return {a.value > b.value}; }
  friend LEGATO_INLINE LaneMask operator>=(Lane a, Lane b) { return {a.value >= b.value}; }
  friend LEGATO_INLINE LaneMask operator==(Lane a, Lane b) { return {a.value == b.value}; }
  friend LEGATO_INLINE LaneMask operator!=(Lane a, Lane b) { return {a.value != b.value}; }
  friend LEGATO_INLINE Lane operator&(Lane a, Lane b) {
    return Lane(static_cast<T>(a.value & b.value));
  }
  friend LEGATO_INLINE Lane operator|(Lane a, Lane b) {
    return Lane(static_cast<T>(a.value | b.value));
  }
  friend LEGATO_INLINE Lane operator^(Lane a, Lane b) {
    return Lane(static_cast<T>(a.value ^ b.value));
  }
  friend LEGATO_INLINE Lane operator~(Lane a) {
    if constexpr (std::is_same_v<T, bool>)
      return Lane(!a.value);
    else
      return Lane(static_cast<T>(~a.value));
  }
  // Counts are constants in [0, width).
  friend LEGATO_INLINE Lane operator<<(Lane a, int n) { return wrap(a.wide() << n); }
  friend LEGATO_INLINE Lane operator>>(Lane a, int n) { return Lane(static_cast<T>(a.value >> n)); }
};

template <class T>
LEGATO_INLINE Lane<T> select(LaneMask m, Lane<T> a, Lane<T> b) {
  return m.value ? a : b;
}

LEGATO_INLINE Lane<float> fma(Lane<float> a, Lane<float> b, Lane<float> c) {
  return __builtin_fmaf(a.value, b.value, c.value);
}
LEGATO_INLINE Lane<double> fma(Lane<double> a, Lane<double> b, Lane<double> c) {
  return __builtin_fma(a.value, b.value, c.value);
}
/// a / b where a, b and the quotient are normal numbers far from both ends of the range, or b is 1
/// or nan: a GPU need not look for what its short division does not take.
template <class T>
LEGATO_INLINE Lane<T> divide_normal(Lane<T> a, Lane<T> b) {
  return a / b;
}
// What a GPU approximates by one instruction or few, to 2^-20 of the result or better (the
// logarithm to 2^-21 of 1 where it is smaller than that), and exactly where the result is a power
// of two or, of exp2, log2 and a quotient, a whole number. Infinities and nan are as they should
// be. Only functions of halves are made of them (ops/pointwise/scalar_half.h). Here they are exact.
/// 2^x; 0 instead of what is below 2^-126.
LEGATO_INLINE Lane<float> exp2_near(Lane<float> x) { return __builtin_exp2f(x.value); }
LEGATO_INLINE Lane<float> log2_near(Lane<float> x) { return __builtin_log2f(x.value); }
LEGATO_INLINE Lane<float> rsqrt_near(Lane<float> x) { return 1 / __builtin_sqrtf(x.value); }
LEGATO_INLINE Lane<float> divide_near(Lane<float> a, Lane<float> b) { return a / b; }
/// For what float16 holds: a divisor below 2^-126 may count as 0, one above 2^126 as infinite.
LEGATO_INLINE Lane<float> divide_near16(Lane<float> a, Lane<float> b) { return a / b; }
LEGATO_INLINE Lane<float> reciprocal_near16(Lane<float> x) { return 1 / x.value; }
#define LEGATO_LANE_UNARY(name, builtin)                                                    \
  LEGATO_INLINE Lane<float> name(Lane<float> x) { return __builtin_##builtin##f(x.value); } \
  LEGATO_INLINE Lane<double> name(Lane<double> x) { return __builtin_##builtin(x.value); }
LEGATO_LANE_UNARY(sqrt, sqrt)
LEGATO_LANE_UNARY(floor, floor)
LEGATO_LANE_UNARY(ceil, ceil)
LEGATO_LANE_UNARY(trunc, trunc)
LEGATO_LANE_UNARY(rint, nearbyint)
#undef LEGATO_LANE_UNARY

/// The bits of a float as an integer of its width, and back.
template <class T>
LEGATO_INLINE Lane<int_of<T>> bits(Lane<T> x) {
  return __builtin_bit_cast(int_of<T>, x.value);
}
LEGATO_INLINE Lane<float> from_bits(Lane<int32_t> x) { return __builtin_bit_cast(float, x.value); }
LEGATO_INLINE Lane<double> from_bits(Lane<int64_t> x) {
  return __builtin_bit_cast(double, x.value);
}
/// Truncates; any integer for what does not fit.
LEGATO_INLINE Lane<int32_t> to_int(Lane<float> x) {
  return x.value > -0x1p31f && x.value < 0x1p31f ? static_cast<int32_t>(x.value) : INT32_MIN;
}
LEGATO_INLINE Lane<int64_t> to_int(Lane<double> x) {
  return x.value > -0x1p63 && x.value < 0x1p63 ? static_cast<int64_t>(x.value) : INT64_MIN;
}
LEGATO_INLINE Lane<float> to_float(Lane<int32_t> x) { return static_cast<float>(x.value); }
LEGATO_INLINE Lane<double> to_float(Lane<int64_t> x) { return static_cast<double>(x.value); }

template <class F, class T, class... A>
LEGATO_INLINE Lane<T> rare(LaneMask m, Lane<T> value, F f, A... args) {
  if (__builtin_expect(m.value, 0)) return Lane<T>(f(args.value...));
  return value;
}
template <class F, class T, class... A>
LEGATO_INLINE Lane<T> call(F f, Lane<T> x, A... args) {
  return Lane<T>(f(x.value, args.value...));
}

/// A complex value: two real ones.
template <class V>
struct Cx {
  using Elem = typename V::Elem;
  V re, im;
};

template <class V>
inline constexpr bool is_f32 = std::is_same_v<typename V::Elem, float>;
template <class V>
inline constexpr bool is_f64 = std::is_same_v<typename V::Elem, double>;
template <class V>
inline constexpr bool is_float = std::is_floating_point_v<typename V::Elem>;
template <class V>
inline constexpr bool is_bool = std::is_same_v<typename V::Elem, bool>;

/// Kinds of compute dtypes, as sets.
using TypeSet = uint32_t;
inline constexpr TypeSet kBool = 1, kUnsigned = 2, kSigned = 4, kF32 = 8, kF64 = 16, kComplex = 32;
inline constexpr TypeSet kFloat = kF32 | kF64, kInt = kUnsigned | kSigned, kIntegral = kInt | kBool;
inline constexpr TypeSet kReal = kIntegral | kFloat, kInexact = kFloat | kComplex,
                         kNumeric = kReal | kComplex;

/// What a function's struct inherits where it has nothing else to say.
template <int n>
struct Function {
  static constexpr int arity = n;
  static constexpr TypeSet lanewise =
      0;  // types for which it is computed lane by lane, so that vectors gain nothing
  static constexpr bool heavy = true;  // long enough that unrolling its loop gains nothing
};

}  // namespace LEGATO_LEVEL
}  // namespace legato::pointwise
