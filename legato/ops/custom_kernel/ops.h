// The record of kernels that users write, and what it carries; for the kernel files.
#pragma once

#include <map>
#include <mutex>
#include <tuple>

#include "legato/op/op.h"
#include "legato/ops/custom_kernel/custom_kernel.h"

namespace legato {

/// What is the same in all calls of a kernel.
struct KernelText {
  std::string name;
  std::vector<std::string> inputs, outputs;  // names; empty if precompiled
  std::string source, header;
  std::string code;  // PTX or a cubin; empty if it is compiled from the source
  bool row_contiguous = true;
  int64_t shared_memory = 0;

  // Functions that a backend has made of it, by device, types and template arguments.
  mutable std::mutex lock;
  mutable std::map<std::string, void*> compiled;  // guarded by lock
};

struct CustomKernel {
  std::shared_ptr<const KernelText> text;
  KernelCall call;
  std::vector<Scalar> scalars;
  std::vector<Shape> input_shapes;  // of the call: the output shapes belong to them
};

struct CustomKernelAttrs {
  std::string name;
  std::shared_ptr<const CustomKernel> kernel;
  static constexpr auto fields() {
    return std::tuple(field("name", &CustomKernelAttrs::name),
                      field("kernel", &CustomKernelAttrs::kernel));
  }
};

extern const Op cuda_kernel_op;

}  // namespace legato
