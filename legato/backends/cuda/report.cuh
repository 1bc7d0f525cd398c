// How a kernel reports a value at fault, such as an index out of range.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"
#include "legato/backends/cuda/lane.cuh"

namespace legato::cuda {

/// The first report of a launch is kept. Threads compete for a word in the device's own memory:
/// atomic operations on the host's, where the record lies, are refused on some systems.
LEGATO_INLINE void report_value(ValueReport* report, int place, long long value, long long bound) {
  if (atomicCAS(report->claim, 0, 1) != 0) return;
  report->place = place;
  report->value = value;
  report->bound = bound;
  report->set = 1;
}

}  // namespace legato::cuda
