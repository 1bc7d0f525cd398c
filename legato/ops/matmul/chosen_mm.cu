// Products of matrices that are picked by index, and of segments of the summed axis. Those of
// halves that are picked: chosen_half.cu.
#include "legato/ops/matmul/chosen.cuh"

namespace legato::cuda {

// A block takes the rows of a tile of the stacked results: one pass for each run of rows that meet
// the same matrix of b.
template <class T>
LEGATO_INLINE void gather_mm(const GatherMmParams& p, Tiles<T>& tiles, ChosenRows<kMatmulTile>& m) {
  const TilePlace at = tile_place(p.count * p.m, p.n, kMatmulTile);
  m.find(p, at.row0);
  for (int first = 0, end; first < kMatmulTile; first = end) {
    end = m.run_end(first);
    if (m.right[first] < 0) continue;
    auto in_run = [&](int r) { return r >= first && r < end ? m.row_at[r] : kOutside; };
    TileProduct<T> product;
    product.compute(tiles, static_cast<const T*>(p.a), in_run, p.a_col,
                    static_cast<const T*>(p.b) + m.right[first] * p.b_next + at.col0 * p.b_col,
                    p.b_row, p.b_col, p.n - at.col0, p.k);
    product.for_each([&](int row, int c, Compute<T> sum) {
      const long long col = at.col0 + c;
      if (row >= first && row < end && col < p.n)
        static_cast<T*>(p.d)[(at.row0 + row) * p.n + col] = written<T>(sum);
    });
  }
}

template <class T>
LEGATO_INLINE void segmented_mm(const SegmentedMmParams& p, Tiles<T>& tiles) {
  const TilePlace at = tile_place(p.m, p.n, kMatmulTile);
  const long long begin = p.ends[at.batch * p.ends_step],
                  end = p.ends[at.batch * p.ends_step + p.ends_next];
  const bool fits = begin >= 0 && begin <= end && end <= p.k;
  if (!fits && threadIdx.x == 0) report_value(p.report, static_cast<int>(at.batch), begin, end);
  auto row_at = [&](int r) { return at.row0 + r < p.m ? (at.row0 + r) * p.a_row : kOutside; };
  TileProduct<T> product;
  const long long from = fits ? begin : 0;
  product.compute(tiles, static_cast<const T*>(p.a) + from * p.a_col, row_at, p.a_col,
                  static_cast<const T*>(p.b) + from * p.b_row + at.col0 * p.b_col, p.b_row, p.b_col,
                  p.n - at.col0, fits ? end - begin : 0);
  T* d = static_cast<T*>(p.d) + at.batch * p.m * p.n;
  product.for_each([&](int r, int c, Compute<T> sum) {
    const long long row = at.row0 + r, col = at.col0 + c;
    if (row < p.m && col < p.n) d[row * p.n + col] = written<T>(sum);
  });
}

#define LEGATO_SEGMENTED_MM(end, T)                                      \
  LEGATO_KERNEL(segmented_mm_##end, SegmentedMmParams, kMatmulThreads) { \
    __shared__ Tiles<T> tiles;                                           \
    segmented_mm<T>(p, tiles);                                           \
  }
#define LEGATO_CHOSEN_MM(end, T)                                   \
  LEGATO_KERNEL(gather_mm_##end, GatherMmParams, kMatmulThreads) { \
    __shared__ Tiles<T> tiles;                                     \
    __shared__ ChosenRows<kMatmulTile> rows;                       \
    gather_mm<T>(p, tiles, rows);                                  \
  }                                                                \
  LEGATO_SEGMENTED_MM(end, T)
LEGATO_CHOSEN_MM(u8, uint8_t)
LEGATO_CHOSEN_MM(u16, uint16_t)
LEGATO_CHOSEN_MM(u32, uint32_t)
LEGATO_CHOSEN_MM(u64, uint64_t)
LEGATO_CHOSEN_MM(f32, float)
LEGATO_CHOSEN_MM(f64, double)
LEGATO_CHOSEN_MM(c64, c64)
LEGATO_CHOSEN_MM(c128, c128)
LEGATO_SEGMENTED_MM(f16, f16)
LEGATO_SEGMENTED_MM(bf16, bf16)

}  // namespace legato::cuda
