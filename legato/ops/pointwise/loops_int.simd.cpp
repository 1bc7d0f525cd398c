// Loops of integers and bool.
#include "legato/ops/pointwise/loop_kit.simd.h"

namespace legato::pointwise {
inline namespace LEGATO_LEVEL {

void add_integer_loops(LoopTable& table) {
  using Signless = List<Add, Subtract, Multiply, Square, Negative, Equal, NotEqual, LogicalAnd,
                        LogicalOr, LogicalXor, LogicalNot, BitwiseAnd, BitwiseOr, BitwiseXor,
                        BitwiseInvert, LeftShift, Where, Floor, Ceil, Trunc, Round>;
  add_signless_loops(table, Signless{});
  using Signed = List<FloorDivide, Remainder, Fmod, Maximum, Minimum, Abs, Sign, Power, Less,
                      LessEqual, Greater, GreaterEqual, RightShift, Signbit>;
  add_integer_loops(table, Signed{});
}

}  // namespace LEGATO_LEVEL
}  // namespace legato::pointwise
