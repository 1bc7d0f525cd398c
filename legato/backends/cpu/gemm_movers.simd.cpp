// Packing with conversion, storing with conversion, and the kernels that read a matrix only once.
#include "legato/backends/cpu/gemm_kernels.h"
#include "legato/backends/cpu/gemm_vector.h"

namespace legato::cpu::LEGATO_LEVEL {
namespace {

struct Half {  // IEEE binary16
  uint16_t bits;
};
struct Brain {  // bfloat16
  uint16_t bits;
};

// ---- one element
// ------------------------------------------------------------------------------------------------

LEGATO_INLINE float bits_to_float(uint32_t u) {
  float x;
  __builtin_memcpy(&x, &u, 4);
  return x;
}
LEGATO_INLINE uint32_t float_to_bits(float x) {
  uint32_t u;
  __builtin_memcpy(&u, &x, 4);
  return u;
}

template <class T, class S>
LEGATO_INLINE T widen(S x) {
  return static_cast<T>(x);
}
template <>
__attribute__((always_inline)) inline float widen<float, Brain>(Brain x) {
  return bits_to_float(uint32_t{x.bits} << 16);
}
template <>
__attribute__((always_inline)) inline float widen<float, Half>(Half x) {
#if defined(__F16C__)
  return _cvtsh_ss(x.bits);
#else
  const uint32_t sign = uint32_t{x.bits & 0x8000u} << 16, rest = x.bits & 0x7fffu;
  if (rest >= 0x7c00u)
    return bits_to_float(sign | 0x7f800000u | (rest & 0x3ffu) << 13 |
                         (rest > 0x7c00u ? 1u << 22 : 0u));
  // The exponent of a half, read as that of a float, is off by 112; the product also makes
  // subnormals right.
  return bits_to_float(sign | float_to_bits(bits_to_float(rest << 13) * 0x1p112f));
#endif
}

template <class D, class T>
LEGATO_INLINE D narrow(T x) {
  return static_cast<D>(x);
}
template <>
__attribute__((always_inline)) inline Brain narrow<Brain, float>(
    float x) {  // to nearest, ties to even
  const uint32_t u = float_to_bits(x);
  const uint32_t rounded = (u + 0x7fffu + (u >> 16 & 1u)) >> 16;
  return Brain{static_cast<uint16_t>((u & 0x7fffffffu) > 0x7f800000u ? u >> 16 | 0x40u : rounded)};
}
template <>
__attribute__((always_inline)) inline Half narrow<Half, float>(float x) {
#if defined(__F16C__)
  return Half{static_cast<uint16_t>(_cvtss_sh(x, 0))};
#else
  const uint32_t u = float_to_bits(x), sign = u >> 16 & 0x8000u, a = u & 0x7fffffffu;
  if (a > 0x7f800000u) return Half{static_cast<uint16_t>(sign | 0x7e00u | (a >> 13 & 0x3ffu))};
  if (a >= 0x477ff000u)
    return Half{static_cast<uint16_t>(sign | 0x7c00u)};  // rounds to 2^16 or more
  if (a < 0x38800000u) {  // subnormal: the addition of 1/2 rounds at its last bit, 2^-24
    return Half{
        static_cast<uint16_t>(sign | (float_to_bits(bits_to_float(a) + 0.5f) - 0x3f000000u))};
  }
  return Half{static_cast<uint16_t>(sign | ((a + 0xfffu + (a >> 13 & 1u) - 0x38000000u) >> 13))};
#endif
}

// Rows of panels are short: the call of a library's memcpy would cost more than the copy.
template <class T>
LEGATO_INLINE void copy_row(const T* a, int64_t n, T* d) {
  constexpr int L = kLanes<T>;
  int64_t i = 0;
  for (; i + L <= n; i += L) store<T>(d + i, load<T>(a + i));
  for (; i < n; ++i) d[i] = a[i];
}

// ---- a contiguous row
// ---------------------------------------------------------------------------------------------

template <class T, class S>
LEGATO_INLINE void widen_row(const S* a, int64_t n, T* d) {
  int64_t i = 0;
#if defined(__F16C__)
  if constexpr (__is_same(S, Half)) {
    for (; i + 8 <= n; i += 8)
      _mm256_storeu_ps(d + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(a + i))));
  }
#endif
  if constexpr (__is_same(S, T)) {
    copy_row<T>(a, n, d);
  } else {
    for (; i < n; ++i) d[i] = widen<T, S>(a[i]);
  }
}
template <class T, class D>
LEGATO_INLINE void narrow_row(const T* a, int64_t n, D* d) {
  int64_t i = 0;
#if defined(__F16C__)
  if constexpr (__is_same(D, Half)) {
    for (; i + 8 <= n; i += 8)
      _mm_storeu_si128((__m128i*)(d + i), _mm256_cvtps_ph(_mm256_loadu_ps(a + i), 0));
  }
#endif
#if defined(LEGATO_LEVEL_AVX512)
  if constexpr (__is_same(D, Brain)) {  // as narrow()
    for (; i + 16 <= n; i += 16) {
      const __m512 x = _mm512_loadu_ps(a + i);
      const __m512i u = _mm512_castps_si512(x), high = _mm512_srli_epi32(u, 16);
      const __m512i half =
          _mm512_add_epi32(_mm512_and_si512(high, _mm512_set1_epi32(1)), _mm512_set1_epi32(0x7fff));
      const __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(u, half), 16);
      const __m512i bits = _mm512_mask_or_epi32(rounded, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q),
                                                high, _mm512_set1_epi32(0x40));
      _mm256_storeu_si256((__m256i*)(d + i), _mm512_cvtepi32_epi16(bits));
    }
  }
#endif
  if constexpr (__is_same(D, T)) {
    copy_row<T>(a, n, d);
  } else {
    for (; i < n; ++i) d[i] = narrow<D, T>(a[i]);
  }
}

// ---- load
// ---------------------------------------------------------------------------------------------------------

#if defined(LEGATO_LEVEL_AVX2) || defined(LEGATO_LEVEL_AVX512)
template <class S>
constexpr bool kTransposes = sizeof(S) == 8 || __is_same(S, float) || __is_same(S, uint32_t) ||
                             __is_same(S, Half) || __is_same(S, Brain);

// d[i * d_row + j] = a[i + j * a_col] for a square of 8 (4 for 8-byte types).
template <class T, class S>
LEGATO_INLINE void transpose_square(const S* a, int64_t a_col, T* d, int64_t d_row) {
  if constexpr (sizeof(T) == 8) {
    typedef Vector<T, 32> V;
    V r[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) __builtin_memcpy(&r[j], a + j * a_col, 32);
    const V t0 = __builtin_shufflevector(r[0], r[1], 0, 4, 2, 6),
            t1 = __builtin_shufflevector(r[0], r[1], 1, 5, 3, 7);
    const V t2 = __builtin_shufflevector(r[2], r[3], 0, 4, 2, 6),
            t3 = __builtin_shufflevector(r[2], r[3], 1, 5, 3, 7);
    const V o[4] = {
        __builtin_shufflevector(t0, t2, 0, 1, 4, 5), __builtin_shufflevector(t1, t3, 0, 1, 4, 5),
        __builtin_shufflevector(t0, t2, 2, 3, 6, 7), __builtin_shufflevector(t1, t3, 2, 3, 6, 7)};
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) __builtin_memcpy(d + i * d_row, &o[i], 32);
  } else {
    typedef Vector<T, 32> V;
    V r[8], t[8], u[8];
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) {
      if constexpr (__is_same(S, Half)) {
        r[j] = (V)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(a + j * a_col)));
      } else if constexpr (__is_same(S, Brain)) {
        r[j] = (V)_mm256_slli_epi32(
            _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)(a + j * a_col))), 16);
      } else {
        __builtin_memcpy(&r[j], a + j * a_col, 32);
      }
    }
#pragma GCC unroll 4
    for (int j = 0; j < 8; j += 2) {
      t[j] = __builtin_shufflevector(r[j], r[j + 1], 0, 8, 1, 9, 4, 12, 5, 13);
      t[j + 1] = __builtin_shufflevector(r[j], r[j + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
#pragma GCC unroll 2
    for (int j = 0; j < 8; j += 4) {
      u[j] = __builtin_shufflevector(t[j], t[j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      u[j + 1] = __builtin_shufflevector(t[j], t[j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
      u[j + 2] = __builtin_shufflevector(t[j + 1], t[j + 3], 0, 1, 8, 9, 4, 5, 12, 13);
      u[j + 3] = __builtin_shufflevector(t[j + 1], t[j + 3], 2, 3, 10, 11, 6, 7, 14, 15);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const V low = __builtin_shufflevector(u[i], u[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
      const V high = __builtin_shufflevector(u[i], u[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
      __builtin_memcpy(d + i * d_row, &low, 32);
      __builtin_memcpy(d + (i + 4) * d_row, &high, 32);
    }
  }
}
#else
template <class S>
constexpr bool kTransposes = false;
template <class T, class S>
LEGATO_INLINE void transpose_square(const S*, int64_t, T*, int64_t) {}
#endif

template <class T, class S>
void load_block(const void* from, int64_t a_row, int64_t a_col, int64_t rows, int64_t cols, T* d,
                int64_t d_row) {
  const S* a = static_cast<const S*>(from);
  const auto element_wise = [&](int64_t r0, int64_t r1, int64_t c0, int64_t c1) {
    for (int64_t r = r0; r < r1; ++r) {
      for (int64_t c = c0; c < c1; ++c) {
        S value;  // pairs of halves, moved as one word, lie at any even address
        __builtin_memcpy(&value, a + r * a_row + c * a_col, sizeof value);
        d[r * d_row + c] = widen<T, S>(value);
      }
    }
  };
  if (a_col == 1) {
    for (int64_t r = 0; r < rows; ++r) widen_row<T, S>(a + r * a_row, cols, d + r * d_row);
  } else if (a_row == 1 && kTransposes<S>) {
    constexpr int64_t Q = sizeof(T) == 8 ? 4 : 8;
    const int64_t whole_rows = rows / Q * Q, whole_cols = cols / Q * Q;
    for (int64_t c = 0; c < whole_cols; c += Q) {
      for (int64_t r = 0; r < whole_rows; r += Q) {
        transpose_square<T, S>(a + r + c * a_col, a_col, d + r * d_row + c, d_row);
      }
    }
    element_wise(0, whole_rows, whole_cols, cols);
    element_wise(whole_rows, rows, 0, cols);
  } else {
    element_wise(0, rows, 0, cols);
  }
}

// ---- store
// --------------------------------------------------------------------------------------------------------

template <class T, class D>
void store_block(const T* a, int64_t a_row, int64_t rows, int64_t cols,
                 const StoreTarget<T>& target) {
  constexpr int64_t kChunk =
      256;  // elements; small enough that strided stores of several rows meet in the cache
  const T alpha = target.alpha, beta = target.beta;
  const bool changed = alpha != T(1) || beta != T(0) || target.hook.call != nullptr;
  T values[kChunk], addend[kChunk];
  for (int64_t c0 = 0; c0 < cols; c0 += kChunk) {
    const int64_t n = cols - c0 < kChunk ? cols - c0 : kChunk;
    for (int64_t r = 0; r < rows; ++r) {
      const T* v = a + r * a_row + c0;
      if (changed) {
        for (int64_t c = 0; c < n; ++c) values[c] = alpha * v[c];
        if (beta != T(0)) {
          const D* e = static_cast<const D*>(target.e) + r * target.e_row + c0 * target.e_col;
          if (target.e_col == 1) {
            widen_row<T, D>(e, n, addend);
          } else {
            for (int64_t c = 0; c < n; ++c) addend[c] = widen<T, D>(e[c * target.e_col]);
          }
          for (int64_t c = 0; c < n; ++c) values[c] += beta * addend[c];
        }
        if (target.hook.call != nullptr)
          target.hook.call(target.hook.context, values, target.i + r, target.j + c0, n);
        v = values;
      }
      D* d = static_cast<D*>(target.d) + r * target.d_row + c0 * target.d_col;
      if (target.d_col == 1) {
        narrow_row<T, D>(v, n, d);
      } else {
        for (int64_t c = 0; c < n; ++c) d[c * target.d_col] = narrow<D, T>(v[c]);
      }
    }
  }
}

// ---- dots: rows of a against rows of w
// ----------------------------------------------------------------------------

template <class T, class S>
LEGATO_INLINE Vector<T> load_as(const S* p) {
  if constexpr (__is_same(S, T)) return load<T>(p);
#if defined(LEGATO_LEVEL_AVX512)
  if constexpr (__is_same(S, Half))
    return (Vector<T>)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p));
  if constexpr (__is_same(S, Brain)) {
    return (Vector<T>)_mm512_slli_epi32(
        _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p)), 16);
  }
#elif defined(LEGATO_LEVEL_AVX2)
  if constexpr (__is_same(S, Half))
    return (Vector<T>)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p));
  if constexpr (__is_same(S, Brain)) {
    return (Vector<T>)_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)p)),
                                        16);
  }
#endif
  T values[kLanes<T>];
  widen_row<T, S>(p, kLanes<T>, values);
  return load<T>(values);
}

// Adds lane l + n / 2 to lane l for n = all, half, ..., 2 lanes.
template <class T, int Bytes>
LEGATO_INLINE T sum_halves(const Vector<T, Bytes>& v) {
  Vector<T, Bytes / 2> half[2];
  __builtin_memcpy(half, &v, Bytes);
  if constexpr (Bytes == 2 * sizeof(T)) {
    return half[0][0] + half[1][0];
  } else {
    return sum_halves<T, Bytes / 2>(half[0] + half[1]);
  }
}

template <class T, int P>
LEGATO_INLINE T sum_lanes(const Vector<T> (&v)[P]) {
  if constexpr (P == 4) return sum_halves<T, kVectorBytes>((v[0] + v[2]) + (v[1] + v[3]));
  if constexpr (P == 2) return sum_halves<T, kVectorBytes>(v[0] + v[1]);
  return sum_halves<T, kVectorBytes>(v[0]);
}

// As dot_tile, for bfloat16 in pairs: a word of w holds two steps of k, of which the odd one is the
// upper half. It comes first, as VDPBF16PS has it.
template <int M, int N>
LEGATO_INLINE void dot_tile_of_pairs(const float* a, int64_t a_row, const Brain* w, int64_t w_row,
                                     int64_t k, float* d, int64_t d_row) {
  constexpr int L = kLanes<float>, P = 64 / kVectorBytes, half = kPairBlock / 2;
  static_assert(half == L * P);
  typedef Vector<uint32_t> Words;
  Vector<float> acc[M][N][P] = {};
  const auto steps = [&](const float* ak, const Brain* wk,
                         int64_t wk_row) __attribute__((always_inline)) {
#pragma GCC unroll 4
    for (int p = 0; p < P; ++p) {
      Words words[N];
#pragma GCC unroll 4
      for (int j = 0; j < N; ++j)
        __builtin_memcpy(&words[j], wk + j * wk_row + 2 * p * L, sizeof(Words));
#pragma GCC unroll 4
      for (int i = 0; i < M; ++i) {
        const Vector<float> av = load<float>(ak + i * a_row + p * L);
#pragma GCC unroll 4
        for (int j = 0; j < N; ++j) {
          acc[i][j][p] =
              multiply_add<float>(av, (Vector<float>)(words[j] & 0xffff0000u), acc[i][j][p]);
        }
      }
#pragma GCC unroll 4
      for (int j = 0; j < N; ++j) words[j] <<= 16;
#pragma GCC unroll 4
      for (int i = 0; i < M; ++i) {
        const Vector<float> av = load<float>(ak + i * a_row + half + p * L);
#pragma GCC unroll 4
        for (int j = 0; j < N; ++j)
          acc[i][j][p] = multiply_add<float>(av, (Vector<float>)words[j], acc[i][j][p]);
      }
    }
  };
  int64_t q = 0;
  for (; q + kPairBlock <= k; q += kPairBlock) steps(a + q, w + q, w_row);
  if (q < k) {
    Brain rest[N][kPairBlock] = {};
    for (int j = 0; j < N; ++j) {
      for (int64_t c = q; c < k; ++c) rest[j][c - q] = w[j * w_row + c];
    }
    steps(a + q, &rest[0][0], kPairBlock);
  }
#pragma GCC unroll 4
  for (int i = 0; i < M; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) d[i * d_row + j] = sum_lanes<float, P>(acc[i][j]);
  }
}

// A sum has 64 bytes of partial sums at every level, added up as a tree, so that avx2 and avx512
// agree to the bit.
template <class T, class S, int M, int N>
LEGATO_INLINE void dot_tile(const T* a, int64_t a_row, const S* w, int64_t w_row, int64_t k, T* d,
                            int64_t d_row) {
  if constexpr (__is_same(S, Brain))
    return dot_tile_of_pairs<M, N>(a, a_row, w, w_row, k, d, d_row);
  constexpr int L = kLanes<T>, P = 64 / kVectorBytes, step = L * P;
  Vector<T> acc[M][N][P] = {};
  const auto steps = [&](const T* ak, int64_t ak_row, auto* wk, int64_t wk_row)
                         __attribute__((always_inline)) {
#pragma GCC unroll 4
                           for (int p = 0; p < P; ++p) {
                             Vector<T> wv[N];
#pragma GCC unroll 4
                             for (int j = 0; j < N; ++j)
                               wv[j] = load_as<T>(wk + j * wk_row + p * L);
#pragma GCC unroll 4
                             for (int i = 0; i < M; ++i) {
                               const Vector<T> av = load<T>(ak + i * ak_row + p * L);
#pragma GCC unroll 4
                               for (int j = 0; j < N; ++j)
                                 acc[i][j][p] = multiply_add<T>(av, wv[j], acc[i][j][p]);
                             }
                           }
                         };
  int64_t q = 0;
  for (; q + step <= k; q += step) steps(a + q, a_row, w + q, w_row);
  if (q < k) {  // the rest, filled up with zeros
    T a_rest[M][step] = {}, w_rest[N][step] = {};
    for (int i = 0; i < M; ++i) widen_row<T, T>(a + i * a_row + q, k - q, a_rest[i]);
    for (int j = 0; j < N; ++j) widen_row<T, S>(w + j * w_row + q, k - q, w_rest[j]);
    steps(&a_rest[0][0], step, &w_rest[0][0], step);
  }
  // Unrolled, because an accumulator indexed by a variable would live in memory all along.
#pragma GCC unroll 4
  for (int i = 0; i < M; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) {
      d[i * d_row + j] = sum_lanes<T, P>(acc[i][j]);
    }
  }
}

template <class T, class S, int M, int N>
void dot_rows(const T* a, int64_t a_row, const S* w, int64_t w_row, int64_t n, int64_t k, T* d,
              int64_t d_row) {
  int64_t j = 0;
  for (; j + N <= n; j += N) dot_tile<T, S, M, N>(a, a_row, w + j * w_row, w_row, k, d + j, d_row);
  for (; j < n; ++j) dot_tile<T, S, M, 1>(a, a_row, w + j * w_row, w_row, k, d + j, d_row);
}

template <class T, class S>
void dots(const T* a, int64_t a_row, int64_t m, const void* from, int64_t w_row, int64_t n,
          int64_t k, T* d, int64_t d_row) {
  const S* w = static_cast<const S*>(from);
  constexpr int64_t kGroup =
      4;  // rows of w that stay in the first-level cache while the rows of a pass by
  for (int64_t j = 0; j < n; j += kGroup) {
    const int64_t nj = n - j < kGroup ? n - j : kGroup;
    const S* wj = w + j * w_row;
    int64_t i = 0;
#if defined(LEGATO_LEVEL_AVX512)
    for (; i + 4 <= m; i += 4)
      dot_rows<T, S, 4, 4>(a + i * a_row, a_row, wj, w_row, nj, k, d + i * d_row + j, d_row);
#else
    for (; i + 3 <= m; i += 3)
      dot_rows<T, S, 3, 2>(a + i * a_row, a_row, wj, w_row, nj, k, d + i * d_row + j, d_row);
#endif
    for (; i + 2 <= m; i += 2)
      dot_rows<T, S, 2, 2>(a + i * a_row, a_row, wj, w_row, nj, k, d + i * d_row + j, d_row);
    for (; i < m; ++i)
      dot_rows<T, S, 1, 4>(a + i * a_row, a_row, wj, w_row, nj, k, d + i * d_row + j, d_row);
  }
}

// ---- axpys: a row vector times a row-major matrix
// -------------------------------------------------------------------

// The processor does not see where so many streams lead. From memory the next rows are asked for,
// 38 GB/s of 4096 x 4096 float32 instead of 32; from the caches what comes next in the same rows,
// 70 GB/s of 1024 x 4096 instead of 64.
template <class T, class S, int R, bool far>
LEGATO_INLINE void axpy_rows(const T* a, const S* w, int64_t w_row, int64_t n, T* d) {
  constexpr int L = kLanes<T>;
  Vector<T> av[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) av[r] = fill<T>(a[r]);
  int64_t j = 0;
  for (; j + L <= n; j += L) {
    Vector<T> acc = load<T>(d + j);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      if constexpr (far)
        __builtin_prefetch(w + (r + R) * w_row + j, 0, 2);
      else
        __builtin_prefetch(w + r * w_row + j + 512 / sizeof(S), 0, 3);
      acc = multiply_add<T>(av[r], load_as<T>(w + r * w_row + j), acc);
    }
    store<T>(d + j, acc);
  }
  if (j < n) {  // through a whole vector, so that a column's number does not depend on where a
                // thread's share ends
    T rest[L] = {}, values[L] = {};
    widen_row<T, T>(d + j, n - j, rest);
    Vector<T> acc = load<T>(rest);
    for (int r = 0; r < R; ++r) {
      widen_row<T, S>(w + r * w_row + j, n - j, values);
      acc = multiply_add<T>(av[r], load<T>(values), acc);
    }
    store<T>(rest, acc);
    widen_row<T, T>(rest, n - j, d + j);
  }
}

template <class T, class S>
void axpys(const T* a, int64_t rows, const void* from, int64_t w_row, int64_t n, T* d, bool far) {
  const S* w = static_cast<const S*>(from);
  int64_t r = 0;
  for (; r + 8 <= rows; r += 8) {
    if (far)
      axpy_rows<T, S, 8, true>(a + r, w + r * w_row, w_row, n, d);
    else
      axpy_rows<T, S, 8, false>(a + r, w + r * w_row, w_row, n, d);
  }
  for (; r < rows; ++r) axpy_rows<T, S, 1, false>(a + r, w + r * w_row, w_row, n, d);
}

template <class T>
void add(const T* a, int64_t a_row, int64_t rows, int64_t n, T* d) {
  constexpr int L = kLanes<T>;
  int64_t j = 0;
  for (; j + L <= n; j += L) {
    Vector<T> sum = load<T>(d + j);
    for (int64_t r = 0; r < rows; ++r) sum += load<T>(a + r * a_row + j);
    store<T>(d + j, sum);
  }
  for (; j < n; ++j) {
    for (int64_t r = 0; r < rows; ++r) d[j] += a[r * a_row + j];
  }
}

template <class T, class S>
Movers<T> movers() {
  return {load_block<T, S>, store_block<T, S>, __is_same(S, Brain),
          dots<T, S>,       axpys<T, S>,       add<T>};
}

}  // namespace

void fill_movers(GemmKernels& table) {
  table.f32_f32 = movers<float, float>();
  table.f32_f16 = movers<float, Half>();
  table.f32_bf16 = movers<float, Brain>();
  table.f64_f64 = movers<double, double>();
  table.u32_u8 = movers<uint32_t, uint8_t>();
  table.u32_u16 = movers<uint32_t, uint16_t>();
  table.u32_u32 = movers<uint32_t, uint32_t>();
  table.u64_u64 = movers<uint64_t, uint64_t>();
}

}  // namespace legato::cpu::LEGATO_LEVEL
