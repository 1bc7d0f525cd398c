#include "legato/ops/index/gather.cpu.h"

namespace legato::cpu {

void register_index_kernels(KernelTable& table) {
  register_gather_kernels(table);
  register_scatter_kernels(table);
  register_slice_kernels(table);
  register_masked_kernels(table);
}

}  // namespace legato::cpu
