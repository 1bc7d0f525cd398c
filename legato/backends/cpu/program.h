// Runs pointwise programs on the CPU: a tile interpreter over precompiled loops.
#pragma once

#include "legato/base/export.h"
#include "legato/fuse/program.h"

namespace legato::cpu {

/// Computes the call's outputs. Splits the work over the thread pool; results do not depend on the
/// split. Throws InternalError if the program uses a function for a dtype that has no loop.
LEGATO_API void run_program(const fuse::ProgramCall& call);

}  // namespace legato::cpu
