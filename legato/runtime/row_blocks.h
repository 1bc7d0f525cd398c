// Row blocks: consecutive steps that compute each row of their values from the same row of others
// run on one block of rows after another, so that what lies between them stays in the cache and, if
// nobody holds it, has no memory of its own. x - max(x), exp, / sum over rows pass through memory
// once.
#pragma once

#include <cstdint>

#include "legato/fuse/graph.h"

namespace legato {

/// Finds the runs of steps that pay when they are run by rows; fills g.row_blocks. What layouts the
/// inputs have is known only when the block runs.
void find_row_blocks(fuse::PlanGraph& g);

}  // namespace legato
