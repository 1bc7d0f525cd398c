// Data types: the enumeration, their C++ types, promotion, weak Python scalars and the one dispatch
// from a dtype to a type.
#pragma once

#include <bit>
#include <complex>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "legato/base/export.h"

namespace legato {

enum class Dtype : uint8_t {
  bool_,
  uint8,
  uint16,
  uint32,
  uint64,
  int8,
  int16,
  int32,
  int64,
  float16,
  bfloat16,
  float32,
  float64,
  complex64,
  complex128,
};
inline constexpr int kDtypeCount = 15;

enum class DtypeKind : uint8_t {
  boolean,
  unsigned_integer,
  signed_integer,
  floating,
  complex_floating
};

/// IEEE binary16 as stored; arithmetic happens in float.
struct LEGATO_API float16_t {
  uint16_t bits = 0;
  float16_t() = default;
  explicit float16_t(float x);  // rounds to nearest even; overflow gives infinity
  explicit operator float() const;
};

/// The upper half of a float32 as stored; arithmetic happens in float.
struct bfloat16_t {
  uint16_t bits = 0;
  bfloat16_t() = default;
  explicit bfloat16_t(float x) {
    uint32_t u = std::bit_cast<uint32_t>(x);
    bits = (u & 0x7fffffffu) > 0x7f800000u
               ? static_cast<uint16_t>((u >> 16) | 0x40u)
               : static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
  explicit operator float() const {
    return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  }
};

using complex64_t = std::complex<float>;
using complex128_t = std::complex<double>;

/// Bytes of one element.
constexpr int64_t size_of(Dtype t) {
  constexpr uint8_t sizes[kDtypeCount] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 2, 4, 8, 8, 16};
  return sizes[static_cast<int>(t)];
}
LEGATO_API const char* name_of(Dtype t);  // "float32", "bool"
LEGATO_API DtypeKind kind_of(Dtype t);
inline void append_text(std::string& out, Dtype t) { out += name_of(t); }

constexpr bool is_bool(Dtype t) { return t == Dtype::bool_; }
constexpr bool is_complex(Dtype t) { return t >= Dtype::complex64; }
constexpr bool is_floating(Dtype t) { return t >= Dtype::float16 && t <= Dtype::float64; }
constexpr bool is_inexact(Dtype t) { return t >= Dtype::float16; }
constexpr bool is_signed_integer(Dtype t) { return t >= Dtype::int8 && t <= Dtype::int64; }
constexpr bool is_unsigned_integer(Dtype t) { return t >= Dtype::uint8 && t <= Dtype::uint64; }
constexpr bool is_integer(Dtype t) { return t >= Dtype::uint8 && t <= Dtype::int64; }
constexpr bool is_half(Dtype t) { return t == Dtype::float16 || t == Dtype::bfloat16; }

/// The dtype in which arrays of `a` and `b` meet. Symmetric; the table of MLX, with float64 and
/// complex64 giving complex128.
LEGATO_API Dtype promote(Dtype a, Dtype b);

/// Integers and bool become float32, the rest is kept: the dtype of exp, sqrt, mean, `/`.
inline Dtype to_inexact(Dtype t) { return is_inexact(t) ? t : Dtype::float32; }

/// float32 for complex64, float64 for complex128, the rest is kept.
inline Dtype real_part(Dtype t) {
  return t == Dtype::complex64 ? Dtype::float32 : t == Dtype::complex128 ? Dtype::float64 : t;
}

/// complex128 for float64 and complex128, else complex64.
inline Dtype to_complex(Dtype t) {
  return t == Dtype::float64 || t == Dtype::complex128 ? Dtype::complex128 : Dtype::complex64;
}

/// The dtype in which kernels compute: float32 for the half types, the rest is kept.
inline Dtype compute_dtype(Dtype t) { return is_half(t) ? Dtype::float32 : t; }

template <class T>
struct TypeTag {
  using type = T;
};

/// Calls f(TypeTag<T>{}) with the C++ type of `t`. The only switch over dtypes in the project.
template <class F>
decltype(auto) visit_dtype(Dtype t, F&& f) {
  switch (t) {
    case Dtype::bool_:
      return f(TypeTag<bool>{});
    case Dtype::uint8:
      return f(TypeTag<uint8_t>{});
    case Dtype::uint16:
      return f(TypeTag<uint16_t>{});
    case Dtype::uint32:
      return f(TypeTag<uint32_t>{});
    case Dtype::uint64:
      return f(TypeTag<uint64_t>{});
    case Dtype::int8:
      return f(TypeTag<int8_t>{});
    case Dtype::int16:
      return f(TypeTag<int16_t>{});
    case Dtype::int32:
      return f(TypeTag<int32_t>{});
    case Dtype::int64:
      return f(TypeTag<int64_t>{});
    case Dtype::float16:
      return f(TypeTag<float16_t>{});
    case Dtype::bfloat16:
      return f(TypeTag<bfloat16_t>{});
    case Dtype::float32:
      return f(TypeTag<float>{});
    case Dtype::float64:
      return f(TypeTag<double>{});
    case Dtype::complex64:
      return f(TypeTag<complex64_t>{});
    case Dtype::complex128:
      break;
  }
  return f(TypeTag<complex128_t>{});
}

template <class T>
inline constexpr Dtype dtype_of = Dtype::float32;
template <>
inline constexpr Dtype dtype_of<bool> = Dtype::bool_;
template <>
inline constexpr Dtype dtype_of<uint8_t> = Dtype::uint8;
template <>
inline constexpr Dtype dtype_of<uint16_t> = Dtype::uint16;
template <>
inline constexpr Dtype dtype_of<uint32_t> = Dtype::uint32;
template <>
inline constexpr Dtype dtype_of<uint64_t> = Dtype::uint64;
template <>
inline constexpr Dtype dtype_of<int8_t> = Dtype::int8;
template <>
inline constexpr Dtype dtype_of<int16_t> = Dtype::int16;
template <>
inline constexpr Dtype dtype_of<int32_t> = Dtype::int32;
template <>
inline constexpr Dtype dtype_of<int64_t> = Dtype::int64;
template <>
inline constexpr Dtype dtype_of<float16_t> = Dtype::float16;
template <>
inline constexpr Dtype dtype_of<bfloat16_t> = Dtype::bfloat16;
template <>
inline constexpr Dtype dtype_of<float> = Dtype::float32;
template <>
inline constexpr Dtype dtype_of<double> = Dtype::float64;
template <>
inline constexpr Dtype dtype_of<complex64_t> = Dtype::complex64;
template <>
inline constexpr Dtype dtype_of<complex128_t> = Dtype::complex128;

/// A Python number: weak, so that it takes the dtype of the array it meets.
struct Scalar {
  enum class Kind : uint8_t {
    boolean,
    integer,
    unsigned_integer,
    real,
    complex
  };  // unsigned_integer: above int64
  Kind kind = Kind::integer;
  union {
    int64_t i = 0;
    uint64_t u;
    double re;
  };
  double im = 0;

  Scalar() = default;
  Scalar(bool v) : kind(Kind::boolean), i(v) {}
  Scalar(int v) : kind(Kind::integer), i(v) {}
  Scalar(int64_t v) : kind(Kind::integer), i(v) {}
  Scalar(uint64_t v) : kind(v > INT64_MAX ? Kind::unsigned_integer : Kind::integer), u(v) {}
  Scalar(float v) : kind(Kind::real), re(v) {}
  Scalar(double v) : kind(Kind::real), re(v) {}
  Scalar(std::complex<double> v) : kind(Kind::complex), re(v.real()), im(v.imag()) {}

  double real() const {
    return kind == Kind::real || kind == Kind::complex ? re
           : kind == Kind::unsigned_integer            ? static_cast<double>(u)
                                                       : static_cast<double>(i);
  }
  friend bool operator==(const Scalar& a, const Scalar& b) {
    return a.kind == b.kind && a.u == b.u && a.im == b.im;
  }
};
LEGATO_API void append_text(std::string& out, const Scalar& s);

/// The dtype that a weak scalar takes beside an array of `array`: the array's, unless the scalar's
/// kind is higher.
LEGATO_API Dtype weak_dtype(const Scalar& s, Dtype array);

/// The dtype of a scalar that meets no array: bool, int32 (int64, uint64 if it does not fit),
/// float32, complex64.
LEGATO_API Dtype default_dtype(const Scalar& s);

/// Writes `s` as one element of `t` (size_of(t) bytes). Throws ValueError if an integer does not
/// fit an integer dtype; an imaginary part is dropped for real dtypes, a real part beyond a
/// floating dtype's range becomes infinity.
LEGATO_API void store_scalar(const Scalar& s, Dtype t, void* to);

}  // namespace legato
