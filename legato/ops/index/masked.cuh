// Parameters of the kernels of masks, for both sides.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"

namespace legato::cuda {

/// Rows of a mask of `length` elements, cut into chunks; a mask element stands for `units` units.
struct MaskedParams {
  const unsigned char* mask;
  unsigned* counts;     // [row][chunk]: true elements; then, true elements of the row before
  unsigned* totals;     // [row]
  const void* from;     // select: [row][length][units]; scatter: [row][given][units]
  void* to;             // select: [row][given][units]; scatter: [row][length][units]
  ValueReport* report;  // null: too few given rows are no error
  long long rows, length, chunks, given, units;
};

inline constexpr int kMaskThreads = 256, kMaskWarps = kMaskThreads / 32;
inline constexpr int kMaskItems = 16;  // mask elements of a thread
inline constexpr int kMaskChunk = kMaskThreads * kMaskItems;

}  // namespace legato::cuda
