// Lane<T> for CUDA: what fuse/lane.h is for the host, so that the scalar language
// (ops/pointwise/scalar_*.h) becomes GPU code unchanged: in kernels that are compiled ahead of
// time, and in generated programs that hold complex values or call a function out of line.
#pragma once

#include "legato/backends/cuda/element.cuh"

#if !defined(LEGATO_EMULATED) && defined(__CUDACC_RTC__)
namespace std {
template <class A, class B>
inline constexpr bool is_same_v = false;
template <class A>
inline constexpr bool is_same_v<A, A> = true;
template <bool c, class A, class B>
struct conditional {
  using type = A;
};
template <class A, class B>
struct conditional<false, A, B> {
  using type = B;
};
template <bool c, class A, class B>
using conditional_t = typename conditional<c, A, B>::type;
template <class T>
inline constexpr bool is_floating_point_v = is_same_v<T, float> || is_same_v<T, double>;
template <class T>
inline constexpr bool is_integral_v =
    is_same_v<T, bool> || is_same_v<T, int8_t> || is_same_v<T, int16_t> || is_same_v<T, int32_t> ||
    is_same_v<T, int64_t> || is_same_v<T, uint8_t> || is_same_v<T, uint16_t> ||
    is_same_v<T, uint32_t> || is_same_v<T, uint64_t>;
template <class T>
inline constexpr bool is_arithmetic_v = is_integral_v<T> || is_floating_point_v<T>;
template <class T>
inline constexpr bool is_signed_v =
    is_floating_point_v<T> || is_same_v<T, int8_t> || is_same_v<T, int16_t> ||
    is_same_v<T, int32_t> || is_same_v<T, int64_t>;
}  // namespace std
#endif

namespace legato {

template <class T>
struct alignas(2 * sizeof(T)) Complex {
  T re, im;
};
using c64 = Complex<float>;
using c128 = Complex<double>;

namespace pointwise {
inline namespace device {

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

struct LaneMask {
  bool value;
  friend LEGATO_INLINE LaneMask operator&(LaneMask a, LaneMask b) { return {a.value && b.value}; }
  friend LEGATO_INLINE LaneMask operator|(LaneMask a, LaneMask b) { return {a.value || b.value}; }
  friend LEGATO_INLINE LaneMask operator^(LaneMask a, LaneMask b) { return {a.value != b.value}; }
  friend LEGATO_INLINE LaneMask operator~(LaneMask a) { return {!a.value}; }
};

template <class T>
struct Lane {
  using Elem = T;
  using MaskType = LaneMask;
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
  friend LEGATO_INLINE Lane operator<<(Lane a, int n) { return wrap(a.wide() << n); }
  friend LEGATO_INLINE Lane operator>>(Lane a, int n) { return Lane(static_cast<T>(a.value >> n)); }
};

template <class T>
LEGATO_INLINE Lane<T> select(LaneMask m, Lane<T> a, Lane<T> b) {
  return m.value ? a : b;
}

LEGATO_INLINE Lane<float> fma(Lane<float> a, Lane<float> b, Lane<float> c) {
  return Lane<float>(::fmaf(a.value, b.value, c.value));
}
LEGATO_INLINE Lane<double> fma(Lane<double> a, Lane<double> b, Lane<double> c) {
  return Lane<double>(::fma(a.value, b.value, c.value));
}
#define LEGATO_LANE_UNARY(name, function)                                                       \
  LEGATO_INLINE Lane<float> name(Lane<float> x) { return Lane<float>(::function##f(x.value)); } \
  LEGATO_INLINE Lane<double> name(Lane<double> x) { return Lane<double>(::function(x.value)); }
LEGATO_LANE_UNARY(sqrt, sqrt)
LEGATO_LANE_UNARY(floor, floor)
LEGATO_LANE_UNARY(ceil, ceil)
LEGATO_LANE_UNARY(trunc, trunc)
LEGATO_LANE_UNARY(rint, nearbyint)
#undef LEGATO_LANE_UNARY

template <class T>
LEGATO_INLINE Lane<int_of<T>> bits(Lane<T> x) {
  return Lane<int_of<T>>(__builtin_bit_cast(int_of<T>, x.value));
}
LEGATO_INLINE Lane<float> from_bits(Lane<int32_t> x) {
  return Lane<float>(__builtin_bit_cast(float, x.value));
}
LEGATO_INLINE Lane<double> from_bits(Lane<int64_t> x) {
  return Lane<double>(__builtin_bit_cast(double, x.value));
}
LEGATO_INLINE Lane<int32_t> to_int(Lane<float> x) {
  return Lane<int32_t>(x.value > -0x1p31f && x.value < 0x1p31f ? static_cast<int32_t>(x.value)
                                                               : INT32_MIN);
}
LEGATO_INLINE Lane<int64_t> to_int(Lane<double> x) {
  return Lane<int64_t>(x.value > -0x1p63 && x.value < 0x1p63 ? static_cast<int64_t>(x.value)
                                                             : INT64_MIN);
}
LEGATO_INLINE Lane<float> to_float(Lane<int32_t> x) {
  return Lane<float>(static_cast<float>(x.value));
}
LEGATO_INLINE Lane<double> to_float(Lane<int64_t> x) {
  return Lane<double>(static_cast<double>(x.value));
}

template <class F, class T, class... A>
LEGATO_INLINE Lane<T> rare(LaneMask m, Lane<T> value, F f, A... args) {
  if (m.value) return Lane<T>(static_cast<T>(f(args.value...)));
  return value;
}
template <class F, class T, class... A>
LEGATO_INLINE Lane<T> call(F f, Lane<T> x, A... args) {
  return Lane<T>(static_cast<T>(f(x.value, args.value...)));
}

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

using TypeSet = uint32_t;
inline constexpr TypeSet kBool = 1, kUnsigned = 2, kSigned = 4, kF32 = 8, kF64 = 16, kComplex = 32;
inline constexpr TypeSet kFloat = kF32 | kF64, kInt = kUnsigned | kSigned, kIntegral = kInt | kBool;
inline constexpr TypeSet kReal = kIntegral | kFloat, kInexact = kFloat | kComplex,
                         kNumeric = kReal | kComplex;

template <int n>
struct Function {
  static constexpr int arity = n;
  static constexpr TypeSet lanewise = 0;
  static constexpr bool heavy = true;
};

}  // namespace device
}  // namespace pointwise

// --- registers: half types are float32 there, bool is a byte, a complex value two numbers ---

template <class T>
struct RegisterOf {
  using type = pointwise::Lane<T>;
};
template <>
struct RegisterOf<f16> {
  using type = pointwise::Lane<float>;
};
template <>
struct RegisterOf<bf16> {
  using type = pointwise::Lane<float>;
};
template <class T>
struct RegisterOf<Complex<T>> {
  using type = pointwise::Cx<pointwise::Lane<T>>;
};
/// The register of a value that is stored as T.
template <class T>
using Reg = typename RegisterOf<T>::type;

template <class T>
LEGATO_INLINE Reg<T> load(T v) {
  if constexpr (std::is_same_v<T, f16> || std::is_same_v<T, bf16>)
    return Reg<T>(to_float(v));
  else if constexpr (std::is_same_v<T, c64> || std::is_same_v<T, c128>)
    return {v.re, v.im};
  else
    return Reg<T>(v);
}
template <class T>
LEGATO_INLINE T store(Reg<T> r) {
  if constexpr (std::is_same_v<T, f16>)
    return to_f16(r.value);
  else if constexpr (std::is_same_v<T, bf16>)
    return to_bf16(r.value);
  else if constexpr (std::is_same_v<T, c64> || std::is_same_v<T, c128>)
    return {r.re.value, r.im.value};
  else
    return r.value;
}

/// Numbers: truncate, wrap to the width; nan and what exceeds 64 bits give 0.
template <class T, class S>
LEGATO_INLINE T convert(S s) {
  if constexpr (std::is_same_v<T, S>) {
    return s;
  } else if constexpr (std::is_same_v<T, bool>) {
    return s != S(0);
  } else if constexpr (std::is_integral_v<T> && std::is_floating_point_v<S>) {
    if constexpr (std::is_same_v<T, uint64_t>)
      if (s >= S(0x1p63) && s < S(0x1p64)) return static_cast<uint64_t>(s);
    return s >= S(-0x1p63) && s < S(0x1p63) ? static_cast<T>(static_cast<int64_t>(s)) : T(0);
  } else {
    return static_cast<T>(s);
  }
}

/// A register as one of a value that is stored as T, unrounded.
template <class T, class S>
LEGATO_INLINE Reg<T> as(pointwise::Lane<S> x) {
  if constexpr (std::is_same_v<T, c64>)
    return {convert<float>(x.value), 0.f};
  else if constexpr (std::is_same_v<T, c128>)
    return {convert<double>(x.value), 0.0};
  else
    return Reg<T>(convert<typename Reg<T>::Elem>(x.value));
}
template <class T>
LEGATO_INLINE Reg<T> as(pointwise::LaneMask m) {
  return as<T>(pointwise::Lane<bool>(m.value));
}
template <class T, class V>
LEGATO_INLINE Reg<T> as(pointwise::Cx<V> z) {
  if constexpr (std::is_same_v<T, c64>)
    return {static_cast<float>(z.re.value), static_cast<float>(z.im.value)};
  else if constexpr (std::is_same_v<T, c128>)
    return {static_cast<double>(z.re.value), static_cast<double>(z.im.value)};
  else if constexpr (std::is_same_v<T, bool>)
    return pointwise::Lane<bool>(z.re.value != 0 || z.im.value != 0);
  else
    return as<T>(z.re);
}
LEGATO_INLINE pointwise::LaneMask as_mask(pointwise::Lane<bool> x) { return {x.value}; }
/// As `as`, and rounded to what T holds.
template <class T, class R>
LEGATO_INLINE Reg<T> cast(R x) {
  return load<T>(store<T>(as<T>(x)));
}

/// n elements that are moved at once: by one instruction up to 16 bytes.
template <class T, int n>
struct alignas(sizeof(T) * n > 16 ? 16 : sizeof(T) * n) Pack {
  T at[n];
};
template <class T, int n>
LEGATO_INLINE Pack<T, n> load_pack(const T* from) {
#ifndef LEGATO_EMULATED
  if constexpr (sizeof(T) * n == 16)
    return __builtin_bit_cast(Pack<T, n>, *reinterpret_cast<const uint4*>(from));
  else if constexpr (sizeof(T) * n == 8)
    return __builtin_bit_cast(Pack<T, n>, *reinterpret_cast<const uint2*>(from));
  else if constexpr (sizeof(T) * n == 4)
    return __builtin_bit_cast(Pack<T, n>, *reinterpret_cast<const uint32_t*>(from));
#endif
  return *reinterpret_cast<const Pack<T, n>*>(from);
}
template <class T, int n>
LEGATO_INLINE void store_pack(T* to, const Pack<T, n>& v) {
#ifndef LEGATO_EMULATED
  if constexpr (sizeof(T) * n == 16) {
    *reinterpret_cast<uint4*>(to) = __builtin_bit_cast(uint4, v);
    return;
  } else if constexpr (sizeof(T) * n == 8) {
    *reinterpret_cast<uint2*>(to) = __builtin_bit_cast(uint2, v);
    return;
  } else if constexpr (sizeof(T) * n == 4) {
    *reinterpret_cast<uint32_t*>(to) = __builtin_bit_cast(uint32_t, v);
    return;
  }
#endif
  *reinterpret_cast<Pack<T, n>*>(to) = v;
}

}  // namespace legato
