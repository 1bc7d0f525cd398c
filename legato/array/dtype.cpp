#include "legato/array/dtype.h"

#include <algorithm>
#include <limits>
#include <type_traits>

#include "legato/base/error.h"

namespace legato {
namespace {

struct Info {
  const char* name;
  DtypeKind kind;
};

constexpr Info kInfo[kDtypeCount] = {
    {"bool", DtypeKind::boolean},
    {"uint8", DtypeKind::unsigned_integer},
    {"uint16", DtypeKind::unsigned_integer},
    {"uint32", DtypeKind::unsigned_integer},
    {"uint64", DtypeKind::unsigned_integer},
    {"int8", DtypeKind::signed_integer},
    {"int16", DtypeKind::signed_integer},
    {"int32", DtypeKind::signed_integer},
    {"int64", DtypeKind::signed_integer},
    {"float16", DtypeKind::floating},
    {"bfloat16", DtypeKind::floating},
    {"float32", DtypeKind::floating},
    {"float64", DtypeKind::floating},
    {"complex64", DtypeKind::complex_floating},
    {"complex128", DtypeKind::complex_floating},
};
const Info& info(Dtype t) { return kInfo[static_cast<int>(t)]; }

constexpr Dtype promote_slow(Dtype a, Dtype b) {
  if (a == b) return a;
  if (a > b) std::swap(a, b);  // from here a < b in the order of the enumeration
  if (is_bool(a)) return b;
  if (b == Dtype::complex128) return b;
  if (b == Dtype::complex64) return a == Dtype::float64 ? Dtype::complex128 : b;
  if (is_floating(b)) return a == Dtype::float16 && b == Dtype::bfloat16 ? Dtype::float32 : b;
  if (is_unsigned_integer(a) && is_unsigned_integer(b)) return b;
  if (is_signed_integer(a)) return b;
  // a is unsigned, b is signed: the next wider signed type holds both, if there is one.
  if (a == Dtype::uint64) return Dtype::float32;
  int width_a = static_cast<int>(a) - static_cast<int>(Dtype::uint8);
  int width_b = static_cast<int>(b) - static_cast<int>(Dtype::int8);
  return static_cast<Dtype>(static_cast<int>(Dtype::int8) + std::max(width_a + 1, width_b));
}

struct PromotionTable {
  Dtype to[kDtypeCount][kDtypeCount];
  constexpr PromotionTable() : to{} {
    for (int i = 0; i < kDtypeCount; ++i)
      for (int j = 0; j < kDtypeCount; ++j)
        to[i][j] = promote_slow(static_cast<Dtype>(i), static_cast<Dtype>(j));
  }
};
constexpr PromotionTable kPromotion;

template <class... Ts>
constexpr bool sizes_are_right() {
  return ((size_of(dtype_of<Ts>) == sizeof(Ts)) && ...);
}
static_assert(
    sizes_are_right<bool, uint8_t, uint16_t, uint32_t, uint64_t, int8_t, int16_t, int32_t, int64_t,
                    float16_t, bfloat16_t, float, double, complex64_t, complex128_t>());

}  // namespace

const char* name_of(Dtype t) { return info(t).name; }
DtypeKind kind_of(Dtype t) { return info(t).kind; }
Dtype promote(Dtype a, Dtype b) { return kPromotion.to[static_cast<int>(a)][static_cast<int>(b)]; }

float16_t::float16_t(float x) {
  uint32_t u = std::bit_cast<uint32_t>(x);
  uint32_t sign = (u >> 16) & 0x8000u, a = u & 0x7fffffffu;
  if (a > 0x7f800000u) {
    bits = static_cast<uint16_t>(sign | 0x7e00u | ((a >> 13) & 0x3ffu));
  } else if (a >= 0x47800000u) {  // 65536 and above, and infinity
    bits = static_cast<uint16_t>(sign | 0x7c00u);
  } else if (a < 0x38800000u) {  // below the smallest normal half: add so that the hardware rounds
                                 // at 2^-24
    float r = std::bit_cast<float>(a) + 0.5f;
    bits = static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(r) - 0x3f000000u));
  } else {
    bits = static_cast<uint16_t>(sign | ((a - 0x38000000u + 0xfffu + ((a >> 13) & 1u)) >> 13));
  }
}

float16_t::operator float() const {
  uint32_t sign = (bits & 0x8000u) << 16, a = bits & 0x7fffu;
  if (a >=
      0x7c00u) {  // a signalling nan becomes quiet, as the conversion instructions of processors do
    return std::bit_cast<float>(sign | 0x7f800000u | ((a & 0x3ffu) << 13) |
                                (a > 0x7c00u ? 0x400000u : 0u));
  }
  if (a >= 0x400u) return std::bit_cast<float>(sign | ((a << 13) + 0x38000000u));
  float tiny = static_cast<float>(a) * 0x1p-24f;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(tiny));
}

void append_text(std::string& out, const Scalar& s) {
  if (s.kind == Scalar::Kind::boolean) return append_text(out, s.i != 0);
  if (s.kind == Scalar::Kind::integer) return append_text(out, s.i);
  if (s.kind == Scalar::Kind::unsigned_integer) return append_text(out, s.u);
  append_text(out, s.re);
  if (s.kind == Scalar::Kind::complex) {
    if (!(s.im < 0)) out += '+';
    append_text(out, s.im);
    out += 'j';
  }
}

Dtype weak_dtype(const Scalar& s, Dtype array) {
  if (s.kind == Scalar::Kind::boolean) return array;
  if (s.kind == Scalar::Kind::integer || s.kind == Scalar::Kind::unsigned_integer)
    return is_bool(array) ? default_dtype(s) : array;
  if (s.kind == Scalar::Kind::real) return to_inexact(array);
  return is_complex(array) ? array : to_complex(array);
}

Dtype default_dtype(const Scalar& s) {
  if (s.kind == Scalar::Kind::boolean) return Dtype::bool_;
  if (s.kind == Scalar::Kind::integer)
    return s.i == static_cast<int32_t>(s.i) ? Dtype::int32 : Dtype::int64;
  if (s.kind == Scalar::Kind::unsigned_integer) return Dtype::uint64;
  return s.kind == Scalar::Kind::real ? Dtype::float32 : Dtype::complex64;
}

void store_scalar(const Scalar& s, Dtype t, void* to) {
  visit_dtype(t, [&]<class T>(TypeTag<T>) {
    T value;
    if constexpr (std::is_same_v<T, bool>) {
      value = s.kind == Scalar::Kind::real || s.kind == Scalar::Kind::complex
                  ? s.re != 0 || s.im != 0
                  : s.u != 0;
    } else if constexpr (std::is_integral_v<T>) {
      if (s.kind == Scalar::Kind::real || s.kind == Scalar::Kind::complex) {
        value =
            s.re >= -0x1p63 && s.re < 0x1p63 ? static_cast<T>(static_cast<int64_t>(s.re)) : T{0};
      } else {
        bool fits = s.kind == Scalar::Kind::unsigned_integer
                        ? std::is_same_v<T, uint64_t>
                        : (s.i >= 0 || std::is_signed_v<T>) &&
                              (sizeof(T) == 8 ||
                               (s.i >= static_cast<int64_t>(std::numeric_limits<T>::min()) &&
                                s.i <= static_cast<int64_t>(std::numeric_limits<T>::max())));
        if (!fits)
          throw ValueError(cat("Converting ", s, " to ", t, " would result in overflow. ", t,
                               " holds ", std::numeric_limits<T>::min(), " to ",
                               std::numeric_limits<T>::max(),
                               "; cast the array to a wider dtype first."));
        value = static_cast<T>(s.u);
      }
    } else if constexpr (std::is_same_v<T, complex64_t>) {
      value = T(static_cast<float>(s.real()), static_cast<float>(s.im));
    } else if constexpr (std::is_same_v<T, complex128_t>) {
      value = T(s.real(), s.im);
    } else if constexpr (std::is_same_v<T, double>) {
      value = s.real();
    } else {
      value = T(static_cast<float>(s.real()));
    }
    std::memcpy(to, &value, sizeof value);
  });
}

}  // namespace legato
