// Parameters of the sorting kernels, for both sides.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"
#include "legato/backends/cuda/order_form.h"

namespace legato::cuda {

/// One pass of a radix sort over all rows, or the whole sort of short rows.
struct SortParams {
  const void* x;             // rows of n elements, one behind the other
  const void* keys_in;       // null: keys are made from x
  const unsigned* index_in;  // of pairs; null: element i has index i
  void* keys_out;            // null: not needed any more
  unsigned* index_out;       // of pairs
  unsigned* counts;          // [row][digit][tile]: how often; then, how often in tiles before
  unsigned* totals;          // [row][digit]
  KeyForm form;
  long long rows, n, tiles;
  int shift;   // of the pass's digit
  int passes;  // of short rows
  int decode;  // whether keys_out gets values
  int width;   // of the sorting network: a power of two, at least n
};

inline constexpr int kSortThreads = 256, kSortWarps = kSortThreads / 32;
inline constexpr int kDigits = 256;
inline constexpr int kNetwork = 2 * kSortThreads;  // elements of a block's sorting networks
/// Elements of a thread, and of a tile, which a block ranks at once, by the bytes of a key.
template <int bytes>
inline constexpr int sort_items = bytes == 8 ? 8 : 16;
template <int bytes>
inline constexpr int sort_tile = kSortThreads * sort_items<bytes>;

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
