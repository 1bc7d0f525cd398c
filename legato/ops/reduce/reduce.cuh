// Parameters of the reduction kernels, for both sides.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"

namespace legato::cuda {

/// Outputs are row-major over the kept axes. A group of threads (1, 32 or 256) does one output, or
/// one of its parts.
struct ReduceParams {
  const void* in;
  void* out;
  void* partial;       // accumulators of the parts, [part][output]; null: one part
  unsigned* counters;  // zeroed; one for each block of outputs: parts that have arrived
  double divisor;      // of a mean, else 1
  long long n_kept, n_reduced, part_size;
  int parts, group, kept_axes, reduced_axes;
  long long kept_size[kMaxAxes], kept_stride[kMaxAxes];
  long long reduced_size[kMaxAxes], reduced_stride[kMaxAxes];
};

inline constexpr int kReduceThreads = 256;
inline constexpr int kReduceAccumulator = 32;  // bytes of one, at most

}  // namespace legato::cuda
