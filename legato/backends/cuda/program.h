// Fused programs on the GPU: printed as CUDA source over the scalar language, compiled once per
// structure by NVRTC, and launched over the merged axes of the call.
#pragma once

#include <string>

#include "legato/backends/cuda/device.h"
#include "legato/fuse/program.h"

namespace legato::cuda {

/// How a kernel reads an operand.
enum class Access : char {
  scalar = 'S',  // one element, read once
  dense = 'D',   // in the order of the output, packs of elements at once
  row = 'R',     // consecutive along the innermost axis: packs
  splat = 'B',   // constant along the innermost axis
  gather = 'G',  // element by element
};

/// What the source of a program depends on beside the program itself.
struct Variant {
  int pack = 1;        // elements that a thread computes at once
  int axes = 1;        // after merging
  bool wide = false;   // 64-bit positions
  std::string access;  // an Access for each input
  std::string key() const;
};

/// A call in the form in which kernels take it.
struct Walk {
  Variant variant;
  int64_t n = 0;                              // elements
  std::vector<int64_t> sizes;                 // of the merged axes, outermost first
  std::vector<std::vector<int64_t>> strides;  // of each input
};

/// Merges axes and chooses how operands are read. `aligned`: how many bytes all dense operands'
/// addresses are multiples of, computed by the caller for tests without addresses; -1: look.
Walk plan_walk(const fuse::ProgramCall& call);

/// The source of a kernel `program` whose one parameter is a struct of 8-byte fields: inputs,
/// outputs, literals (two fields each), n, sizes, and strides of the inputs that are not scalar or
/// dense.
std::string program_source(const fuse::Program& program, const Variant& variant);

void run_program(GpuDevice& device, const fuse::ProgramCall& call);

/// The C++ name of a dtype's elements in kernels: "float", "bf16", "c64".
const char* device_type(Dtype t);

}  // namespace legato::cuda
