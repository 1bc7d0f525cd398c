// The host side of reductions over axes (reduction.cuh).
#pragma once

#include <string>

#include "legato/array/operand.h"
#include "legato/backends/cuda/kit.h"
#include "legato/backends/cuda/reduction_abi.h"

namespace legato::cuda {

/// How a reducer is launched.
struct ReductionCall {
  const char* image;
  std::string reducer;            // its name in LEGATO_REDUCTION
  int64_t accumulator_bytes = 8;  // at most
  bool in_order = false;  // whether elements are numbered along the axes: the input is row-major
};
/// Reduces `x` over `axes` to row-major memory. `p` brings what the reducer itself reads.
void reduce_over(Launch& l, const ReductionCall& call, const View& x, const Axes& axes,
                 ReduceParams p);

}  // namespace legato::cuda
