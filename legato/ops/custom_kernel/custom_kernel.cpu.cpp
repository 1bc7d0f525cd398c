// On the CPU a kernel in CUDA is an error that says so.
#include "legato/base/error.h"
#include "legato/ops/custom_kernel/ops.h"
#include "legato/runtime/backend.h"

namespace legato::cpu {

void register_custom_kernel_kernels(KernelTable& table) {
  add_kernels(table, cuda_kernel_op, AllTypes{}, [](auto) {
    return Kernel{[](Launch& l) {
      throw ValueError(cat("cuda_kernel ", l.attrs<CustomKernelAttrs>().name,
                           " runs on a GPU, and was called for the CPU; leave stream=cpu out, or "
                           "pass stream=gpu"));
    }};
  });
}

}  // namespace legato::cpu
