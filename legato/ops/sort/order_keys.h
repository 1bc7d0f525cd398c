// Unsigned integers in the order in which values sort: nan last, equal values equal.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

#include "legato/array/dtype.h"

namespace legato::cpu {

/// What to do with -0.0: keep it below 0.0, so that the value can be had back, or make them equal.
enum class Zeros { distinct, equal };

/// key() maps an element to its place in the order, value() maps it back (nan to some nan).
template <class T>
struct OrderKey;

template <class T>
  requires std::is_unsigned_v<T>
struct OrderKey<T> {
  using Key = std::conditional_t<std::is_same_v<T, bool>, uint8_t, T>;
  template <Zeros>
  static Key key(T x) {
    return static_cast<Key>(x);
  }
  static T value(Key k) { return static_cast<T>(k); }
};

template <class T>
  requires(std::is_signed_v<T> && std::is_integral_v<T>)
struct OrderKey<T> {
  using Key = std::make_unsigned_t<T>;
  static constexpr Key kTop = static_cast<Key>(Key{1} << (sizeof(Key) * 8 - 1));
  template <Zeros>
  static Key key(T x) {
    return static_cast<Key>(static_cast<Key>(x) ^ kTop);
  }
  static T value(Key k) { return static_cast<T>(k ^ kTop); }
};

/// Floats: negative ones turn over; nan becomes the largest key.
template <class U>
struct FloatOrder {
  static constexpr U kTop = static_cast<U>(U{1} << (sizeof(U) * 8 - 1));
  static U key(U bits, U infinity, Zeros zeros) {
    const U magnitude = static_cast<U>(bits & ~kTop);
    if (magnitude > infinity) return static_cast<U>(~U{0});
    if (zeros == Zeros::equal && magnitude == 0) return kTop;
    return static_cast<U>(bits & kTop ? ~bits : bits | kTop);
  }
  static U bits(U k, U nan) {
    if (k == static_cast<U>(~U{0})) return nan;
    return static_cast<U>(k & kTop ? k & ~kTop : ~k);
  }
};
template <class T, class U, U infinity, U nan>
struct FloatKey {
  using Key = U;
  using Order = FloatOrder<U>;
  template <Zeros zeros>
  static Key key(T x) {
    return Order::key(std::bit_cast<U>(x), infinity, zeros);
  }
  static T value(Key k) { return std::bit_cast<T>(Order::bits(k, nan)); }
};
template <>
struct OrderKey<float16_t> : FloatKey<float16_t, uint16_t, 0x7c00, 0x7e00> {};
template <>
struct OrderKey<bfloat16_t> : FloatKey<bfloat16_t, uint16_t, 0x7f80, 0x7fc0> {};
template <>
struct OrderKey<float> : FloatKey<float, uint32_t, 0x7f800000u, 0x7fc00000u> {};
template <>
struct OrderKey<double> : FloatKey<double, uint64_t, 0x7ff0000000000000u, 0x7ff8000000000000u> {};

/// Complex numbers: real part above imaginary part; nan in either part puts them last.
template <>
struct OrderKey<complex64_t> {
  using Key = uint64_t;
  template <Zeros zeros>
  static Key key(complex64_t z) {
    const uint32_t re = OrderKey<float>::key<zeros>(z.real()),
                   im = OrderKey<float>::key<zeros>(z.imag());
    return re == UINT32_MAX || im == UINT32_MAX ? UINT64_MAX : static_cast<uint64_t>(re) << 32 | im;
  }
};
struct WideKey {
  uint64_t high, low;
  friend auto operator<=>(const WideKey&, const WideKey&) = default;
};
template <>
struct OrderKey<complex128_t> {
  using Key = WideKey;
  template <Zeros zeros>
  static Key key(complex128_t z) {
    const uint64_t re = OrderKey<double>::key<zeros>(z.real()),
                   im = OrderKey<double>::key<zeros>(z.imag());
    return re == UINT64_MAX || im == UINT64_MAX ? WideKey{UINT64_MAX, UINT64_MAX} : WideKey{re, im};
  }
};

}  // namespace legato::cpu
