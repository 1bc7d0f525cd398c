// Division by numbers that the host knows, for kernels.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"
#include "legato/backends/cuda/lane.cuh"

namespace legato::cuda {

LEGATO_INLINE uint32_t divide(uint32_t n, const Divider& d) {
  const uint32_t high = __umulhi(d.factor, n);
  return (high + ((n - high) >> d.shift_first)) >> d.shift_then;
}

}  // namespace legato::cuda
