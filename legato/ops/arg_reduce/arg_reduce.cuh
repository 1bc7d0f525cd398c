// Parameters of argmax and argmin, for both sides.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"

namespace legato::cuda {

/// An array seen as (outer, n, inner), row-major; a row runs along n.
struct ArgReduceParams {
  const void* x;
  unsigned* out;
  long long outer, n, inner;
  int group, largest;
};

}  // namespace legato::cuda
