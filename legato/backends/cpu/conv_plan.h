// The index side of convolutions: which taps reach which positions.
#pragma once
#include <cstdint>
#include <vector>

#include "legato/backends/cpu/conv.h"
#include "legato/backends/cpu/gemm_kernels.h"

namespace legato::cpu {

/// One axis of y[o] = sum over taps u of x[(o * step + first + u * tap_step) / dilation] * w[u],
/// where it is whole and inside. Forward convolution and its input gradient both have this form;
/// taps are numbered so that tap_step > 0.
struct ConvAxis {
  int64_t in, out, kernel;
  int64_t step, first, tap_step, dilation;
  bool reversed;  ///< tap u is the weights' tap kernel - 1 - u

  /// Index into x of tap u at position o, or -1.
  int64_t index(int64_t o, int64_t u) const {
    const int64_t p = o * step + first + u * tap_step;
    return p < 0 || p % dilation != 0 || p / dilation >= in ? -1 : p / dilation;
  }
};

ConvAxis forward_axis(const Conv& conv, int axis);
ConvAxis gradient_axis(const Conv& conv, int axis);

/// Positions of an axis that the same taps reach. The distances between what the taps read are the
/// same for all.
struct AxisClass {
  std::vector<int64_t> taps;      // ascending
  std::vector<int64_t> distance;  // index read by each tap, less that of the first
  struct Position {
    int64_t o, base;  // base: index read by the first tap (0 without taps)
  };
  std::vector<Position> positions;  // ascending in o
};

std::vector<AxisClass> classify(const ConvAxis& axis);

}  // namespace legato::cpu
