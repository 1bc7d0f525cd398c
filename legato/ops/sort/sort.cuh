// Parameters of the sorting kernels, for both sides.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"
#include "legato/backends/cuda/order_form.h"

namespace legato::cuda {

/// A sort of short rows.
struct SortParams {
  const void* x;        // rows of n elements, one behind the other
  void* keys_out;       // null: not needed
  unsigned* index_out;  // of pairs
  KeyForm form;
  long long rows, n;
  int passes;  // over digits of 8 bits
  int decode;  // whether keys_out gets values
  int width;   // of the sorting network: a power of two, at least n
};

inline constexpr int kSortThreads = 256;  // at most
inline constexpr int kDigits = 256;
inline constexpr int kNetwork = 2 * kSortThreads;  // elements of a block's sorting networks
/// Elements of a thread, by the bytes of a key.
template <int bytes>
inline constexpr int sort_items = bytes == 8 ? 8 : 16;

/// Where a block ranks a tile (rank.cuh).
template <int threads>
struct RankMemory {
  unsigned counts[threads / 32][kDigits];  // of a warp's elements; then of the warps before it
  unsigned starts[kDigits];                // where a digit begins in the sorted tile
  unsigned sums[threads / 32];
};

/// Elements of x in the order of `index`, row by row.
struct SortTakeParams {
  const void* x;
  const unsigned* index;
  void* y;
  long long rows, n;
};

/// Where `n_values` values of each group belong in the group's sorted sequence of n elements.
struct SearchParams {
  const void* sequence;
  const void* values;
  unsigned* out;
  KeyForm form;
  long long groups, n, n_values;
  int right;
};

}  // namespace legato::cuda
