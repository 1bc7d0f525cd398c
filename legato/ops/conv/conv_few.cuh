// Parameters of the sum over taps (conv_few.cu), for both sides.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"

namespace legato::cuda {

/// y = the sum over taps t of products[position met through t][channel][t], plus what is added.
/// Three spatial axes, leading ones of size 1.
struct ConvFewParams {
  const float* products;  // (samples, positions of x, each); of those each (channels, taps)
  const void *bias, *residual;
  void* to;  // (samples, positions of y, channels)
  long long n, each;
  int channels, taps, flip;
  int x[3], y[3], kernel[3], low[3], dilation[3];
};

}  // namespace legato::cuda
