// Row programs: consecutive steps over the same rows that a backend runs as one kernel, which reads
// each row once and keeps it while it goes through the steps (Backend::fuses_rows).
#pragma once

#include <cstdint>

#include "legato/fuse/graph.h"

namespace legato {

/// The steps around the reduction `step` that are worth it; of fewer than two steps if there are
/// none. None of them comes before `first_free`.
fuse::RowBlock row_program_around(const fuse::PlanGraph& g, uint32_t step, uint32_t first_free);

}  // namespace legato
