#include "legato/backends/cuda/kit.h"
#include "legato/ops/concat/records.h"

namespace legato::cuda {
namespace {

void run_concatenate(Launch& l) {
  const size_t axis = static_cast<size_t>(l.attrs<ConcatAttrs>().axis);
  const View& out = l.out[0];
  const int64_t size = size_of(out.dtype);
  int64_t begin = 0;
  for (const View& part : l.in) {
    char* to = out.as<char>() + begin * (*out.strides)[axis] * size;
    copy_elements(to, *out.strides, part.data, *part.strides, *part.shape, size);
    begin += part.dim(axis);
  }
}

}  // namespace

void register_concat_kernels(KernelTable& table) {
  add_kernels(table, op_named("concatenate"), AllTypes{}, []<class T>(TypeTag<T>) {
    return Kernel{.run = run_concatenate, .accepts = AcceptLayout::any};
  });
}

}  // namespace legato::cuda
