// Registration of the kernels of the index family, by file.
#pragma once

#include "legato/runtime/backend.h"

namespace legato::cpu {

void register_gather_kernels(KernelTable& table);
void register_scatter_kernels(KernelTable& table);
void register_masked_kernels(KernelTable& table);
void register_slice_kernels(KernelTable& table);

}  // namespace legato::cpu
