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
  int packed;  // whether a thread takes 16 bytes of channels
  int narrow;  // whether elements of the result are fewer than 2^31, so that these serve
  Divider by_channels, by_size[3];  // of the result: packs of channels, spatial sizes
};

}  // namespace legato::cuda
