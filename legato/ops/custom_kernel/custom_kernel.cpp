#include "legato/ops/custom_kernel/custom_kernel.h"

#include <algorithm>
#include <cctype>

#include "legato/op/registry.h"
#include "legato/ops/custom_kernel/ops.h"
#include "legato/ops/shape/shape.h"

namespace legato {
namespace {

bool is_identifier(const std::string& s) {
  return !s.empty() && !std::isdigit(static_cast<unsigned char>(s[0])) &&
         std::all_of(s.begin(), s.end(),
                     [](unsigned char c) { return std::isalnum(c) || c == '_'; });
}

void check_names(const std::string& name, const std::vector<std::string>& inputs,
                 const std::vector<std::string>& outputs) {
  if (!is_identifier(name))
    throw ValueError(cat("cuda_kernel: `name` must be an identifier of C++, found '", name, "'"));
  std::vector<std::string> seen;
  for (auto* names : {&inputs, &outputs})
    for (const std::string& n : *names) {
      if (!is_identifier(n))
        throw ValueError(cat("cuda_kernel ", name,
                             ": names of inputs and outputs must be identifiers of C++, found '", n,
                             "'"));
      if (std::find(seen.begin(), seen.end(), n) != seen.end())
        throw ValueError(cat("cuda_kernel ", name, ": the name ", n, " is given twice"));
      seen.push_back(n);
    }
  if (outputs.empty())
    throw ValueError(cat("cuda_kernel ", name, ": a kernel needs at least one output"));
}

void check_call(const KernelText& text, const KernelCall& call) {
  auto refuse = [&](auto... words) {
    throw ValueError(cat("cuda_kernel ", text.name, ": ", words...));
  };
  if (call.output_shapes.size() != call.output_dtypes.size())
    refuse("output_shapes has ", call.output_shapes.size(), " entries and output_dtypes ",
           call.output_dtypes.size(), "; each output needs one of both");
  if (text.code.empty() && call.output_shapes.size() != text.outputs.size())
    refuse("it has ", text.outputs.size(), " outputs, output_shapes describes ",
           call.output_shapes.size());
  if (call.output_shapes.empty()) refuse("a kernel needs at least one output");
  for (const Shape& s : call.output_shapes)
    for (int64_t n : s)
      if (n < 0) refuse("negative size in output shape ", s);
  if (call.grid.size() != 3 || call.threadgroup.size() != 3)
    refuse("`grid` and `threadgroup` must be three numbers, found ", call.grid.size(), " and ",
           call.threadgroup.size());
  for (int64_t n : call.grid)
    if (n < 0) refuse("`grid` must not be negative, found ", call.grid);
  int64_t threads = 1;
  for (size_t i = 0; i < 3; ++i) {
    const int64_t most = i == 2 ? 64 : 1024, n = call.threadgroup[i];
    if (n < 1 || n > most)
      refuse("`threadgroup` must be between 1 and (1024, 1024, 64), found ", call.threadgroup);
    threads *= std::min(n, std::max<int64_t>(call.grid[i], 1));
    const int64_t blocks = (call.grid[i] + n - 1) / n;
    if (blocks > (i == 0 ? INT32_MAX : 65535))
      refuse("a grid of ", call.grid, " threads in groups of ", call.threadgroup, " makes ", blocks,
             " blocks along axis ", i, ", beyond what CUDA launches (2**31 - 1, 65535, 65535)");
  }
  if (threads > 1024)
    refuse("a threadgroup has at most 1024 threads, ", call.threadgroup, " are ", threads);
  for (auto& [name, value] : call.template_arguments)
    if (!is_identifier(name))
      refuse("names of template arguments must be identifiers of C++, found '", name, "'");
}

// The sizes of the outputs were computed for the inputs' sizes by the user's code, so they are
// right for these only.
void infer(Inference& in) {
  const CustomKernel& k = *in.attrs<CustomKernelAttrs>().kernel;
  for (size_t i = 0; i < k.input_shapes.size(); ++i)
    if (in.shape(static_cast<int>(i)) != k.input_shapes[i])
      throw ValueError(cat("cuda_kernel ", k.text->name,
                           ": the shapes of its outputs were given for inputs of shape ",
                           k.input_shapes[i], ", and here one has shape ",
                           in.shape(static_cast<int>(i)),
                           ". Compile the function without shapeless=True"));
  for (size_t o = 0; o < k.call.output_shapes.size(); ++o)
    in.result(k.call.output_shapes[o], k.call.output_dtypes[o], static_cast<int>(o));
}

void refuse_vjp(const Call& c, std::span<const Array>, std::span<Array>) {
  throw ValueError(cat("cuda_kernel ", c.attrs<CustomKernelAttrs>().name,
                       " has no derivative. Call it in a custom_function and give that a vjp rule; "
                       "stop_gradient around the inputs makes it a constant"));
}
void refuse_jvp(const Call& c, std::span<const Array>, std::span<Array>) {
  throw ValueError(cat("cuda_kernel ", c.attrs<CustomKernelAttrs>().name,
                       " has no derivative. Call it in a custom_function and give that a jvp rule; "
                       "stop_gradient around the inputs makes it a constant"));
}
void refuse_batch(const BatchedCall& c, std::span<Array>) {
  throw ValueError(
      cat("cuda_kernel ", c.attrs<CustomKernelAttrs>().name,
          ": vmap cannot know what the kernel does with one more axis. Call it in a "
          "custom_function and give that a vmap rule, or write the kernel for batches"));
}

std::vector<Array> bind_kernel(CustomKernel&& kernel, std::span<const Array> inputs) {
  std::vector<Array> in;
  for (const Array& a : inputs) {
    in.push_back(kernel.text->row_contiguous ? contiguous(a) : a);
    kernel.input_shapes.push_back(a.shape());
  }
  const CustomKernelAttrs attrs{kernel.text->name,
                                std::make_shared<const CustomKernel>(std::move(kernel))};
  return bind_all(cuda_kernel_op, in, &attrs);
}

}  // namespace

// An op without meaning in simpler ones, so without any rule but its shapes.
constinit const Op cuda_kernel_op{
    .name = "cuda_kernel",
    .attrs = &attrs_type<CustomKernelAttrs>,
    .count_outputs =
        [](std::span<const Array>, const void* attrs) {
          auto& kernel = *static_cast<const CustomKernelAttrs*>(attrs)->kernel;
          return static_cast<int>(kernel.call.output_shapes.size());
        },
    .infer = infer,
    .derive = Vjp(refuse_vjp, refuse_jvp),
    .batch = refuse_batch,
};

CudaKernel::CudaKernel(const std::string& name, const std::vector<std::string>& input_names,
                       const std::vector<std::string>& output_names, const std::string& source,
                       const std::string& header, bool ensure_row_contiguous,
                       int64_t shared_memory) {
  check_names(name, input_names, output_names);
  if (shared_memory < 0)
    throw ValueError(
        cat("cuda_kernel ", name, ": `shared_memory` is a number of bytes, found ", shared_memory));
  auto text = std::make_shared<KernelText>();
  text->name = name;
  text->inputs = input_names;
  text->outputs = output_names;
  text->source = source;
  text->header = header;
  text->row_contiguous = ensure_row_contiguous;
  text->shared_memory = shared_memory;
  text_ = std::move(text);
}

std::vector<Array> CudaKernel::operator()(std::span<const Array> inputs,
                                          const KernelCall& call) const {
  if (inputs.size() != text_->inputs.size())
    throw ValueError(cat("cuda_kernel ", text_->name, ": it takes ", text_->inputs.size(),
                         " inputs, found ", inputs.size()));
  check_call(*text_, call);
  return bind_kernel({text_, call, {}, {}}, inputs);
}

std::vector<Array> precompiled_cuda_kernel(const std::string& name, const std::string& code,
                                           std::span<const Array> inputs,
                                           std::span<const Scalar> scalars, const KernelCall& call,
                                           int64_t shared_memory, bool ensure_row_contiguous) {
  if (code.empty())
    throw ValueError(cat("precompiled_cuda_kernel ", name, ": `compiled_source` is empty"));
  for (const Scalar& s : scalars) {
    if (s.kind == Scalar::Kind::complex)
      throw ValueError(cat("precompiled_cuda_kernel ", name, ": scalars may not be complex"));
    if (s.kind == Scalar::Kind::unsigned_integer ||
        (s.kind == Scalar::Kind::integer && s.i != static_cast<int32_t>(s.i)))
      throw ValueError(
          cat("precompiled_cuda_kernel ", name, ": an int among the scalars does not fit 32 bits"));
  }
  auto text = std::make_shared<KernelText>();
  text->name = name;
  text->code = code;
  text->row_contiguous = ensure_row_contiguous;
  text->shared_memory = shared_memory;
  check_call(*text, call);
  return bind_kernel({text, call, {scalars.begin(), scalars.end()}, {}}, inputs);
}

void register_custom_kernel(Registry& r) { r.add(cuda_kernel_op); }

}  // namespace legato
