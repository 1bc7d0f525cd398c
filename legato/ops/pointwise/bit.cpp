// Records of bit operations. Integers in, integers out: no derivative.
#include "legato/ops/pointwise/rules.h"

namespace legato {

using namespace pointwise;

namespace {

void bits_dtype(const char* op, std::span<const Dtype> in, std::span<Dtype> operands, Dtype& out) {
  same_dtype(op, in, operands, out);
  if (is_inexact(out)) refuse(op, out, "integers and bool");
}
void shift_dtype(const char* op, std::span<const Dtype> in, std::span<Dtype> operands, Dtype& out) {
  bits_dtype(op, in, operands, out);
  if (is_bool(out)) operands_are(operands, out = Dtype::uint8);
}

}  // namespace

LEGATO_BINARY(bitwise_and, bits_dtype, ZeroDerivative(), R"(a & b of integers or bool, elementwise.

>>> bitwise_and(array([6, 5]), 3)
array([2, 1], dtype=int32)
)")
LEGATO_BINARY(bitwise_or, bits_dtype, ZeroDerivative(), R"(a | b of integers or bool, elementwise.

>>> bitwise_or(array([6, 5]), 3)
array([7, 7], dtype=int32)
)")
LEGATO_BINARY(bitwise_xor, bits_dtype, ZeroDerivative(), R"(a ^ b of integers or bool, elementwise.

>>> bitwise_xor(array([6, 5]), 3)
array([5, 6], dtype=int32)
)")
LEGATO_UNARY(bitwise_invert, bits_dtype, ZeroDerivative(), R"(~a of integers; of bool the opposite.

>>> bitwise_invert(array([0, 5]))
array([-1, -6], dtype=int32)
)")
LEGATO_BINARY(left_shift, shift_dtype, ZeroDerivative(), R"(a << b of integers, elementwise.

Counts are taken modulo the width of 32- and 64-bit types; narrower types shift as int32 and drop
the bits that do not fit. bool gives uint8.

>>> left_shift(array([1, 3]), 2)
array([4, 12], dtype=int32)
)")
LEGATO_BINARY(right_shift, shift_dtype, ZeroDerivative(),
              R"(a >> b of integers, elementwise; signed values keep their sign.

>>> right_shift(array([8, -8]), 1)
array([4, -4], dtype=int32)
)")

namespace {
LEGATO_ALIAS(bitwise_left_shift, left_shift, "a, b, /")
LEGATO_ALIAS(bitwise_right_shift, right_shift, "a, b, /")
}  // namespace

void register_bit(Registry& r) {
  for (const Op* op : {&bitwise_and_op, &bitwise_or_op, &bitwise_xor_op, &bitwise_invert_op,
                       &left_shift_op, &right_shift_op})
    r.add(*op);
  for (const Function* f : {&bitwise_and_function, &bitwise_or_function, &bitwise_xor_function,
                            &bitwise_invert_function, &left_shift_function, &right_shift_function,
                            &bitwise_left_shift_function, &bitwise_right_shift_function})
    r.add(*f);
}

}  // namespace legato
