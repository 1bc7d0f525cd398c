// Parameters of gathers within rows, for both sides.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"

namespace legato::cuda {

/// Rows of `length` elements one behind the other, of each of which `count` are wanted.
struct StagedParams {
  const void* from;
  const void* indices;  // `count` of them for each row or, if `shared`, for all rows
  void* to;
  long long rows;
  int length, count;
  int index_bytes;  // 1, 2, 4, 8; negative: signed
  int shared;
  int axis;         // of the array, for reports
  int block_rows;   // of a block
  int whole_packs;  // whether a block's rows begin and end at multiples of 16 bytes
  int packs;        // whether `count` and the addresses of results are such multiples
  Divider by_count;
  ValueReport* report;
};

inline constexpr int kStagedThreads = 256;

}  // namespace legato::cuda
