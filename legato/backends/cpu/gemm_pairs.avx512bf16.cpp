// bfloat16 products by VDPBF16PS, which multiplies two steps of k at a time.
//
// The instruction adds the product of the odd elements of its pairs, then that of the even ones,
// each rounded as a fused multiply-add. The first step of k therefore goes into the odd half, and
// the sums are those of the float32 tiles to the bit; but it takes numbers below 2^-126 as zero.
#include "legato/backends/cpu/gemm_kernels.h"
#include "legato/backends/cpu/gemm_vector.h"

namespace legato::cpu::LEGATO_LEVEL {
namespace {

constexpr int kTileRows = 8, kTileVectors = 3;
constexpr int kPairs = 16;  // of a vector
static_assert(kTileRows <= kMaxTileRows && kTileVectors <= kMaxTileVectors);

// As TileKernels::Rows. An element of a or b is a pair of bfloat16 that stands for a float of the
// same size.
template <int M, int V>
void tile_of_pairs(const float* const* a, const float* b, int64_t b_stride, const Span* spans,
                   int64_t span_count, float* const* d, bool add) {
  __m512 acc[M][V];
#pragma GCC unroll 8
  for (int i = 0; i < M; ++i) {
    __builtin_prefetch(d[i], 1);
    __builtin_prefetch(d[i] + V * kPairs - 1, 1);
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) acc[i][j] = _mm512_setzero_ps();
  }
  const float* row[M];
#pragma GCC unroll 8
  for (int i = 0; i < M; ++i) row[i] = a[i];
  for (const Span* s = spans; s != spans + span_count; ++s) {
    const float* bk = b + s->b * b_stride;
    for (int64_t k = s->a, end = s->a + s->count; k < end; ++k, bk += b_stride) {
      __m512i bv[V];
#pragma GCC unroll 4
      for (int j = 0; j < V; ++j) bv[j] = _mm512_loadu_si512(bk + j * kPairs);
#pragma GCC unroll 8
      for (int i = 0; i < M; ++i) {
        int32_t pair;
        __builtin_memcpy(&pair, row[i] + k, sizeof pair);
        const __m512i av = _mm512_set1_epi32(pair);
#pragma GCC unroll 4
        for (int j = 0; j < V; ++j)
          acc[i][j] = _mm512_dpbf16_ps(acc[i][j], (__m512bh)av, (__m512bh)bv[j]);
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < M; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) {
      float* to = d[i] + j * kPairs;
      _mm512_storeu_ps(to, add ? _mm512_add_ps(_mm512_loadu_ps(to), acc[i][j]) : acc[i][j]);
    }
  }
}

template <int M>
void fill_rows(TileKernels<float>& table) {
  table.by_rows[M - 1][0] = tile_of_pairs<M, 1>;
  table.by_rows[M - 1][1] = tile_of_pairs<M, 2>;
  table.by_rows[M - 1][2] = tile_of_pairs<M, 3>;
  if constexpr (M > 1) fill_rows<M - 1>(table);
}

// ---- packing
// ------------------------------------------------------------------------------------------------

LEGATO_INLINE uint32_t pair_of(const uint16_t* first, const uint16_t* second) {
  return uint32_t{*first} << 16 | (second != nullptr ? *second : 0u);
}
LEGATO_INLINE __mmask32 mask_of(int64_t n, int most) {
  return n >= most ? ~__mmask32{0} >> (32 - most) : (__mmask32{1} << n) - 1;
}

// d[c] = the pair of first[c] and second[c]; `second` may be null.
LEGATO_INLINE void interleave(const uint16_t* first, const uint16_t* second, int64_t n,
                              uint32_t* d) {
  int64_t c = 0;
  if (second != nullptr) {
    alignas(64) static constexpr uint16_t kFrom[32] = {32, 0,  33, 1,  34, 2,  35, 3,  36, 4,  37,
                                                       5,  38, 6,  39, 7,  40, 8,  41, 9,  42, 10,
                                                       43, 11, 44, 12, 45, 13, 46, 14, 47, 15};
    const __m512i low = _mm512_load_si512(kFrom),
                  high = _mm512_add_epi16(low, _mm512_set1_epi16(kPairs));
    for (; c + 2 * kPairs <= n; c += 2 * kPairs) {
      const __m512i x = _mm512_loadu_si512(first + c), y = _mm512_loadu_si512(second + c);
      _mm512_storeu_si512(d + c, _mm512_permutex2var_epi16(x, low, y));
      _mm512_storeu_si512(d + c + kPairs, _mm512_permutex2var_epi16(x, high, y));
    }
  }
  for (; c < n; c += kPairs) {
    const auto mask = static_cast<__mmask16>(mask_of(n - c, kPairs));
    const __m512i high = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, first + c));
    __m512i v = _mm512_slli_epi32(high, 16);
    if (second != nullptr)
      v = _mm512_or_si512(v, _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, second + c)));
    _mm512_mask_storeu_epi32(d + c, mask, v);
  }
}

// d[r][p] = the pair of a[r][2 p] and a[r][2 p + 1], for `k` elements a row.
void load_rows(const void* from, int64_t a_row, int64_t a_col, int64_t rows, int64_t k, float* to,
               int64_t d_row, const Movers<uint32_t>& words) {
  const auto* a = static_cast<const uint16_t*>(from);
  auto* d = reinterpret_cast<uint32_t*>(to);
  if (a_col == 1) {
    for (int64_t r = 0; r < rows; ++r) {
      int64_t q = 0;
      for (; q + 2 * kPairs <= k; q += 2 * kPairs) {
        const __m512i v = _mm512_loadu_si512(a + r * a_row + q);
        _mm512_storeu_si512(d + r * d_row + q / 2, _mm512_rol_epi32(v, 16));
      }
      if (q < k) {
        const __m512i v = _mm512_maskz_loadu_epi16(mask_of(k - q, 32), a + r * a_row + q);
        const auto mask = static_cast<__mmask16>(mask_of((k - q + 1) / 2, kPairs));
        _mm512_mask_storeu_epi32(d + r * d_row + q / 2, mask, _mm512_rol_epi32(v, 16));
      }
    }
  } else if (a_row == 1) {
    constexpr int kSteps = 8, kMost = 256;  // pairs and rows that wait to be transposed
    uint32_t wait[kSteps * kMost];
    for (int64_t r = 0; r < rows; r += kMost) {
      const int64_t n = rows - r < kMost ? rows - r : kMost;
      for (int64_t q = 0; q < k; q += 2 * kSteps) {
        int64_t steps = 0;
        for (; steps < kSteps && q + 2 * steps < k; ++steps) {
          const uint16_t* first = a + r + (q + 2 * steps) * a_col;
          interleave(first, q + 2 * steps + 1 < k ? first + a_col : nullptr, n,
                     wait + steps * kMost);
        }
        words.load(wait, 1, kMost, n, steps, d + r * d_row + q / 2, d_row);
      }
    }
  } else {
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t q = 0; q < k; q += 2) {
        const uint16_t* first = a + r * a_row + q * a_col;
        d[r * d_row + q / 2] = pair_of(first, q + 1 < k ? first + a_col : nullptr);
      }
    }
  }
}

// d[p][c] = the pair of b[2 p][c] and b[2 p + 1][c], for `k` rows.
void load_columns(const void* from, int64_t b_row, int64_t b_col, int64_t k, int64_t cols,
                  float* to, int64_t d_row, const Movers<uint32_t>& words) {
  const auto* b = static_cast<const uint16_t*>(from);
  auto* d = reinterpret_cast<uint32_t*>(to);
  if (b_col == 1) {
    for (int64_t q = 0; q < k; q += 2)
      interleave(b + q * b_row, q + 1 < k ? b + (q + 1) * b_row : nullptr, cols, d + q / 2 * d_row);
    return;
  }
  int64_t q = 0;
  if (b_row == 1 && b_col % 2 == 0) {  // pairs lie side by side, in the other order
    q = k / 2 * 2;
    words.load(b, 1, b_col / 2, q / 2, cols, d, d_row);
    for (int64_t p = 0; p < q / 2; ++p) {
      for (int64_t c = 0; c < cols; c += kPairs) {
        const auto mask = static_cast<__mmask16>(mask_of(cols - c, kPairs));
        uint32_t* at = d + p * d_row + c;
        _mm512_mask_storeu_epi32(at, mask,
                                 _mm512_rol_epi32(_mm512_maskz_loadu_epi32(mask, at), 16));
      }
    }
  }
  for (; q < k; q += 2) {
    for (int64_t c = 0; c < cols; ++c) {
      const uint16_t* first = b + q * b_row + c * b_col;
      d[q / 2 * d_row + c] = pair_of(first, q + 1 < k ? first + b_row : nullptr);
    }
  }
}

// Adds lane l + n / 2 to lane l for n = 16, 8, 4, 2, as the other levels do.
LEGATO_INLINE float sum_lanes(__m512 v) {
  const __m256 v8 = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  const __m128 v4 = _mm_add_ps(_mm256_castps256_ps128(v8), _mm256_extractf128_ps(v8, 1));
  const __m128 v2 = _mm_add_ps(v4, _mm_movehl_ps(v4, v4));
  return _mm_cvtss_f32(_mm_add_ss(v2, _mm_movehdup_ps(v2)));
}

template <int M, int N>
LEGATO_INLINE void dot_tile(const uint16_t* a, int64_t a_row, const uint16_t* w, int64_t w_row,
                            int64_t k, float* d, int64_t d_row) {
  __m512 acc[M][N];
#pragma GCC unroll 4
  for (int i = 0; i < M; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) acc[i][j] = _mm512_setzero_ps();
  }
  for (int64_t q = 0; q < k; q += kPairBlock) {
    const __mmask32 mask = mask_of(k - q, kPairBlock);
    __m512i wv[N];
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) wv[j] = _mm512_maskz_loadu_epi16(mask, w + j * w_row + q);
#pragma GCC unroll 4
    for (int i = 0; i < M; ++i) {
      const __m512i av = _mm512_loadu_si512(a + i * a_row + q);
#pragma GCC unroll 4
      for (int j = 0; j < N; ++j)
        acc[i][j] = _mm512_dpbf16_ps(acc[i][j], (__m512bh)av, (__m512bh)wv[j]);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < M; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) d[i * d_row + j] = sum_lanes(acc[i][j]);
  }
}

template <int M>
LEGATO_INLINE void dot_rows(const uint16_t* a, int64_t a_row, const uint16_t* w, int64_t w_row,
                            int64_t n, int64_t k, float* d, int64_t d_row) {
  if (n == 4) return dot_tile<M, 4>(a, a_row, w, w_row, k, d, d_row);
  for (int64_t j = 0; j < n; ++j) dot_tile<M, 1>(a, a_row, w + j * w_row, w_row, k, d + j, d_row);
}

void dots(const uint16_t* a, int64_t a_row, int64_t m, const void* from, int64_t w_row, int64_t n,
          int64_t k, float* d, int64_t d_row) {
  const auto* w = static_cast<const uint16_t*>(from);
  for (int64_t j = 0; j < n; j += 4) {  // these stay in the first-level cache
    const int64_t count = n - j < 4 ? n - j : 4;
    const uint16_t* wj = w + j * w_row;
    int64_t i = 0;
    for (; i + 4 <= m; i += 4)
      dot_rows<4>(a + i * a_row, a_row, wj, w_row, count, k, d + i * d_row + j, d_row);
    for (; i + 2 <= m; i += 2)
      dot_rows<2>(a + i * a_row, a_row, wj, w_row, count, k, d + i * d_row + j, d_row);
    for (; i < m; ++i)
      dot_rows<1>(a + i * a_row, a_row, wj, w_row, count, k, d + i * d_row + j, d_row);
  }
}

void store(const float* a, int64_t a_row, int64_t rows, int64_t cols, void* to, int64_t d_row) {
  auto* d = static_cast<uint16_t*>(to);
  for (int64_t r = 0; r < rows; ++r, a += a_row, d += d_row) {
    int64_t c = 0;
    for (; c + 2 * kPairs <= cols; c += 2 * kPairs) {
      const __m512bh v =
          _mm512_cvtne2ps_pbh(_mm512_loadu_ps(a + c + kPairs), _mm512_loadu_ps(a + c));
      _mm512_storeu_si512(d + c, (__m512i)v);
    }
    for (; c < cols; c += kPairs) {
      const auto mask = static_cast<__mmask16>(mask_of(cols - c, kPairs));
      const __m256bh v = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, a + c));
      _mm256_mask_storeu_epi16(d + c, mask, (__m256i)v);
    }
  }
}

}  // namespace

void fill_pairs(PairKernels& table) {
  table.tiles.rows = kTileRows;
  table.tiles.vectors = kTileVectors;
  table.tiles.lanes = kPairs;
  fill_rows<kTileRows>(table.tiles);
  table.load_rows = load_rows;
  table.load_columns = load_columns;
  table.dots = dots;
  table.store = store;
}

}  // namespace legato::cpu::LEGATO_LEVEL
