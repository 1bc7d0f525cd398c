// Scans of neighbours through tiles in shared memory (tiles.cuh).
//
// Long ones, where there are few of them: a tile is a block's, and finds what comes before it from
// the tiles before (Note [Relays]). Rows of up to a few thousand elements, where there are many: a
// warp has a row, or several short ones, and goes along it.
#include "legato/backends/cuda/at_once.cuh"
#include "legato/ops/scan/scan_logs.cuh"
#include "legato/ops/scan/tiles.cuh"

namespace legato::cuda {

template <class S>
struct TileMemory {
  unsigned ticket;
  typename S::A totals[kTileWarps];
  Relay<S> relay;
};

template <class S>
LEGATO_INLINE void scan_tile(const ScanParams& p, char* shared, TileMemory<S>& m) {
  using A = typename S::A;
  const S s(p);
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  long long t;
  const WarpTile<S> tile = take_tile<S>(p, shared, &m.ticket, t);
  const A upto = scan_warp(s, tile.total(s, p)), lanes = shuffle_up(upto, 1);
  if (lane == 31) m.totals[warp] = upto;
  __syncthreads();
  A total = m.totals[0];
  if (warp == 0)
    for (int w = 1; w < kTileWarps; ++w) total = s.combine(total, m.totals[w]);
  A acc = m.relay.before(s, p, tile.row, t, total);
  for (int w = 0; w < warp; ++w) acc = s.combine(acc, m.totals[w]);
  tile.scan(s, p, lane == 0 ? acc : s.combine(acc, lanes));
  __syncwarp();
  tile.write(p);
}

template <class S>
LEGATO_INLINE void scan_by_warps(const ScanParams& p, char* shared) {
  using A = typename S::A;
  using Tile = WarpTile<S>;
  const S s(p);
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const long long first_row =
      (static_cast<long long>(blockIdx.x) * kTileWarps + warp) * p.rows_at_once;
  Tile tile{reinterpret_cast<typename Tile::Packed*>(shared), p.log_packs, first_row, 0};
  const int apart = tile.place(32 << p.log_packs);
  tile.at += warp * p.rows_at_once * apart;
  auto* const at = tile.at;
  const int rows = p.scans - first_row < p.rows_at_once
                       ? (p.scans > first_row ? static_cast<int>(p.scans - first_row) : 0)
                       : p.rows_at_once;
  A acc = s.none();  // what comes before; rows of several tiles come one by one
  for (; tile.first < p.n; tile.first += tile.elements()) {
    for (int r = 0; r < rows; ++r) {
      tile.at = at + r * apart;
      tile.row = first_row + r;
      tile.bring(p);
    }
    tile.arrive();
    for (int r = 0; r < rows; ++r) {
      tile.at = at + r * apart;
      tile.row = first_row + r;
      const A upto = scan_warp(s, tile.total(s, p)), lanes = shuffle_up(upto, 1);
      tile.scan(s, p, lane == 0 ? acc : s.combine(acc, lanes));
      if (p.rows_at_once == 1) acc = s.combine(acc, shuffle_from(upto, 31));
      __syncwarp();
      tile.write(p);
    }
    __syncwarp();
  }
}

#define LEGATO_SCAN_TILES(name, ...)                                      \
  LEGATO_KERNEL_AT_ONCE(scan_tiles_##name, ScanParams, kTileThreads, 3) { \
    LEGATO_DYNAMIC_SHARED(shared);                                        \
    __shared__ TileMemory<__VA_ARGS__> memory;                            \
    scan_tile<__VA_ARGS__>(p, shared, memory);                            \
  }                                                                       \
  LEGATO_KERNEL_AT_ONCE(scan_warps_##name, ScanParams, kTileThreads, 4) { \
    LEGATO_DYNAMIC_SHARED(shared);                                        \
    scan_by_warps<__VA_ARGS__>(p, shared);                                \
  }
LEGATO_SCAN_TILES(arith_bool, ArithScan<bool>)
LEGATO_SCAN_TILES(arith_u8, ArithScan<uint8_t>)
LEGATO_SCAN_TILES(arith_u16, ArithScan<uint16_t>)
LEGATO_SCAN_TILES(arith_u32, ArithScan<uint32_t>)
LEGATO_SCAN_TILES(arith_u64, ArithScan<uint64_t>)
LEGATO_SCAN_TILES(arith_f16, ArithScan<f16>)
LEGATO_SCAN_TILES(arith_bf16, ArithScan<bf16>)
LEGATO_SCAN_TILES(arith_f32, ArithScan<float>)
LEGATO_SCAN_TILES(arith_f64, ArithScan<double>)
LEGATO_SCAN_TILES(arith_c64, ArithScan<c64>)
LEGATO_SCAN_TILES(arith_c128, ArithScan<c128>)
LEGATO_SCAN_TILES(extreme_1, KeyScan<uint8_t>)
LEGATO_SCAN_TILES(extreme_2, KeyScan<uint16_t>)
LEGATO_SCAN_TILES(extreme_4, KeyScan<uint32_t>)
LEGATO_SCAN_TILES(extreme_8, KeyScan<uint64_t>)
LEGATO_SCAN_TILES(extreme_c64, ComplexExtremeScan<c64>)
LEGATO_SCAN_TILES(extreme_c128, ComplexExtremeScan<c128>)
LEGATO_SCAN_TILES(logsumexp_f64, LogSumExpScan<double>)

#define LEGATO_SCAN_LOGS(end, T)                                                   \
  LEGATO_KERNEL_AT_ONCE(scan_tiles_logsumexp_##end, ScanParams, kTileThreads, 3) { \
    LEGATO_DYNAMIC_SHARED(shared);                                                 \
    __shared__ LogsMemory<T> memory;                                               \
    scan_logs<T>(p, shared, memory);                                               \
  }                                                                                \
  LEGATO_KERNEL_AT_ONCE(scan_warps_logsumexp_##end, ScanParams, kTileThreads, 4) { \
    LEGATO_DYNAMIC_SHARED(shared);                                                 \
    scan_by_warps<LogSumExpScan<T>>(p, shared);                                    \
  }
LEGATO_SCAN_LOGS(f16, f16)
LEGATO_SCAN_LOGS(bf16, bf16)
LEGATO_SCAN_LOGS(f32, float)

}  // namespace legato::cuda
