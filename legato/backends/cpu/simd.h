// Vec<T>: a vector register of the level that the including source is compiled for (see
// cmake/SimdLevels.cmake), on the vector extensions of GCC and Clang. It offers the lane
// instructions of the scalar language (fuse/lane.h), so that its functions run on vectors, and the
// loads and stores that kernels need, halves included.
//
// To be included by *.simd.cpp only. Everything is force-inlined and stands in the level's
// namespace.
#pragma once

#include <cstddef>

#include "legato/fuse/lane.h"

#if LEGATO_LEVEL_AVX2 || LEGATO_LEVEL_AVX512
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored \
    "-Wmaybe-uninitialized"  // g++ 12 warns of its own _mm512_undefined_ps
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>
#endif

namespace legato::pointwise {
inline namespace LEGATO_LEVEL {

#if LEGATO_LEVEL_AVX512
inline constexpr int kVectorBytes = 64;
#elif LEGATO_LEVEL_AVX2
inline constexpr int kVectorBytes = 32;
#else
inline constexpr int kVectorBytes = 16;
#endif

template <class T, int bytes = kVectorBytes>
struct RawOf {
  typedef T type __attribute__((vector_size(bytes)));
  typedef T unaligned __attribute__((vector_size(bytes), aligned(1), may_alias));
};
template <class T>
using Raw = typename RawOf<T>::type;

/// Lanes of `bytes` bytes each, all ones or all zeros.
template <int bytes>
struct Mask {
  using Int = typename IntOfBytes<bytes>::type;
  Raw<Int> raw;
  friend LEGATO_INLINE Mask operator&(Mask a, Mask b) { return {a.raw & b.raw}; }
  friend LEGATO_INLINE Mask operator|(Mask a, Mask b) { return {a.raw | b.raw}; }
  friend LEGATO_INLINE Mask operator^(Mask a, Mask b) { return {a.raw ^ b.raw}; }
  friend LEGATO_INLINE Mask operator~(Mask a) { return {~a.raw}; }
};

template <int bytes>
LEGATO_INLINE bool any(Mask<bytes> m) {
#if LEGATO_LEVEL_AVX512
  return _mm512_test_epi32_mask(reinterpret_cast<__m512i>(m.raw),
                                reinterpret_cast<__m512i>(m.raw)) != 0;
#elif LEGATO_LEVEL_AVX2
  return _mm256_movemask_epi8(reinterpret_cast<__m256i>(m.raw)) != 0;
#else
  typedef int64_t Words __attribute__((vector_size(kVectorBytes)));
  Words w = reinterpret_cast<Words>(m.raw);
  return (w[0] | w[1]) != 0;
#endif
}

template <class T>
struct Vec {
  using Elem = T;
  using MaskType = Mask<sizeof(T)>;
  using IntRaw = Raw<int_of<T>>;
  static constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));
  Raw<T> raw;

  Vec() = default;
  LEGATO_INLINE Vec(T x) : raw(x - Raw<T>{}) {}  // x - 0 keeps -0.0
  static LEGATO_INLINE Vec of(Raw<T> r) {
    Vec v;
    v.raw = r;
    return v;
  }
  friend LEGATO_INLINE Vec operator+(Vec a, Vec b) { return of(a.raw + b.raw); }
  friend LEGATO_INLINE Vec operator-(Vec a, Vec b) { return of(a.raw - b.raw); }
  friend LEGATO_INLINE Vec operator*(Vec a, Vec b) { return of(a.raw * b.raw); }
  friend LEGATO_INLINE Vec operator/(Vec a, Vec b) { return of(a.raw / b.raw); }
  friend LEGATO_INLINE Vec operator-(Vec a) { return of(-a.raw); }
  friend LEGATO_INLINE MaskType operator<(Vec a, Vec b) {
    return {static_cast<IntRaw>(a.raw < b.raw)};
  }
  friend LEGATO_INLINE MaskType operator<=(Vec a, Vec b) {
    return {static_cast<IntRaw>(a.raw <= b.raw)};
  }
  friend LEGATO_INLINE MaskType operator>(Vec a, Vec b) {
    return {static_cast<IntRaw>(a.raw > b.raw)};
  }
  friend LEGATO_INLINE MaskType operator>=(Vec a, Vec b) {
    return {static_cast<IntRaw>(a.raw >= b.raw)};
  }
  friend LEGATO_INLINE MaskType operator==(Vec a, Vec b) {
    return {static_cast<IntRaw>(a.raw == b.raw)};
  }
  friend LEGATO_INLINE MaskType operator!=(Vec a, Vec b) {
    return {static_cast<IntRaw>(a.raw != b.raw)};
  }
  friend LEGATO_INLINE Vec operator&(Vec a, Vec b) { return of(a.raw & b.raw); }
  friend LEGATO_INLINE Vec operator|(Vec a, Vec b) { return of(a.raw | b.raw); }
  friend LEGATO_INLINE Vec operator^(Vec a, Vec b) { return of(a.raw ^ b.raw); }
  friend LEGATO_INLINE Vec operator~(Vec a) { return of(~a.raw); }
  friend LEGATO_INLINE Vec operator<<(Vec a, int n) { return of(a.raw << n); }
  friend LEGATO_INLINE Vec operator>>(Vec a, int n) { return of(a.raw >> n); }
};

/// See fuse/lane.h.
template <class T>
LEGATO_INLINE Vec<T> divide_normal(Vec<T> a, Vec<T> b) {
  return a / b;
}
template <class T>
LEGATO_INLINE Vec<T> select(Mask<sizeof(T)> m, Vec<T> a, Vec<T> b) {
#if LEGATO_LEVEL_AVX512
  return Vec<T>::of(m.raw ? a.raw : b.raw);
#elif LEGATO_LEVEL_AVX2
  return Vec<T>::of(reinterpret_cast<Raw<T>>(_mm256_blendv_epi8(reinterpret_cast<__m256i>(b.raw),
                                                                reinterpret_cast<__m256i>(a.raw),
                                                                reinterpret_cast<__m256i>(m.raw))));
#else
  using I = Raw<int_of<T>>;
  return Vec<T>::of(reinterpret_cast<Raw<T>>((m.raw & reinterpret_cast<I>(a.raw)) |
                                             (~m.raw & reinterpret_cast<I>(b.raw))));
#endif
}

// Lane by lane; the compiler turns the loop into one instruction where there is one.
#define LEGATO_VEC_LANES(type, expression)                             \
  Vec<type> r;                                                         \
  for (int i = 0; i < Vec<type>::kLanes; ++i) r.raw[i] = (expression); \
  return r

LEGATO_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
#if LEGATO_LEVEL_AVX512
  return Vec<float>::of(_mm512_fmadd_ps(a.raw, b.raw, c.raw));
#elif LEGATO_LEVEL_AVX2
  return Vec<float>::of(_mm256_fmadd_ps(a.raw, b.raw, c.raw));
#else
  LEGATO_VEC_LANES(float, __builtin_fmaf(a.raw[i], b.raw[i], c.raw[i]));
#endif
}
LEGATO_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
#if LEGATO_LEVEL_AVX512
  return Vec<double>::of(_mm512_fmadd_pd(a.raw, b.raw, c.raw));
#elif LEGATO_LEVEL_AVX2
  return Vec<double>::of(_mm256_fmadd_pd(a.raw, b.raw, c.raw));
#else
  LEGATO_VEC_LANES(double, __builtin_fma(a.raw[i], b.raw[i], c.raw[i]));
#endif
}

#if LEGATO_LEVEL_AVX512
LEGATO_INLINE Vec<float> sqrt(Vec<float> x) { return Vec<float>::of(_mm512_sqrt_ps(x.raw)); }
LEGATO_INLINE Vec<double> sqrt(Vec<double> x) { return Vec<double>::of(_mm512_sqrt_pd(x.raw)); }
#define LEGATO_VEC_ROUND(name, mode, builtin)                  \
  LEGATO_INLINE Vec<float> name(Vec<float> x) {                \
    return Vec<float>::of(_mm512_roundscale_ps(x.raw, mode));  \
  }                                                            \
  LEGATO_INLINE Vec<double> name(Vec<double> x) {              \
    return Vec<double>::of(_mm512_roundscale_pd(x.raw, mode)); \
  }
#elif LEGATO_LEVEL_AVX2
LEGATO_INLINE Vec<float> sqrt(Vec<float> x) { return Vec<float>::of(_mm256_sqrt_ps(x.raw)); }
LEGATO_INLINE Vec<double> sqrt(Vec<double> x) { return Vec<double>::of(_mm256_sqrt_pd(x.raw)); }
#define LEGATO_VEC_ROUND(name, mode, builtin)             \
  LEGATO_INLINE Vec<float> name(Vec<float> x) {           \
    return Vec<float>::of(_mm256_round_ps(x.raw, mode));  \
  }                                                       \
  LEGATO_INLINE Vec<double> name(Vec<double> x) {         \
    return Vec<double>::of(_mm256_round_pd(x.raw, mode)); \
  }
#else
LEGATO_INLINE Vec<float> sqrt(Vec<float> x) { LEGATO_VEC_LANES(float, __builtin_sqrtf(x.raw[i])); }
LEGATO_INLINE Vec<double> sqrt(Vec<double> x) {
  LEGATO_VEC_LANES(double, __builtin_sqrt(x.raw[i]));
}
#define LEGATO_VEC_ROUND(name, mode, builtin)                  \
  LEGATO_INLINE Vec<float> name(Vec<float> x) {                \
    LEGATO_VEC_LANES(float, __builtin_##builtin##f(x.raw[i])); \
  }                                                            \
  LEGATO_INLINE Vec<double> name(Vec<double> x) {              \
    LEGATO_VEC_LANES(double, __builtin_##builtin(x.raw[i]));   \
  }
#endif
LEGATO_VEC_ROUND(rint, 8,
                 nearbyint)  // the number is the instruction's rounding mode, 8: no exceptions
LEGATO_VEC_ROUND(floor, 9, floor)
LEGATO_VEC_ROUND(ceil, 10, ceil)
LEGATO_VEC_ROUND(trunc, 11, trunc)
#undef LEGATO_VEC_ROUND
#undef LEGATO_VEC_LANES

// Helpers of scalar_math.h where the level has an instruction for them. x86's minimum and maximum
// give their second operand if one is nan.
#if LEGATO_LEVEL_AVX512
LEGATO_INLINE Vec<float> at_most(Vec<float> x, Vec<float> limit) {
  return Vec<float>::of(_mm512_min_ps(limit.raw, x.raw));
}
LEGATO_INLINE Vec<float> at_least(Vec<float> x, Vec<float> limit) {
  return Vec<float>::of(_mm512_max_ps(limit.raw, x.raw));
}
LEGATO_INLINE Vec<float> scale_by(Vec<float> p, Vec<float> n) {
  return Vec<float>::of(_mm512_scalef_ps(p.raw, n.raw));
}
#elif LEGATO_LEVEL_AVX2
LEGATO_INLINE Vec<float> at_most(Vec<float> x, Vec<float> limit) {
  return Vec<float>::of(_mm256_min_ps(limit.raw, x.raw));
}
LEGATO_INLINE Vec<float> at_least(Vec<float> x, Vec<float> limit) {
  return Vec<float>::of(_mm256_max_ps(limit.raw, x.raw));
}
#endif

template <class T>
LEGATO_INLINE Vec<int_of<T>> bits(Vec<T> x) {
  return Vec<int_of<T>>::of(reinterpret_cast<Raw<int_of<T>>>(x.raw));
}
LEGATO_INLINE Vec<float> from_bits(Vec<int32_t> x) {
  return Vec<float>::of(reinterpret_cast<Raw<float>>(x.raw));
}
LEGATO_INLINE Vec<double> from_bits(Vec<int64_t> x) {
  return Vec<double>::of(reinterpret_cast<Raw<double>>(x.raw));
}
LEGATO_INLINE Vec<int32_t> to_int(Vec<float> x) {
  return Vec<int32_t>::of(__builtin_convertvector(x.raw, Raw<int32_t>));
}
LEGATO_INLINE Vec<int64_t> to_int(Vec<double> x) {
  return Vec<int64_t>::of(__builtin_convertvector(x.raw, Raw<int64_t>));
}
LEGATO_INLINE Vec<float> to_float(Vec<int32_t> x) {
  return Vec<float>::of(__builtin_convertvector(x.raw, Raw<float>));
}
LEGATO_INLINE Vec<double> to_float(Vec<int64_t> x) {
  return Vec<double>::of(__builtin_convertvector(x.raw, Raw<double>));
}

template <class F, class T, class... A>
LEGATO_INLINE Vec<T> rare(Mask<sizeof(T)> m, Vec<T> value, F f, A... args) {
  if (__builtin_expect(any(m), 0)) {
    for (int i = 0; i < Vec<T>::kLanes; ++i)
      if (m.raw[i]) value.raw[i] = f(args.raw[i]...);
  }
  return value;
}
template <class F, class T, class... A>
LEGATO_INLINE Vec<T> call(F f, Vec<T> x, A... args) {
  Vec<T> r;
  for (int i = 0; i < Vec<T>::kLanes; ++i) r.raw[i] = f(x.raw[i], args.raw[i]...);
  return r;
}

// --- memory. Addresses need no alignment; the _part forms touch only the first `n` elements, 0 < n
// < kLanes, and give zeros in the other lanes.

template <class T>
LEGATO_INLINE Vec<T> load(const T* p) {
  return Vec<T>::of(*reinterpret_cast<const typename RawOf<T>::unaligned*>(p));
}
template <class T>
LEGATO_INLINE void store(T* p, Vec<T> v) {
  *reinterpret_cast<typename RawOf<T>::unaligned*>(p) = v.raw;
}
/// Past the caches; `p` must be a multiple of kVectorBytes.
template <class T>
LEGATO_INLINE void store_stream(T* p, Vec<T> v) {
#if LEGATO_LEVEL_AVX512
  _mm512_stream_si512(reinterpret_cast<__m512i*>(p), reinterpret_cast<__m512i>(v.raw));
#elif LEGATO_LEVEL_AVX2
  _mm256_stream_si256(reinterpret_cast<__m256i*>(p), reinterpret_cast<__m256i>(v.raw));
#else
  store(p, v);
#endif
}

#if LEGATO_LEVEL_AVX2 && !LEGATO_LEVEL_AVX512
alignas(64) inline constexpr int32_t kTailMask[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
// The first n lanes of T set, for T of 4 or 8 bytes.
template <class T>
LEGATO_INLINE __m256i tail_mask(int64_t n) {
  return _mm256_loadu_si256(
      reinterpret_cast<const __m256i*>(kTailMask + 8 - n * static_cast<int64_t>(sizeof(T) / 4)));
}
#endif

template <class T>
LEGATO_INLINE Vec<T> load_part(const T* p, int64_t n) {
#if LEGATO_LEVEL_AVX512
  if constexpr (sizeof(T) == 4)
    return Vec<T>::of(reinterpret_cast<Raw<T>>(
        _mm512_maskz_loadu_epi32(static_cast<__mmask16>((1u << n) - 1), p)));
  else if constexpr (sizeof(T) == 8)
    return Vec<T>::of(reinterpret_cast<Raw<T>>(
        _mm512_maskz_loadu_epi64(static_cast<__mmask8>((1u << n) - 1), p)));
#elif LEGATO_LEVEL_AVX2
  if constexpr (sizeof(T) >= 4)
    return Vec<T>::of(reinterpret_cast<Raw<T>>(
        _mm256_maskload_epi32(reinterpret_cast<const int*>(p), tail_mask<T>(n))));
#endif
  Raw<T> r{};
  __builtin_memcpy(&r, p, static_cast<size_t>(n) * sizeof(T));
  return Vec<T>::of(r);
}
template <class T>
LEGATO_INLINE void store_part(T* p, Vec<T> v, int64_t n) {
#if LEGATO_LEVEL_AVX512
  if constexpr (sizeof(T) == 4)
    return _mm512_mask_storeu_epi32(p, static_cast<__mmask16>((1u << n) - 1),
                                    reinterpret_cast<__m512i>(v.raw));
  else if constexpr (sizeof(T) == 8)
    return _mm512_mask_storeu_epi64(p, static_cast<__mmask8>((1u << n) - 1),
                                    reinterpret_cast<__m512i>(v.raw));
#elif LEGATO_LEVEL_AVX2
  if constexpr (sizeof(T) >= 4)
    return _mm256_maskstore_epi32(reinterpret_cast<int*>(p), tail_mask<T>(n),
                                  reinterpret_cast<__m256i>(v.raw));
#endif
  __builtin_memcpy(p, &v.raw, static_cast<size_t>(n) * sizeof(T));
}

/// A mask from bytes that are 0 or 1 (bool as stored), and back.
template <int bytes>
LEGATO_INLINE Mask<bytes> load_mask(const bool* p) {
  constexpr int n = kVectorBytes / bytes;
  typedef int8_t Bytes __attribute__((vector_size(n)));
  Bytes b;
  __builtin_memcpy(&b, p, n);
  return {-__builtin_convertvector(b, Raw<typename Mask<bytes>::Int>)};
}
template <int bytes>
LEGATO_INLINE Mask<bytes> load_mask_part(const bool* p, int64_t n) {
  bool b[kVectorBytes / bytes] = {};
  __builtin_memcpy(b, p, static_cast<size_t>(n));
  return load_mask<bytes>(b);
}
template <int bytes>
LEGATO_INLINE void store_mask(bool* p, Mask<bytes> m) {
  constexpr int n = kVectorBytes / bytes;
#if LEGATO_LEVEL_AVX512
  __m512i raw = reinterpret_cast<__m512i>(m.raw);
  if constexpr (bytes == 4)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                     _mm_maskz_set1_epi8(_mm512_test_epi32_mask(raw, raw), 1));
  else {
    __m128i b = _mm_maskz_set1_epi8(_mm512_test_epi64_mask(raw, raw), 1);
    __builtin_memcpy(p, &b, n);
  }
#elif LEGATO_LEVEL_AVX2
  if constexpr (bytes == 4) {
    __m256i raw = reinterpret_cast<__m256i>(m.raw);
    __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(raw), _mm256_extracti128_si256(raw, 1));
    __m128i b = _mm_and_si128(_mm_packs_epi16(words, words), _mm_set1_epi8(1));
    __builtin_memcpy(p, &b, n);
    return;
  }
  typedef int8_t Bytes __attribute__((vector_size(n)));
  Bytes b = __builtin_convertvector(m.raw, Bytes) & 1;
  __builtin_memcpy(p, &b, n);
#else
  typedef int8_t Bytes __attribute__((vector_size(n)));
  Bytes b = __builtin_convertvector(m.raw, Bytes) & 1;
  __builtin_memcpy(p, &b, n);
#endif
}
template <int bytes>
LEGATO_INLINE void store_mask_part(bool* p, Mask<bytes> m, int64_t n) {
  bool b[kVectorBytes / bytes];
  store_mask(b, m);
  __builtin_memcpy(p, b, static_cast<size_t>(n));
}

// --- halves, as 16-bit integers in memory; the conversions are those of array/dtype.h, to the bit.

LEGATO_INLINE float float_from_bf16(uint16_t h) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(h) << 16);
}
LEGATO_INLINE uint16_t bf16_from_float(float x) {
  uint32_t u = __builtin_bit_cast(uint32_t, x);
  uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16, quiet = (u >> 16) | 0x40u;
  return static_cast<uint16_t>((u & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
}
LEGATO_INLINE float float_from_f16(uint16_t h) {
  uint32_t sign = (h & 0x8000u) << 16, a = h & 0x7fffu;
  float tiny = static_cast<float>(static_cast<int32_t>(a)) * 0x1p-24f;
  uint32_t normal = (a << 13) + 0x38000000u;
  uint32_t special = 0x7f800000u | ((a & 0x3ffu) << 13) | (a > 0x7c00u ? 0x400000u : 0u);
  uint32_t r = a >= 0x7c00u ? special : a >= 0x400u ? normal : __builtin_bit_cast(uint32_t, tiny);
  return __builtin_bit_cast(float, sign | r);
}
LEGATO_INLINE uint16_t f16_from_float(float x) {
  uint32_t u = __builtin_bit_cast(uint32_t, x);
  uint32_t sign = (u >> 16) & 0x8000u, a = u & 0x7fffffffu;
  // Below the smallest normal half: add so that the hardware rounds at 2^-24.
  uint32_t tiny = __builtin_bit_cast(uint32_t, __builtin_bit_cast(float, a) + 0.5f) - 0x3f000000u;
  uint32_t normal = (a - 0x38000000u + 0xfffu + ((a >> 13) & 1u)) >> 13;
  uint32_t nan = 0x7e00u | ((a >> 13) & 0x3ffu);
  uint32_t r = a > 0x7f800000u ? nan : a >= 0x47800000u ? 0x7c00u : a < 0x38800000u ? tiny : normal;
  return static_cast<uint16_t>(sign | r);
}

LEGATO_INLINE Vec<float> load_bf16(const uint16_t* p) {
  constexpr int n = Vec<float>::kLanes;
  typedef uint16_t Half __attribute__((vector_size(2 * n)));
  Half h;
  __builtin_memcpy(&h, p, sizeof h);
  return Vec<float>::of(
      reinterpret_cast<Raw<float>>(__builtin_convertvector(h, Raw<uint32_t>) << 16));
}
LEGATO_INLINE Vec<float> load_f16(const uint16_t* p) {
#if LEGATO_LEVEL_AVX512
  return Vec<float>::of(_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
#elif LEGATO_LEVEL_AVX2
  return Vec<float>::of(_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#else
  Vec<float> r;
  for (int i = 0; i < Vec<float>::kLanes; ++i) r.raw[i] = float_from_f16(p[i]);
  return r;
#endif
}
LEGATO_INLINE void store_bf16(uint16_t* p, Vec<float> v) {
  constexpr int n = Vec<float>::kLanes;
  Raw<uint32_t> u = reinterpret_cast<Raw<uint32_t>>(v.raw);
  Raw<uint32_t> rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16, quiet = (u >> 16) | 0x40u;
  Vec<uint32_t> r = select(v != v, Vec<uint32_t>::of(quiet), Vec<uint32_t>::of(rounded));
#if LEGATO_LEVEL_AVX2 && !LEGATO_LEVEL_AVX512
  __m256i w = reinterpret_cast<__m256i>(r.raw);
  __m128i h = _mm_packus_epi32(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1));
#else
  typedef uint16_t Half __attribute__((vector_size(2 * n)));
  Half h = __builtin_convertvector(r.raw, Half);
#endif
  __builtin_memcpy(p, &h, 2 * n);
}
LEGATO_INLINE void store_f16(uint16_t* p, Vec<float> v) {
#if LEGATO_LEVEL_AVX512
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_cvtps_ph(v.raw, _MM_FROUND_TO_NEAREST_INT));
#elif LEGATO_LEVEL_AVX2
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm256_cvtps_ph(v.raw, _MM_FROUND_TO_NEAREST_INT));
#else
  for (int i = 0; i < Vec<float>::kLanes; ++i) p[i] = f16_from_float(v.raw[i]);
#endif
}

}  // namespace LEGATO_LEVEL
}  // namespace legato::pointwise
