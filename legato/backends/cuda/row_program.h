// Row programs on the GPU: programs and reductions over the same rows as one generated kernel.
#pragma once

#include "legato/backends/cuda/device.h"
#include "legato/runtime/row_call.h"

namespace legato::cuda {

/// What Kernel::own of one that picks elements of rows (Kernel::picks) points to: how it tells of
/// an index that is out of range, and along which axis it picks.
struct PickOf {
  const char* op;
  GpuDevice::Describe describe;
  int64_t (*axis)(const void* attrs);
};

/// See Backend::run_rows.
bool run_rows(GpuDevice& device, const RowCall& call);

}  // namespace legato::cuda
