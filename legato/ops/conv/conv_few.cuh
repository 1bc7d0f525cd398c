// Parameters of convolutions with few output channels (conv_few.cu), for both sides.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"

namespace legato::cuda {

/// Three spatial axes, leading ones of size 1; stride 1. A block computes `tile` positions of y,
/// which meet `patch` positions of x.
struct ConvFewParams {
  const void *x, *w, *bias, *residual;  // w: (channels, taps, depth)
  void* to;                             // (samples, positions of y, channels)
  int depth, channels, taps, flip;
  int x_size[3], y_size[3], kernel[3], low[3], dilation[3];
  int tile[3], patch[3], tiles[3];
};

inline constexpr int kConvFewThreads = 352;  // of a block, at most
/// Columns, which are pairs of a channel and a tap, in units of 8, that a kernel is compiled for.
inline constexpr int kConvFewUnits[] = {2, 3, 5, 8};
/// Floats from one position's products to the next one's in shared memory: so many that lanes do
/// not meet in a bank.
template <int units>
inline constexpr int kConvFewLine = units % 4 ? units * 8 : units * 8 + 8;

}  // namespace legato::cuda
