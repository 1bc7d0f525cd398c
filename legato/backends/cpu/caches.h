// What to expect of the caches.
#pragma once

#include <cstdint>

#include "legato/base/cpu_info.h"

namespace legato::cpu {

/// Whether an array of so many bytes is read from memory, however lately it was used: the
/// last-level cache does not hold it beside the rest of a computation.
inline bool lies_in_memory(int64_t bytes) { return bytes > cpu_info().l3_bytes / 4 * 3; }

}  // namespace legato::cpu
