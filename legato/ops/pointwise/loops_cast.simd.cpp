// Loops that convert between dtypes: the direct ones; other pairs go through them in steps
// (backends/cpu/program.cpp). What a cast means: fuse/lane_convert.h.
#include "legato/fuse/lane_convert.h"
#include "legato/ops/pointwise/loop_kit.simd.h"

namespace legato::pointwise {
inline namespace LEGATO_LEVEL {
namespace {

template <class T, class S>
void cast_loop(void* dst, const void* const* src, int64_t n) {
  T* d = static_cast<T*>(dst);
  const S* s = static_cast<const S*>(src[0]);
  if constexpr (std::is_floating_point_v<S> && std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    // Values that fit int32 convert as vectors; a block that holds others goes one by one.
    constexpr int64_t kBlock = 64;
    for (; n >= kBlock; n -= kBlock, d += kBlock, s += kBlock) {
      int outside = 0;
      for (int64_t i = 0; i < kBlock; ++i) outside |= !(s[i] > S(-0x1p31) && s[i] < S(0x1p31));
      if (outside) {
        for (int64_t i = 0; i < kBlock; ++i) d[i] = convert<T>(s[i]);
      } else {
        LEGATO_INDEPENDENT
        for (int64_t i = 0; i < kBlock; ++i) d[i] = static_cast<T>(static_cast<int32_t>(s[i]));
      }
    }
    for (int64_t i = 0; i < n; ++i) d[i] = convert<T>(s[i]);
  } else {
    LEGATO_INDEPENDENT
    for (int64_t i = 0; i < n; ++i) d[i] = convert<T>(s[i]);
  }
}

template <class T, class S>
void complex_cast_loop(void* dst, const void* const* src, int64_t n) {
  const S* s = static_cast<const S*>(src[0]);
  T* d = static_cast<T*>(dst);
  LEGATO_INDEPENDENT
  for (int64_t i = 0; i < n; ++i) {
    if constexpr (std::is_same_v<T, bool>)
      d[i] = (s[i].re != 0) | (s[i].im != 0);
    else if constexpr (std::is_arithmetic_v<T>)
      d[i] = s[i].re;
    else if constexpr (std::is_arithmetic_v<S>)
      d[i] = {s[i], 0};
    else
      d[i] = {static_cast<decltype(d->re)>(s[i].re), static_cast<decltype(d->re)>(s[i].im)};
  }
}

/// Vectors first, then elements: `load` and `store` are those of one half type.
template <auto load_vector, auto load_one>
void from_half_loop(void* dst, const void* const* src, int64_t n) {
  const uint16_t* s = static_cast<const uint16_t*>(src[0]);
  float* d = static_cast<float*>(dst);
  constexpr int64_t w = Vec<float>::kLanes;
  int64_t i = 0;
  for (; i + w <= n; i += w) store(d + i, load_vector(s + i));
  for (; i < n; ++i) d[i] = load_one(s[i]);
}
template <auto store_vector, auto store_one>
void to_half_loop(void* dst, const void* const* src, int64_t n) {
  const float* s = static_cast<const float*>(src[0]);
  uint16_t* d = static_cast<uint16_t*>(dst);
  constexpr int64_t w = Vec<float>::kLanes;
  int64_t i = 0;
  for (; i + w <= n; i += w) store_vector(d + i, load(s + i));
  for (; i < n; ++i) d[i] = store_one(s[i]);
}
template <auto load_one, auto store_one>
void round_half_loop(void* dst, const void* const* src, int64_t n) {
  const float* s = static_cast<const float*>(src[0]);
  float* d = static_cast<float*>(dst);
  LEGATO_INDEPENDENT
  for (int64_t i = 0; i < n; ++i) d[i] = load_one(store_one(s[i]));
}

template <class S>
void add_casts_from(LoopTable& t, Dtype from) {
  auto& row = t.cast[static_cast<int>(from)];
  auto set = [&](Dtype to, Loop loop) { row[static_cast<int>(to)] = loop; };
  set(Dtype::bool_, cast_loop<bool, S>);
  for (Dtype to : {Dtype::uint8, Dtype::int8}) set(to, cast_loop<uint8_t, S>);
  for (Dtype to : {Dtype::uint16, Dtype::int16}) set(to, cast_loop<uint16_t, S>);
  for (Dtype to : {Dtype::uint32, Dtype::int32}) set(to, cast_loop<uint32_t, S>);
  set(Dtype::int64, cast_loop<int64_t, S>);
  set(Dtype::uint64, cast_loop<uint64_t, S>);
  set(Dtype::float32, cast_loop<float, S>);
  set(Dtype::float64, cast_loop<double, S>);
}

void stream_copy(void* dst, const void* src, int64_t bytes) {
  const uint8_t* s = static_cast<const uint8_t*>(src);
  uint8_t* d = static_cast<uint8_t*>(dst);
  for (int64_t i = 0; i < bytes; i += kVectorBytes) store_stream(d + i, load(s + i));
}

}  // namespace

void add_cast_loops(LoopTable& t) {
  add_casts_from<bool>(t, Dtype::bool_);
  add_casts_from<uint8_t>(t, Dtype::uint8);
  add_casts_from<uint16_t>(t, Dtype::uint16);
  add_casts_from<uint32_t>(t, Dtype::uint32);
  add_casts_from<uint64_t>(t, Dtype::uint64);
  add_casts_from<int8_t>(t, Dtype::int8);
  add_casts_from<int16_t>(t, Dtype::int16);
  add_casts_from<int32_t>(t, Dtype::int32);
  add_casts_from<int64_t>(t, Dtype::int64);
  add_casts_from<float>(t, Dtype::float32);
  add_casts_from<double>(t, Dtype::float64);

  auto set = [&](Dtype from, Dtype to, Loop loop) {
    t.cast[static_cast<int>(from)][static_cast<int>(to)] = loop;
  };
  set(Dtype::float16, Dtype::float32, from_half_loop<load_f16, float_from_f16>);
  set(Dtype::bfloat16, Dtype::float32, from_half_loop<load_bf16, float_from_bf16>);
  set(Dtype::float32, Dtype::float16, to_half_loop<store_f16, f16_from_float>);
  set(Dtype::float32, Dtype::bfloat16, to_half_loop<store_bf16, bf16_from_float>);
  t.round_half[0] = round_half_loop<float_from_f16, f16_from_float>;
  t.round_half[1] = round_half_loop<float_from_bf16, bf16_from_float>;

  using C64 = Complex<float>;
  using C128 = Complex<double>;
  set(Dtype::float32, Dtype::complex64, complex_cast_loop<C64, float>);
  set(Dtype::float64, Dtype::complex128, complex_cast_loop<C128, double>);
  set(Dtype::complex64, Dtype::complex128, complex_cast_loop<C128, C64>);
  set(Dtype::complex128, Dtype::complex64, complex_cast_loop<C64, C128>);
  set(Dtype::complex64, Dtype::float32, complex_cast_loop<float, C64>);
  set(Dtype::complex128, Dtype::float64, complex_cast_loop<double, C128>);
  set(Dtype::complex64, Dtype::bool_, complex_cast_loop<bool, C64>);
  set(Dtype::complex128, Dtype::bool_, complex_cast_loop<bool, C128>);
  t.stream = stream_copy;
}

}  // namespace LEGATO_LEVEL
}  // namespace legato::pointwise
