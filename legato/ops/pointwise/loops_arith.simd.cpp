// Loops in float32, float64 and complex of arithmetic, rounding, comparison and logic.
#include "legato/ops/pointwise/loop_kit.simd.h"

namespace legato::pointwise {
inline namespace LEGATO_LEVEL {

void add_arith_loops(LoopTable& table) {
  using Floats =
      List<Add, Subtract, Multiply, Divide, FloorDivide, Remainder, Fmod, Maximum, Minimum,
           Negative, Abs, Sign, Square, Reciprocal, Sqrt, Rsqrt, Fma, MultiplyAdd, Copysign,
           Nextafter, Floor, Ceil, Trunc, Round, Equal, NotEqual, Less, LessEqual, Greater,
           GreaterEqual, Where, IsNan, IsInf, IsFinite, IsNegInf, IsPosInf, Signbit, LogicalAnd,
           LogicalOr, LogicalXor, LogicalNot, MakeComplex>;
  add_float_loops(table, Floats{});
}

}  // namespace LEGATO_LEVEL
}  // namespace legato::pointwise
