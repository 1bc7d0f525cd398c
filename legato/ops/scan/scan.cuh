// Parameters of the scan kernels, for both sides.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"
#include "legato/backends/cuda/order_form.h"

namespace legato::cuda {

/// An array seen as (outer, n, inner), row-major; scans run along n.
struct ScanParams {
  const void* x;
  const void* a;  // of exp_scan: the exponents, and what is added to them in the end
  const void* b;
  void* y;
  unsigned* ticket;  // zeroed; tiles are numbered in the order in which blocks start
  void* totals;      // columns: of each chunk; then what comes before it
  // Long scans, zeroed: Note [Relays].
  unsigned long long *tile_totals, *group_totals, *sums_up_to;
  long long outer, n, inner;
  long long scans;   // outer * inner
  long long tiles;   // of a scan; of columns: chunks
  long long chunk;   // columns: elements
  int count_only;    // columns: only totals are wanted
  int used;          // short rows: elements of a thread
  int packs;         // rows: whether neighbours may be moved at once
  int log_packs;     // tiles in shared memory: of 16 bytes, of a thread
  int rows_at_once;  // of a warp
  int group;  // rows: threads of a scan, several scans in a block; 0: a scan has several tiles
  int reverse, inclusive;
  int flag;                 // sum or product, largest or smallest
  KeyForm form;             // of extremes of real values, which are compared as keys
  unsigned long long none;  // the key that an exclusive scan starts with
};

inline constexpr int kScanThreads = 256, kScanWarps = kScanThreads / 32;
/// Elements of a thread in a tile, by the bytes of one.
template <int bytes>
inline constexpr int scan_items = bytes > 8 ? 8 : 16;
inline constexpr int kScanPack = 4;  // neighbours that a thread takes at once
/// Elements of a column in a tile.
template <int bytes>
inline constexpr int scan_depth = bytes > 8   ? 8
                                  : bytes > 4 ? 16
                                              : 32;
inline constexpr int kChunkThreads = 512, kChunkWarps = kChunkThreads / 32;
/// Long scans: elements of 16 bytes, and how many times 16 bytes a thread has of a tile, by the
/// bytes of an element and of an accumulator.
template <int bytes>
inline constexpr int long_pack = 16 / bytes;
template <int bytes, int accumulator>
inline constexpr int long_packs = bytes == 1 || (bytes == 2 && accumulator > 4) ? 2 : 4;
inline constexpr int kTileThreads = 256, kTileWarps = kTileThreads / 32;
inline constexpr int kMostLogPacks = 4;
/// Bytes of shared memory for `rows` times 32 << log_packs packs of each warp.
inline constexpr int tile_bytes(int log_packs, int rows) {
  return kTileWarps * rows * (log_packs ? 32 * ((1 << log_packs) + 1) : 32) * 16;
}
// Of a block of long scans in registers.
inline constexpr int kLongThreads = 512, kLongWarps = kLongThreads / 32;

}  // namespace legato::cuda
