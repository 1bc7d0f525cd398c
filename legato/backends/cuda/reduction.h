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
  std::string reducer{};          // its name in LEGATO_REDUCTION
  std::string type{};             // its type, for generated kernels: "Arith<float, float>"
  int64_t accumulator_bytes = 8;  // at most
  bool in_order = false;  // whether elements are numbered along the axes: the input is row-major
};
/// A reducer: how it is launched, and in `params` what it reads itself.
struct Reducer {
  ReductionCall call;
  ReduceParams params{};
};
/// How a kernel walks over rows of n elements that lie at multiples of 16 bytes: threads of a row,
/// which take packs of 16 bytes in turns. 0: otherwise.
struct RowsWalk {
  int group = 0;
};
/// As reduce_over does. 0 also where a row would be in several parts.
RowsWalk walk_rows(const GpuDevice& device, Dtype dtype, int64_t rows, int64_t n);
/// What Kernel::own of a reduction points to, for row programs. `count`: elements of an output.
struct ReducerOf {
  Reducer (*describe)(const void* attrs, Dtype dtype, double count);
  RowsWalk (*walk)(const GpuDevice&, Dtype, int64_t rows, int64_t n) = walk_rows;
  bool whole_rows = false;  // see row_program.cuh
};
/// Over how many trailing axes a reduction of `axes` goes; 0 if over others.
int trailing_axes(const Axes& axes, size_t rank);

/// Whether a generated kernel can compute the program as it reads it.
bool takes_input(const void* attrs, const Prologue& prologue);
/// Reduces `x` over `axes` to row-major memory. `p` brings what the reducer itself reads. The
/// launch may have a prologue.
void reduce_over(Launch& l, const ReductionCall& call, const View& x, const Axes& axes,
                 ReduceParams p);

}  // namespace legato::cuda
