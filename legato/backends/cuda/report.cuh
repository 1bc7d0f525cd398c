// How a kernel reports a value at fault, such as an index out of range.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"
#include "legato/backends/cuda/lane.cuh"

namespace legato::cuda {

/// The first report of a launch is kept. Threads compete for a word in the device's own memory:
/// atomic operations on the host's, where the record lies, are refused on some systems.
LEGATO_INLINE void report_value(ValueReport* report, int place, long long value, long long bound) {
  ValueReport* const to = report->redirect ? *report->redirect : report;
  if (atomicCAS(to->claim, 0, 1) != 0) return;
  to->place = place;
  to->value = value;
  to->bound = bound;
  to->launch = report->launch;
  to->set = 1;
}

}  // namespace legato::cuda
