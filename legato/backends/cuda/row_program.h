// Row programs on the GPU: programs and reductions over the same rows as one generated kernel.
#pragma once

#include "legato/backends/cuda/device.h"
#include "legato/runtime/row_call.h"

namespace legato::cuda {

/// See Backend::run_rows.
bool run_rows(GpuDevice& device, const RowCall& call);

}  // namespace legato::cuda
