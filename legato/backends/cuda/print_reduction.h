// A reduction that computes what it reduces, as CUDA source.
#pragma once

#include <string>

#include "legato/backends/cuda/print.h"

namespace legato::cuda {

/// Which of the kernels of reduction.cuh, with what is known of its parameters.
enum class ReductionKernel : uint8_t {
  rows_dense,  // in the order of ReduceWalk
  rows_packs,
  rows_elements,
  columns_single,
  columns_packed,
  short_rows,
};

/// What stands around a program in the kernel of a reduction.
struct ReductionForm {
  std::string reducer;  // its type: "Arith<float, float>"
  ReductionKernel kernel = ReductionKernel::rows_dense;
  bool one_axis = false;  // columns: reduced along one axis
  int output = 0;         // of the program, that is reduced
  uint32_t stored = 0;    // outputs that are written on the way: a bit each
  /// All of it, for a table of kernels.
  std::string key() const;
};

/// The kernel `program`. Its parameter is a ReduceParams and behind it the fields of Note
/// [Parameters of a program]; `variant.pack` is how many elements a load of the reduction takes.
/// No text: the kernel would be too long.
Source print_reduction(const fuse::Program& program, const Variant& variant,
                       const ReductionForm& form);

}  // namespace legato::cuda
