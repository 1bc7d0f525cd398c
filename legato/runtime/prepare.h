// Telling backends which programs a plan will run, before the first one does.
#pragma once

#include "legato/runtime/plan.h"

namespace legato {

/// For a backend that compiles: all programs of the plan that it does not know yet are compiled
/// side by side, and while the first ones run. Layouts are guessed from shapes; a wrong guess costs
/// one compilation. Costs a branch for each program that is known.
void prepare_programs(const fuse::PlanGraph& g, const RunValues& values);

}  // namespace legato
