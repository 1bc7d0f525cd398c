// Parameters of Legato's own convolution kernels, for both sides.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"

namespace legato::cuda {

/// How a position of the one tensor meets those of the other: through tap t of the kernel, position
/// i along an axis meets (i * mul + add + t * step) / div, if that is whole and lies in [0, size).
struct ConvMeeting {
  int mul[3], add[3], step[3], div[3], size[3];
};

/// The general convolution, over three spatial axes, leading ones of size 1. Channels are counted
/// within a group; tensors are row-major with channels last.
struct ConvParams {
  const void* gathered;  // the tensor in which positions are met
  const void* other;     // the weights, or the tensor whose positions are walked
  void* to;
  void* partial;  // of each split, in the type of the sums; null if there is one split
  int samples, groups, flip;
  int gathered_channels;        // of a group
  int result_channels;          // of a group; of the weight's gradient: those of `other`
  int positions[3], kernel[3];  // that are walked: of the result, or of `other`
  ConvMeeting meet;
  /// Strides of the weights, by gathered and result channel, tap and group.
  long long w_gathered, w_result, w_tap, w_group;
  int splits;           // of the sum
  long long per_split;  // terms; a multiple of kConvDepth
  /// What is added to the result: to each of its channels, and element by element; or null. Only
  /// by the kernels of conv_wide.cu.
  const float *bias, *residual;
};

/// Sums the partial results.
struct ConvSumParams {
  const void* partial;
  void* to;
  long long n;
  int splits;
};
/// As much of float32 in fours; `lines` threads share the splits of a result.
struct ConvWideSumParams {
  const float *partial, *bias, *residual;
  float* to;
  int fours, channels, splits, lines;
};

inline constexpr int kConvTile = 64, kConvDepth = 16, kConvThreads = 256;

}  // namespace legato::cuda
