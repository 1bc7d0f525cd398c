// Parameters of the radix sort of long rows, for both sides.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"
#include "legato/backends/cuda/order_form.h"
#include "legato/ops/sort/sort.cuh"

namespace legato::cuda {

struct RadixParams {
  const void* x;                // rows of n elements, one behind the other
  const unsigned* first_index;  // of pairs, before the first pass; null: element i has index i
  // Passes write to these in turns, and the last one to the result.
  void* keys[2];
  unsigned* index[2];
  void* keys_out;       // null: not needed
  unsigned* index_out;  // of pairs
  unsigned* totals;     // [row][digit's number][digit]; zeroed
  unsigned* head;       // zeroed: RadixHead
  void* reports[2];     // [row][tile][digit], the first ones zeroed: see Note [Reports of tiles]
  KeyForm form;
  long long rows, n, tiles;
  long long span;  // elements that a block counts
  long long spans;
  int digits;  // passes of the whole sort
  int pass;
  int decode;  // whether keys_out gets values
  int skips;   // whether passes are left out whose digit is the same everywhere
  int far;     // whether reports have 64 bits
};

/// Words that a sort begins with.
struct RadixHead {
  unsigned tickets[8];  // of each pass; tiles are numbered in the order in which blocks start
  unsigned counted;     // blocks that have counted
  unsigned same;        // a bit for each digit that is the same everywhere
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
  unsigned ticket, same;
};

}  // namespace legato::cuda
