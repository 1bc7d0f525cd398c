// Loops in float32 and float64 of the elementary functions.
#include "legato/ops/pointwise/loop_kit.simd.h"

namespace legato::pointwise {
inline namespace LEGATO_LEVEL {

void add_transcend_loops(LoopTable& table) {
  using Floats = List<Exp, Exp2, Expm1, Log, Log2, Log10, Log1p, LogAddExp, Xlogy, Sigmoid, Sin,
                      Cos, Tan, Arcsin, Arccos, Arctan, Arctan2, Sinh, Cosh, Tanh, Arcsinh, Arccosh,
                      Arctanh, Power, Hypot>;
  add_float_loops(table, Floats{});
}

}  // namespace LEGATO_LEVEL
}  // namespace legato::pointwise
