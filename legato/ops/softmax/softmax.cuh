// Parameters of the softmax kernels, for both sides.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"

namespace legato::cuda {

/// An array seen as (outer, n, inner), row-major; a row runs along n.
struct SoftmaxParams {
  const void* x;  // of a vjp: the output
  const void* g;  // of a vjp: the cotangent
  void* y;
  long long outer, n, inner;
  int group;
};

}  // namespace legato::cuda
