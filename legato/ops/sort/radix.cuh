// Parameters of the radix sort of long rows, for both sides.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"
#include "legato/backends/cuda/order_form.h"
#include "legato/ops/sort/sort.cuh"

namespace legato::cuda {

struct RadixParams {
  const void* x;             // rows of n elements, one behind the other
  const void* keys_in;       // null: keys are made from x
  const unsigned* index_in;  // of pairs; null: element i has index i
  void* keys_out;            // null: not needed any more
  unsigned* index_out;       // of pairs
  unsigned* totals;          // [row][digit's number][digit]; zeroed
  unsigned* ticket;          // zeroed; tiles are numbered in the order in which blocks start
  void* reports;             // [row][tile][digit], zeroed: see Note [Reports of tiles]
  void* next_reports;        // of the next pass, to be zeroed; null: there is none
  KeyForm form;
  long long rows, n, tiles;
  long long span;  // elements that a block counts
  long long spans;
  int digits;  // passes of the whole sort
  int pass;
  int decode;  // whether keys_out gets values
  int far;     // whether reports have 64 bits
};

inline constexpr int kRadixCountThreads = 256;
/// Threads that move a tile, and elements of each. Small tiles are for rows that have few.
inline constexpr int kRadixThreads = 384, kRadixSmallThreads = 256;
template <int bytes>
inline constexpr int radix_items = bytes == 8 ? 9 : 18;
inline constexpr int kRadixSmallItems = 4;
template <int bytes>
inline constexpr int radix_tile = kRadixThreads * radix_items<bytes>;
inline constexpr int kRadixSmallTile = kRadixSmallThreads * kRadixSmallItems;

/// The shared memory of a block that moves a tile: ranks, and when they are known, the tile sorted.
template <class K, bool pairs, int threads, int items>
struct RadixMemory {
  union {
    RankMemory<threads> rank;
    K keys[threads * items];
  };
  unsigned index[pairs ? threads * items : 1];
  unsigned bases[kDigits];
  unsigned sums[threads / 32];
  unsigned ticket;
};

}  // namespace legato::cuda
