// Dtype rules and record makers of the pointwise family; for its .cpp files only.
#pragma once

#include "legato/base/error.h"
#include "legato/op/algebra.h"
#include "legato/op/function.h"
#include "legato/op/op.h"
#include "legato/op/registry.h"
#include "legato/ops/pointwise/pointwise.h"

namespace legato::pointwise {

inline Dtype promote_all(std::span<const Dtype> in) {
  Dtype t = in[0];
  for (Dtype d : in.subspan(1))
    if (d != t) t = promote(t, d);
  return t;
}
inline void operands_are(std::span<Dtype> operands, Dtype t) {
  for (Dtype& d : operands) d = t;
}
[[noreturn]] void refuse(const char* op, Dtype t, const char* takes);

/// The result has the dtype in which the operands meet.
inline void same_dtype(const char*, std::span<const Dtype> in, std::span<Dtype> operands,
                       Dtype& out) {
  out = promote_all(in);
  operands_are(operands, out);
}
/// As same_dtype, for functions without a complex meaning.
inline void same_real(const char* op, std::span<const Dtype> in, std::span<Dtype> operands,
                      Dtype& out) {
  same_dtype(op, in, operands, out);
  if (is_complex(out)) refuse(op, out, "real numbers");
}
/// Integers and bool compute in float32.
inline void inexact(const char*, std::span<const Dtype> in, std::span<Dtype> operands, Dtype& out) {
  out = to_inexact(promote_all(in));
  operands_are(operands, out);
}
inline void inexact_real(const char* op, std::span<const Dtype> in, std::span<Dtype> operands,
                         Dtype& out) {
  inexact(op, in, operands, out);
  if (is_complex(out)) refuse(op, out, "real numbers");
}
/// Operands meet, the result is bool.
inline void to_bool(const char*, std::span<const Dtype> in, std::span<Dtype> operands, Dtype& out) {
  operands_are(operands, promote_all(in));
  out = Dtype::bool_;
}
inline void real_to_bool(const char* op, std::span<const Dtype> in, std::span<Dtype> operands,
                         Dtype& out) {
  to_bool(op, in, operands, out);
  if (is_complex(operands[0])) refuse(op, operands[0], "real numbers");
}
/// Real from complex.
inline void part_of_complex(const char*, std::span<const Dtype> in, std::span<Dtype> operands,
                            Dtype& out) {
  operands[0] = to_complex(in[0]);
  out = real_part(operands[0]);
}

constexpr Op pointwise_op(const char* name, DtypeRule dtypes, Derive derive,
                          uint32_t weak_with = ~0u) {
  return {.name = name,
          .infer = infer_pointwise,
          .pointwise = {.fn = name, .dtypes = dtypes, .weak_with = weak_with},
          .derive = derive,
          .batch = batch_pointwise};
}

/// The number `value` as a partial derivative: it broadcasts.
inline Array constant(double value, const Array& like) {
  return literal(Scalar(value), to_inexact(like.dtype()));
}

}  // namespace legato::pointwise

// A function of one array, or of two operands: op record, C++ function and Python record under one
// name. Use in namespace legato; `NAME` is also the name of the scalar function.
#define LEGATO_UNARY(NAME, RULE, DERIVE, DOC)                                     \
  namespace {                                                                     \
  constinit const Op NAME##_op = pointwise::pointwise_op(#NAME, RULE, DERIVE);    \
  }                                                                               \
  Array NAME(const Array& a) { return bind(NAME##_op, a); }                       \
  namespace {                                                                     \
  constinit const Function NAME##_function = function<&NAME>(#NAME, "a, /", DOC); \
  }
#define LEGATO_BINARY(NAME, RULE, DERIVE, DOC)                                               \
  namespace {                                                                                \
  constinit const Op NAME##_op = pointwise::pointwise_op(#NAME, RULE, DERIVE);               \
  }                                                                                          \
  Array NAME(const Operand& a, const Operand& b) { return bind_pointwise(NAME##_op, a, b); } \
  namespace {                                                                                \
  constinit const Function NAME##_function = function<&NAME>(#NAME, "a, b, /", DOC);         \
  }
#define LEGATO_ALIAS(NAME, OF, PARAMS) \
  constinit const Function NAME##_function = function<&OF>(#NAME, PARAMS, "The same as `" #OF "`.");
