#include <cstddef>

#include "legato/backends/cpu/copy.h"
#include "legato/ops/concat/records.h"
#include "legato/runtime/backend.h"

namespace legato::cpu {
namespace {

void run_concatenate(Launch& l) {
  size_t axis = l.attrs<ConcatAttrs>().axis;
  const View& out = l.out[0];
  int64_t size = size_of(out.dtype), begin = 0;
  for (const View& part : l.in) {
    auto* to = out.as<std::byte>() + begin * (*out.strides)[axis] * size;
    copy_strided(to, *out.strides, part.data, *part.strides, *part.shape, size);
    begin += part.dim(axis);
  }
}

}  // namespace

void register_concat_kernels(KernelTable& table) {
  add_kernels(table, concatenate_op, AllTypes{}, []<class T>(TypeTag<T>) {
    return Kernel{.run = run_concatenate, .accepts = AcceptLayout::any};
  });
}

}  // namespace legato::cpu
