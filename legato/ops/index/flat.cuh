// Parameters of gathers of single elements, for both sides.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"

namespace legato::cuda {

/// Elements of a sequence in the order of indices.
struct FlatParams {
  const void* from;
  const void* indices;
  void* to;
  long long n;             // indices
  long long size, stride;  // of the sequence
  int index_bytes;         // 4, 8; negative: signed
  int axis;                // of the array, for reports
  int packs;               // whether addresses of indices and results are multiples of 16
  ValueReport* report;
};

inline constexpr int kFlatThreads = 256;
/// Elements of a thread.
template <int bytes>
inline constexpr int flat_each = bytes > 8   ? 1
                                 : bytes > 4 ? 2
                                             : 4;

}  // namespace legato::cuda
