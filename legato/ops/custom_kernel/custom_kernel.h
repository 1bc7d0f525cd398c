// Kernels that users write in CUDA: an op of the graph like any other. docs/cuda_kernels.md is the
// guide.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "legato/array/array.h"

namespace legato {

/// What a template parameter of a kernel stands for: a type, a number or a truth value.
using TemplateArgument = std::variant<Dtype, int64_t, bool>;

/// One call of a kernel, beside its inputs.
struct KernelCall {
  std::vector<Shape> output_shapes;
  std::vector<Dtype> output_dtypes;
  Dims grid;         // three numbers of threads
  Dims threadgroup;  // three numbers of threads of a block
  std::vector<std::pair<std::string, TemplateArgument>> template_arguments = {};
  std::optional<double> init_value = {};  // of all elements of the outputs before the kernel runs
  bool verbose = false;                   // prints the source that is compiled
};

struct KernelText;

/// A kernel from the body of a CUDA function. The function's parameters are pointers with the names
/// and types of the inputs and outputs, and, where the body mentions them, `<input>_shape`,
/// `<input>_strides` and `<input>_ndim`. Compiled when first run, once for each combination of
/// types and template arguments; errors of the compiler come with the body's line numbers then.
/// Runs on GPUs only. It has no derivative and no batching rule: custom_function gives it both.
class LEGATO_API CudaKernel {
 public:
  /// Throws ValueError for names that are no identifiers of C++, or that come twice.
  CudaKernel(const std::string& name, const std::vector<std::string>& input_names,
             const std::vector<std::string>& output_names, const std::string& source,
             const std::string& header = "", bool ensure_row_contiguous = true,
             int64_t shared_memory = 0);
  /// The outputs, to be computed. Throws ValueError for a call that does not fit the kernel.
  std::vector<Array> operator()(std::span<const Array> inputs, const KernelCall& call) const;

 private:
  std::shared_ptr<const KernelText> text_;
};

/// Runs a kernel that is compiled already: PTX or a cubin, whose function `name` takes pointers to
/// the inputs, pointers to the outputs, then `scalars`, bool, int (32 bits) or float. Template
/// arguments of `call` are not used.
LEGATO_API std::vector<Array> precompiled_cuda_kernel(
    const std::string& name, const std::string& code, std::span<const Array> inputs,
    std::span<const Scalar> scalars, const KernelCall& call, int64_t shared_memory = 0,
    bool ensure_row_contiguous = false);

}  // namespace legato
