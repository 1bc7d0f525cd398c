// Parameters of the kernels of masks, for both sides.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"

namespace legato::cuda {

/// Rows of a mask of `length` elements, cut into chunks; a mask element stands for `units` units.
struct MaskedParams {
  const unsigned char* mask;
  unsigned* ticket;             // zeroed; chunks are numbered in the order in which blocks start
  unsigned long long* reports;  // [row][chunk], zeroed: see Note [Reports of chunks]
  const void* from;             // select: [row][length][units]; scatter: [row][given][units]
  void* to;                     // select: [row][given][units]; scatter: [row][length][units]
  ValueReport* report;          // null: too few given rows are no error
  long long rows, length, chunks, given, units;
  int packs;  // whether every 16th element of the mask lies at a multiple of 16
};

inline constexpr int kMaskThreads = 256, kMaskWarps = kMaskThreads / 32;
inline constexpr int kMaskItems = 16;  // mask elements of a thread
inline constexpr int kMaskChunk = kMaskThreads * kMaskItems;

}  // namespace legato::cuda
