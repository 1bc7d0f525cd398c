// Parameters of the pooling kernels, for both sides.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"

namespace legato::cuda {

/// Samples of three spatial dimensions (leading ones of size 1) and channels, row-major.
struct PoolParams {
  const void *x, *y, *g;
  void* to;
  long long samples, channels;
  long long in[3], out[3], kernel[3], stride[3], low[3];
};

}  // namespace legato::cuda
