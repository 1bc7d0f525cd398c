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
  unsigned* ticket;  // columns, zeroed; tiles are numbered in the order in which blocks start
  unsigned* ready;   // columns, zeroed; of each tile: 1 its total is there, 2 its group's sum too
  void* totals;      // of tiles of columns, of spans of rows
  void* sums;        // columns: up to the last tile of each group
  long long outer, n, inner;
  long long scans;        // outer * inner
  long long tiles;        // of a scan; columns, 1: a block goes along all of it
  long long span, spans;  // rows: tiles of a span, spans of a scan
  enum Phase : int { whole, add_spans, write_spans };
  int phase;        // rows
  long long lines;  // columns: tiles side by side
  int used;         // short rows: elements of a thread
  int packs;        // long rows: whether each kScanPack elements may be moved at once
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
inline constexpr int kColumnGroup = 16;  // tiles in a group
inline constexpr int kScanSpans = 512;   // of a scan, at most

}  // namespace legato::cuda
