// The functions of the scalar language by name: the one list that gives them their dense numbers
// (fuse::FnId). What each of them computes stands in scalar_*.h, in a struct of the name given
// first. This header costs nothing to include, so that graph code knows the names without compiling
// the mathematics.
#pragma once

#include <cstdint>

// X(struct, name). Cast must stay first (fuse::kCastFn). Grouped by theme, so not for the
// formatter.
// clang-format off
#define LEGATO_POINTWISE_FUNCTIONS(X)                                                                         \
  X(Cast, cast)                                                                                               \
  X(Add, add) X(Subtract, subtract) X(Multiply, multiply) X(Divide, divide) X(FloorDivide, floor_divide)      \
  X(Remainder, remainder) X(Fmod, fmod) X(Power, power) X(Maximum, maximum) X(Minimum, minimum)               \
  X(Negative, negative) X(Abs, abs) X(Sign, sign) X(Square, square) X(Reciprocal, reciprocal)                 \
  X(Sqrt, sqrt) X(Rsqrt, rsqrt) X(Fma, fma) X(MultiplyAdd, multiply_add) X(Hypot, hypot)                      \
  X(Copysign, copysign) X(Nextafter, nextafter)                                                               \
  X(Floor, floor) X(Ceil, ceil) X(Trunc, trunc) X(Round, round)                                               \
  X(Equal, equal) X(NotEqual, not_equal) X(Less, less) X(LessEqual, less_equal) X(Greater, greater)           \
  X(GreaterEqual, greater_equal) X(Where, where)                                                              \
  X(IsNan, isnan) X(IsInf, isinf) X(IsFinite, isfinite) X(IsNegInf, isneginf) X(IsPosInf, isposinf)           \
  X(Signbit, signbit)                                                                                         \
  X(LogicalAnd, logical_and) X(LogicalOr, logical_or) X(LogicalXor, logical_xor) X(LogicalNot, logical_not)   \
  X(BitwiseAnd, bitwise_and) X(BitwiseOr, bitwise_or) X(BitwiseXor, bitwise_xor)                              \
  X(BitwiseInvert, bitwise_invert) X(LeftShift, left_shift) X(RightShift, right_shift)                        \
  X(Exp, exp) X(Exp2, exp2) X(Expm1, expm1) X(Log, log) X(Log2, log2) X(Log10, log10) X(Log1p, log1p)         \
  X(LogAddExp, logaddexp) X(Xlogy, xlogy) X(Sigmoid, sigmoid)                                                 \
  X(Sin, sin) X(Cos, cos) X(Tan, tan) X(Arcsin, arcsin) X(Arccos, arccos) X(Arctan, arctan)                   \
  X(Arctan2, arctan2) X(Sinh, sinh) X(Cosh, cosh) X(Tanh, tanh) X(Arcsinh, arcsinh) X(Arccosh, arccosh)       \
  X(Arctanh, arctanh)                                                                                         \
  X(Erf, erf) X(Erfc, erfc) X(Erfinv, erfinv) X(Lgamma, lgamma) X(Digamma, digamma) X(Polygamma, polygamma) X(Cbrt, cbrt)             \
  X(I0e, i0e) X(I1e, i1e)                                                                                     \
  X(Real, real) X(Imag, imag) X(Conj, conj) X(Arg, arg) X(MakeComplex, make_complex)
// clang-format on

namespace legato::pointwise {

#define LEGATO_POINTWISE_ID(type, name) type,
enum class Id : uint16_t { LEGATO_POINTWISE_FUNCTIONS(LEGATO_POINTWISE_ID) count };
#undef LEGATO_POINTWISE_ID

inline constexpr int kFunctionCount = static_cast<int>(Id::count);

}  // namespace legato::pointwise
