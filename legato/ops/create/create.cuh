// Parameters of arange and linspace, for both sides.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"

namespace legato::cuda {

struct ArangeParams {
  void* to;
  long long n;
  double start, step;                        // real
  unsigned long long start_bits, step_bits;  // integers, which wrap
  int real;
  int exact_stop;  // the last element is `stop`
  double stop;
};

}  // namespace legato::cuda
