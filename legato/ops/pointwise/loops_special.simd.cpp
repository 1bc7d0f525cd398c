// Loops in float32 and float64 of the special functions.
#include "legato/ops/pointwise/loop_kit.simd.h"

namespace legato::pointwise {
inline namespace LEGATO_LEVEL {

void add_special_loops(LoopTable& table) {
  using Floats = List<Erf, Erfc, Erfinv, Lgamma, Digamma, Polygamma, Cbrt, I0e, I1e>;
  add_float_loops(table, Floats{});
}

}  // namespace LEGATO_LEVEL
}  // namespace legato::pointwise
