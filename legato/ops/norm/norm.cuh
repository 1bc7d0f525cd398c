// Parameters of the normalisation kernels, for both sides.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"

namespace legato::cuda {

/// Rows of n elements, one behind the other. weight and bias: n elements, or null.
struct RowNormParams {
  const void *x, *weight, *bias;
  void* y;
  long long rows, n;
  double eps;
  int group;
};

/// x as (samples, positions, channels); the channels of a group are neighbours.
struct GroupNormParams {
  const void *x, *weight, *bias;
  void* y;
  long long samples, positions, channels, group_channels;
  double eps;
};

}  // namespace legato::cuda
