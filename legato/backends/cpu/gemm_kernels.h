// What the GEMM and convolution engines need from each vector level: tables of plain functions.
// All strides and offsets count elements.
#pragma once
#include <cstdint>

#include "legato/base/cpu_info.h"

namespace legato::cpu {

/// A stretch of the inner (k) dimension. Kernels run through a list of them, which is what lets one
/// kernel serve GEMM (one span) and convolution (a span a tap). Offsets are relative to the
/// pointers given to the kernel.
struct Span {
  int64_t a;      ///< elements from the pointer(s) to a
  int64_t b;      ///< row kernels: rows of b. Column kernels: elements from the pointer to b.
  int64_t count;  ///< steps of k
};

inline constexpr int kMaxTileRows = 8;
inline constexpr int kMaxTileVectors = 3;

/// Register tiles: m rows x (v * lanes) columns, fused multiply-adds in order of k, so that a
/// tile's numbers depend neither on its size nor on the level (base, which has no fma, excepted).
template <class T>
struct TileKernels {
  /// d[i][j] = (add ? d[i][j] : 0) + sum over spans s, r < s.count of a[i][s.a + r] * b[(s.b + r) *
  /// b_stride + j]. `a` and `d` point to m row pointers; columns of b and d are contiguous, all v *
  /// lanes of them.
  using Rows = void (*)(const T* const* a, const T* b, int64_t b_stride, const Span* spans,
                        int64_t span_count, T* const* d, bool add);
  /// The same of a[s.a + r * a_stride + i] * b[s.b + r * b_stride + j], with m elements of a and v
  /// * lanes of b side by side.
  using Columns = void (*)(const T* a, int64_t a_stride, const T* b, int64_t b_stride,
                           const Span* spans, int64_t span_count, T* const* d, bool add);

  int rows = 0;                                            ///< most rows of a tile
  int vectors = 0;                                         ///< most vectors of a tile
  int lanes = 0;                                           ///< elements of a vector
  Rows by_rows[kMaxTileRows][kMaxTileVectors] = {};        ///< [m - 1][v - 1]
  Columns by_columns[kMaxTileRows][kMaxTileVectors] = {};  ///< [m - 1][v - 1]; floating types only

  int width() const { return vectors * lanes; }
};

/// Called for each finished stretch of a row, `values[0..n)` being columns j.. of row i, before it
/// is rounded to the output dtype. May change the values. Runs on any thread.
template <class T>
struct RowHook {
  void (*call)(void* context, T* values, int64_t i, int64_t j, int64_t n) = nullptr;
  void* context = nullptr;
};

/// Where a block of results goes: d = T(alpha * value + beta * e), hook applied, rounded once.
template <class T>
struct StoreTarget {
  void* d;
  int64_t d_row, d_col;
  const void* e;  ///< not read if beta is 0; same dtype as d
  int64_t e_row, e_col;
  T alpha, beta;
  RowHook<T> hook;
  int64_t i, j;  ///< position of the block's first element, for the hook
};

/// Steps of k of Movers::dots and PairKernels::dots, where those come in pairs.
inline constexpr int kPairBlock = 32;

/// Moves between memory of one dtype and the type T that is computed in (float for the half types,
/// unsigned for ints).
template <class T>
struct Movers {
  /// d[r * d_row + c] = T(a[r * a_row + c * a_col]): any strides on the left, rows on the right.
  void (*load)(const void* a, int64_t a_row, int64_t a_col, int64_t rows, int64_t cols, T* d,
               int64_t d_row) = nullptr;
  void (*store)(const T* a, int64_t a_row, int64_t rows, int64_t cols,
                const StoreTarget<T>& target) = nullptr;
  /// d[i * d_row + j] = sum over k of a[i * a_row + k] * T(w[j * w_row + k]), rows of w contiguous.
  /// Where `dots_by_pairs`, a has kPairBlock numbers at a time in another order: first the odd
  /// ones, then the even ones; the last block is filled up with zeros.
  bool dots_by_pairs = false;
  void (*dots)(const T* a, int64_t a_row, int64_t m, const void* w, int64_t w_row, int64_t n,
               int64_t k, T* d, int64_t d_row) = nullptr;
  /// d[j] += sum over r < rows, in order, of a[r] * T(w[r * w_row + j]), columns of w contiguous.
  /// `far`: w lies beyond the caches.
  void (*axpys)(const T* a, int64_t rows, const void* w, int64_t w_row, int64_t n, T* d,
                bool far) = nullptr;
  /// d[j] += sum over r < rows, in order, of a[r * a_row + j].
  void (*add)(const T* a, int64_t a_row, int64_t rows, int64_t n, T* d) = nullptr;
};

/// Depthwise convolution: every channel by itself. Spans are taps: a counts from a position's
/// pointer, b is the row of w.
template <class T>
struct DepthwiseKernels {
  /// y[i][c] = sum over taps of x[i][tap.a + c] * w[tap.b * w_row + c], for `count` positions.
  void (*forward)(const T* const* x, T* const* y, int64_t count, const Span* taps,
                  int64_t tap_count, const T* w, int64_t w_row, int64_t channels) = nullptr;
  /// d[c] = (add ? d[c] : 0) + sum over spans of a[s.a + r * a_stride + c] * b[s.b + r * b_stride +
  /// c].
  void (*weight)(const T* a, int64_t a_stride, const T* b, int64_t b_stride, const Span* spans,
                 int64_t span_count, T* d, bool add, int64_t channels) = nullptr;
};

/// Tiles that take two steps of k at a time: an element of a and b is a pair of bfloat16 in the
/// place of a float, an odd last step is a pair with zero.
struct PairKernels {
  TileKernels<float> tiles;  ///< by_rows only
  /// As Movers::load for rows of a, pairing along the columns, and for b, pairing along the rows;
  /// `cols` and `rows` count bfloat16. `words` are the level's.
  void (*load_rows)(const void* a, int64_t a_row, int64_t a_col, int64_t rows, int64_t cols,
                    float* d, int64_t d_row, const Movers<uint32_t>& words) = nullptr;
  void (*load_columns)(const void* b, int64_t b_row, int64_t b_col, int64_t rows, int64_t cols,
                       float* d, int64_t d_row, const Movers<uint32_t>& words) = nullptr;
  /// As Movers::dots, for rows of a as they are, filled up with zeros to kPairBlock numbers.
  void (*dots)(const uint16_t* a, int64_t a_row, int64_t m, const void* w, int64_t w_row, int64_t n,
               int64_t k, float* d, int64_t d_row) = nullptr;
  /// Rows of sums, rounded to rows of bfloat16. Those below 2^-126 become zero.
  void (*store)(const float* a, int64_t a_row, int64_t rows, int64_t cols, void* d,
                int64_t d_row) = nullptr;
};

/// One level's functions.
struct GemmKernels {
  TileKernels<float> f32;
  TileKernels<double> f64;
  TileKernels<uint32_t> u32;
  TileKernels<uint64_t> u64;
  Movers<float> f32_f32, f32_f16, f32_bf16;
  Movers<double> f64_f64;
  Movers<uint32_t> u32_u8, u32_u16, u32_u32;
  Movers<uint64_t> u64_u64;
  DepthwiseKernels<float> depthwise_f32;
  DepthwiseKernels<double> depthwise_f64;
};

/// The functions of `level`, which must not be above that of the machine.
const GemmKernels& gemm_kernels(SimdLevel level);

#define LEGATO_DECLARE_GEMM_LEVEL(level)     \
  namespace level {                          \
  void fill_tiles_float(GemmKernels& table); \
  void fill_tiles_other(GemmKernels& table); \
  void fill_movers(GemmKernels& table);      \
  void fill_depthwise(GemmKernels& table);   \
  }
LEGATO_DECLARE_GEMM_LEVEL(base)
LEGATO_DECLARE_GEMM_LEVEL(avx2)
LEGATO_DECLARE_GEMM_LEVEL(avx512)
#undef LEGATO_DECLARE_GEMM_LEVEL
namespace avx512bf16 {
void fill_pairs(PairKernels& table);
}

}  // namespace legato::cpu
