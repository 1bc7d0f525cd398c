// gather_mm of halves on tensor cores. A block of eight warps does 128 x 128 outputs, a warp 64 x
// 32; steps of 32 along k go through three stages in shared memory, two of which are on their way
// while one is multiplied.
#include "legato/backends/cuda/mma.cuh"
#include "legato/backends/cuda/rows.cuh"
#include "legato/ops/matmul/chosen.cuh"

namespace legato::cuda {

/// Halves of a stage. Pitches keep the rows that ldmatrix reads together in different banks.
struct HalfStage {
  static constexpr int kPitch = kHalfDepth + 8, kWidePitch = kHalfTile + 8;
  uint16_t a[kHalfTile * kPitch];  // [row][k]
  uint16_t b[kHalfTile * kPitch];  // [column][k], or [k][column] with kWidePitch
};
static_assert(kHalfDepth * HalfStage::kWidePitch <= kHalfTile * HalfStage::kPitch);
static_assert(sizeof(HalfStage) * kHalfStages == kHalfShared);

/// The sums of a block's tile for the rows that row_at(r) finds, and the matrix b.
template <class T>
struct HalfProduct {
  const GatherMmParams& p;
  HalfStage* stages;
  float sums[4][4][4];  // of 16 rows and 8 columns each, as mma.cuh has them

  LEGATO_INLINE static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  LEGATO_INLINE static int warp_row() { return static_cast<int>(threadIdx.x) / 128 * 64; }
  LEGATO_INLINE static int warp_col() { return static_cast<int>(threadIdx.x) / 32 % 4 * 32; }

  /// Begins to bring step `k0` of both operands.
  template <class RowAt>
  LEGATO_INLINE void bring(HalfStage& s, RowAt row_at, const uint16_t* b, long long cols,
                           long long k0) const {
    const int thread = static_cast<int>(threadIdx.x);
    const uint16_t* a = static_cast<const uint16_t*>(p.a);
    constexpr int pitch = HalfStage::kPitch, wide = HalfStage::kWidePitch;
    if (p.wide_a) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int row = thread / 4 + i * 64, k = thread % 4 * 8;
        const long long at = row_at(row);
        const bool valid = at != kOutside && k0 + k < p.k;
        copy_16(&s.a[row * pitch + k], valid ? a + at + k0 + k : a, valid);
      }
    } else {
      for (int e = thread; e < kHalfTile * kHalfDepth; e += kHalfThreads) {
        const int row = e / kHalfDepth, k = e % kHalfDepth;
        const long long at = row_at(row);
        s.a[row * pitch + k] =
            at != kOutside && k0 + k < p.k ? a[at + (k0 + k) * p.a_col] : uint16_t{0};
      }
    }
    if (p.wide_b) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int k = thread / 16 + i * 16, c = thread % 16 * 8;
        const bool valid = c < cols && k0 + k < p.k;
        copy_16(&s.b[k * wide + c], valid ? b + (k0 + k) * p.b_row + c : b, valid);
      }
    } else if (p.deep_b) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int c = thread / 4 + i * 64, k = thread % 4 * 8;
        const bool valid = c < cols && k0 + k < p.k;
        copy_16(&s.b[c * pitch + k], valid ? b + c * p.b_col + k0 + k : b, valid);
      }
    } else {
      for (int e = thread; e < kHalfTile * kHalfDepth; e += kHalfThreads) {
        const int k = e / kHalfTile, c = e % kHalfTile;
        s.b[k * wide + c] =
            c < cols && k0 + k < p.k ? b[(k0 + k) * p.b_row + c * p.b_col] : uint16_t{0};
      }
    }
    commit_copies();
  }

  LEGATO_INLINE void multiply(const HalfStage& s) {
    constexpr int pitch = HalfStage::kPitch, wide = HalfStage::kWidePitch;
#pragma unroll
    for (int k = 0; k < kHalfDepth; k += 16) {
      uint32_t a[4][4], b[2][4];  // b: of 8 columns each, k to k + 7 and k + 8 to k + 15
#pragma unroll
      for (int i = 0; i < 4; ++i)
        load_matrices<false>(
            a[i], &s.a[(warp_row() + i * 16 + lane() % 16) * pitch + k + lane() / 16 * 8]);
      if (p.deep_b) {
#pragma unroll
        for (int j = 0; j < 2; ++j)
          load_matrices<false>(
              b[j], &s.b[(warp_col() + j * 16 + lane() / 16 * 8 + lane() % 8) * pitch + k +
                         lane() / 8 % 2 * 8]);
      } else {
#pragma unroll
        for (int j = 0; j < 2; ++j)
          load_matrices<true>(
              b[j], &s.b[(k + lane() % 16) * wide + warp_col() + j * 16 + lane() / 16 * 8]);
      }
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j)
          multiply_tile<T>(sums[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
    }
  }

  template <class RowAt>
  LEGATO_INLINE void compute(RowAt row_at, const uint16_t* b, long long cols) {
    for (auto& rows : sums)
      for (auto& four : rows)
        for (float& sum : four) sum = 0;
    const long long steps = (p.k + kHalfDepth - 1) / kHalfDepth;
    for (int i = 0; i < kHalfStages - 1; ++i) {
      if (i < steps)
        bring(stages[i], row_at, b, cols, i * kHalfDepth);
      else
        commit_copies();
    }
    int slot = 0, next = kHalfStages - 1;
    for (long long i = 0; i < steps; ++i) {
      wait_copies<kHalfStages - 2>();
      __syncthreads();  // this step is there, and the one before has been multiplied
      if (i + kHalfStages - 1 < steps)
        bring(stages[next], row_at, b, cols, (i + kHalfStages - 1) * kHalfDepth);
      else
        commit_copies();
      multiply(stages[slot]);
      slot = slot + 1 < kHalfStages ? slot + 1 : 0;
      next = next + 1 < kHalfStages ? next + 1 : 0;
    }
    __syncthreads();
  }

  /// Writes rows [first, end) of the tile at `d`, whose columns beyond `cols` do not exist.
  LEGATO_INLINE void write(uint16_t* d, int first, int end, long long cols) const {
    const bool pairs = p.n % 2 == 0 && reinterpret_cast<uintptr_t>(d) % 4 == 0;
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const int row = warp_row() + i * 16 + lane() / 4 + e * 8;
        if (row < first || row >= end) continue;
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const int col = warp_col() + j * 8 + lane() % 4 * 2;
          const uint32_t two = pack_halves<T>(sums[i][j][2 * e], sums[i][j][2 * e + 1]);
          uint16_t* to = d + row * p.n + col;
          if (pairs && col < cols) {
            *reinterpret_cast<uint32_t*>(to) = two;
          } else {
            if (col < cols) to[0] = static_cast<uint16_t>(two);
            if (col + 1 < cols) to[1] = static_cast<uint16_t>(two >> 16);
          }
        }
      }
  }
};

template <class T>
LEGATO_INLINE void gather_half(const GatherMmParams& p, HalfStage* stages,
                               ChosenRows<kHalfTile>& m) {
  const TilePlace at = tile_place(p.count * p.m, p.n, kHalfTile);
  m.find(p, at.row0);
  HalfProduct<T> product{p, stages, {}};
  const long long cols = p.n - at.col0;
  for (int first = 0, end; first < kHalfTile; first = end) {
    end = m.run_end(first);
    if (m.right[first] < 0) continue;
    auto in_run = [&](int r) { return r >= first && r < end ? m.row_at[r] : kOutside; };
    product.compute(
        in_run, static_cast<const uint16_t*>(p.b) + m.right[first] * p.b_next + at.col0 * p.b_col,
        cols);
    product.write(static_cast<uint16_t*>(p.d) + at.row0 * p.n + at.col0, first, end, cols);
  }
}

// Two blocks a multiprocessor: one waits, the other multiplies.
#define LEGATO_HALF_BOUNDS kHalfThreads, 2
#define LEGATO_GATHER_HALF(end, T)                                       \
  LEGATO_KERNEL(gather_half_##end, GatherMmParams, LEGATO_HALF_BOUNDS) { \
    LEGATO_DYNAMIC_SHARED(memory);                                       \
    __shared__ ChosenRows<kHalfTile> rows;                               \
    gather_half<T>(p, reinterpret_cast<HalfStage*>(memory), rows);       \
  }
LEGATO_GATHER_HALF(f16, f16)
LEGATO_GATHER_HALF(bf16, bf16)

}  // namespace legato::cuda
