// Vectors of the level being compiled, on compiler vector extensions. Only for *.simd.cpp files.
#pragma once
#include <cstdint>

#if defined(LEGATO_LEVEL_AVX2) || defined(LEGATO_LEVEL_AVX512)
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 warns of the deliberately undefined operands inside its own AVX-512 header once it is
// inlined.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#endif

namespace legato::cpu::LEGATO_LEVEL {

#if defined(LEGATO_LEVEL_AVX512)
inline constexpr int kVectorBytes = 64;
#elif defined(LEGATO_LEVEL_AVX2)
inline constexpr int kVectorBytes = 32;
#else
inline constexpr int kVectorBytes = 16;
#endif

#define LEGATO_INLINE __attribute__((always_inline)) static inline

template <class T, int Bytes = kVectorBytes>
struct VectorOf {
  typedef T type __attribute__((vector_size(Bytes)));
};
template <class T, int Bytes = kVectorBytes>
using Vector = typename VectorOf<T, Bytes>::type;

template <class T>
inline constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

template <class T>
LEGATO_INLINE Vector<T> load(const T* p) {
  Vector<T> v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
template <class T>
LEGATO_INLINE void store(T* p, Vector<T> v) {
  __builtin_memcpy(p, &v, sizeof v);
}
template <class T>
LEGATO_INLINE Vector<T> fill(T x) {
  return x - Vector<T>{};
}

// a * b + c, with one rounding for floating types where the level has fma.
template <class T>
LEGATO_INLINE Vector<T> multiply_add(Vector<T> a, Vector<T> b, Vector<T> c) {
#if defined(LEGATO_LEVEL_AVX512)
  if constexpr (__is_same(T, float))
    return (Vector<T>)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
  if constexpr (__is_same(T, double))
    return (Vector<T>)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(LEGATO_LEVEL_AVX2)
  if constexpr (__is_same(T, float))
    return (Vector<T>)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
  if constexpr (__is_same(T, double))
    return (Vector<T>)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#endif
  return a * b + c;
}

}  // namespace legato::cpu::LEGATO_LEVEL
