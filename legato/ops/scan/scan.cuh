// Parameters of the scan kernels, for both sides.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"

namespace legato::cuda {

/// An array seen as (outer, n, inner), row-major; scans run along n. A group of 1 or 256 threads
/// does one.
struct ScanParams {
  const void* x;
  void* y;
  long long outer, n, inner;
  int group, reverse, inclusive;
};

inline constexpr int kScanThreads = 256;

}  // namespace legato::cuda
