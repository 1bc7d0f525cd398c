// Loops of complex values.
#include "legato/ops/pointwise/loop_kit.simd.h"

namespace legato::pointwise {
inline namespace LEGATO_LEVEL {

void add_complex_loops(LoopTable& table) {
  using Complexes =
      List<Add, Subtract, Multiply, Divide, Power, Maximum, Minimum, Negative, Abs, Sign, Square,
           Reciprocal, Sqrt, Rsqrt, Round, Equal, NotEqual, Less, LessEqual, Greater, GreaterEqual,
           Where, IsNan, IsInf, IsFinite, LogicalAnd, LogicalOr, LogicalXor, LogicalNot, Exp, Exp2,
           Expm1, Log, Log2, Log10, Log1p, LogAddExp, Sigmoid, Sin, Cos, Tan, Arcsin, Arccos,
           Arctan, Sinh, Cosh, Tanh, Arcsinh, Arccosh, Arctanh, Real, Imag, Conj, Arg>;
  add_complex_loops(table, Complexes{});
}

}  // namespace LEGATO_LEVEL
}  // namespace legato::pointwise
