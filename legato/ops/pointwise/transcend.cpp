// Records of exponentials, logarithms, trigonometric and hyperbolic functions. All differentiable.
#include "legato/ops/pointwise/rules.h"

namespace legato {

using namespace pointwise;

namespace {
constexpr double kLn2 = 0.69314718055994531, kLn10 = 2.3025850929940457,
                 kDegree = 0.017453292519943295;
}

LEGATO_UNARY(exp, inexact, Partials([](const Call& c, int) { return c.out(); }),
             R"(e to the power of a, elementwise. Integers and bool give float32.

>>> exp(array([0.0, 1.0]))
array([1, 2.71828], dtype=float32)
)")
LEGATO_UNARY(exp2, inexact, Partials([](const Call& c, int) { return c.out() * kLn2; }),
             R"(2 to the power of a, elementwise.

>>> exp2(array([3.0, -1.0]))
array([8, 0.5], dtype=float32)
)")
LEGATO_UNARY(expm1, inexact, Partials([](const Call& c, int) { return c.out() + 1; }),
             R"(exp(a) - 1, elementwise, exact for small a.

>>> expm1(array([0.0, 1.0]))
array([0, 1.71828], dtype=float32)
)")
LEGATO_UNARY(log, inexact, Partials([](const Call& c, int) { return reciprocal(c.in()); }),
             R"(The natural logarithm, elementwise: nan for negative real numbers, -inf for 0.

>>> log(array([1.0, 2.0]))
array([0, 0.693147], dtype=float32)
)")
LEGATO_UNARY(log2, inexact,
             Partials([](const Call& c, int) { return reciprocal(c.in()) * (1 / kLn2); }),
             R"(The logarithm to base 2, elementwise.

>>> log2(array([8.0, 0.5]))
array([3, -1], dtype=float32)
)")
LEGATO_UNARY(log10, inexact,
             Partials([](const Call& c, int) { return reciprocal(c.in()) * (1 / kLn10); }),
             R"(The logarithm to base 10, elementwise.

>>> log10(array([1.0, 100.0]))
array([0, 2], dtype=float32)
)")
LEGATO_UNARY(log1p, inexact, Partials([](const Call& c, int) { return reciprocal(c.in() + 1); }),
             R"(log(1 + a), elementwise, exact for small a.

>>> log1p(array([0.0, 1.0]))
array([0, 0.693147], dtype=float32)
)")
LEGATO_BINARY(logaddexp, inexact,
              Partials([](const Call& c, int i) { return sigmoid(c.in(i) - c.in(1 - i)); }),
              R"(log(exp(a) + exp(b)), elementwise, without overflow.

>>> logaddexp(array([0.0]), 0.0)
array([0.693147], dtype=float32)
)")
LEGATO_UNARY(sigmoid, inexact, Partials([](const Call& c, int) { return c.out() * (1 - c.out()); }),
             R"(1 / (1 + exp(-a)), elementwise.

>>> sigmoid(array([0.0, 100.0]))
array([0.5, 1], dtype=float32)
)")

LEGATO_UNARY(sin, inexact, Partials([](const Call& c, int) { return cos(c.in()); }),
             R"(The sine of an angle in radians, elementwise.

>>> sin(array([0.0, 1.0]))
array([0, 0.841471], dtype=float32)
)")
LEGATO_UNARY(cos, inexact, Partials([](const Call& c, int) { return negative(sin(c.in())); }),
             R"(The cosine of an angle in radians, elementwise.

>>> cos(array([0.0, 1.0]))
array([1, 0.540302], dtype=float32)
)")
LEGATO_UNARY(tan, inexact, Partials([](const Call& c, int) { return square(c.out()) + 1; }),
             R"(The tangent of an angle in radians, elementwise.

>>> tan(array([0.0, 1.0]))
array([0, 1.55741], dtype=float32)
)")
LEGATO_UNARY(arcsin, inexact,
             Partials([](const Call& c, int) { return rsqrt(1 - square(c.in())); }),
             R"(The angle in [-pi/2, pi/2] whose sine is a; nan outside of [-1, 1].

>>> arcsin(array([0.0, 1.0]))
array([0, 1.5708], dtype=float32)
)")
LEGATO_UNARY(arccos, inexact,
             Partials([](const Call& c, int) { return negative(rsqrt(1 - square(c.in()))); }),
             R"(The angle in [0, pi] whose cosine is a; nan outside of [-1, 1].

>>> arccos(array([1.0, 0.0]))
array([0, 1.5708], dtype=float32)
)")
LEGATO_UNARY(arctan, inexact,
             Partials([](const Call& c, int) { return reciprocal(square(c.in()) + 1); }),
             R"(The angle in [-pi/2, pi/2] whose tangent is a.

>>> arctan(array([0.0, 1.0]))
array([0, 0.785398], dtype=float32)
)")
LEGATO_BINARY(
    arctan2, inexact_real, Partials([](const Call& c, int i) {
      Array length = square(c.in(0)) + square(c.in(1));
      return i == 0 ? c.in(1) / length : negative(c.in(0)) / length;
    }),
    R"(The angle in [-pi, pi] of the point with y = a and x = b. Complex values are refused.

>>> arctan2(array([1.0]), array([-1.0]))
array([2.35619], dtype=float32)
)")
LEGATO_UNARY(sinh, inexact, Partials([](const Call& c, int) { return cosh(c.in()); }),
             R"(The hyperbolic sine, elementwise.

>>> sinh(array([0.0, 1.0]))
array([0, 1.1752], dtype=float32)
)")
LEGATO_UNARY(cosh, inexact, Partials([](const Call& c, int) { return sinh(c.in()); }),
             R"(The hyperbolic cosine, elementwise.

>>> cosh(array([0.0, 1.0]))
array([1, 1.54308], dtype=float32)
)")
LEGATO_UNARY(tanh, inexact, Partials([](const Call& c, int) { return 1 - square(c.out()); }),
             R"(The hyperbolic tangent, elementwise.

>>> tanh(array([0.0, 1.0]))
array([0, 0.761594], dtype=float32)
)")
LEGATO_UNARY(arcsinh, inexact,
             Partials([](const Call& c, int) { return rsqrt(square(c.in()) + 1); }),
             R"(The inverse of sinh, elementwise.

>>> arcsinh(array([0.0, 1.0]))
array([0, 0.881374], dtype=float32)
)")
// Two roots, not one of the product: right on the cut of the complex function too.
LEGATO_UNARY(arccosh, inexact,
             Partials([](const Call& c, int) { return rsqrt(c.in() - 1) * rsqrt(c.in() + 1); }),
             R"(The inverse of cosh, elementwise; nan for real numbers below 1.

>>> arccosh(array([1.0, 2.0]))
array([0, 1.31696], dtype=float32)
)")
LEGATO_UNARY(arctanh, inexact,
             Partials([](const Call& c, int) { return reciprocal(1 - square(c.in())); }),
             R"(The inverse of tanh, elementwise; nan for real numbers outside of [-1, 1].

>>> arctanh(array([0.0, 0.5]))
array([0, 0.549306], dtype=float32)
)")

namespace {

// Rounded to a half the factor alone would be wrong by half a unit of the last place.
Array times(const Array& a, double factor) {
  return is_half(a.dtype())
             ? algebra::astype(algebra::astype(a, Dtype::float32) * factor, a.dtype())
             : a * factor;
}

}  // namespace

Array degrees(const Array& a) { return times(a, 1 / kDegree); }
Array radians(const Array& a) { return times(a, kDegree); }

namespace {
constinit const Function degrees_function =
    function<&degrees>("degrees", "a, /", R"(Radians to degrees.

>>> degrees(array([3.14159265]))
array([180], dtype=float32)
)");
constinit const Function radians_function =
    function<&radians>("radians", "a, /", R"(Degrees to radians.

>>> radians(array([180.0]))
array([3.14159], dtype=float32)
)");
LEGATO_ALIAS(asin, arcsin, "a, /")
LEGATO_ALIAS(acos, arccos, "a, /")
LEGATO_ALIAS(atan, arctan, "a, /")
LEGATO_ALIAS(atan2, arctan2, "a, b, /")
LEGATO_ALIAS(asinh, arcsinh, "a, /")
LEGATO_ALIAS(acosh, arccosh, "a, /")
LEGATO_ALIAS(atanh, arctanh, "a, /")
}  // namespace

void register_transcend(Registry& r) {
  for (const Op* op : {&exp_op,    &exp2_op,      &expm1_op,   &log_op,     &log2_op, &log10_op,
                       &log1p_op,  &logaddexp_op, &sigmoid_op, &sin_op,     &cos_op,  &tan_op,
                       &arcsin_op, &arccos_op,    &arctan_op,  &arctan2_op, &sinh_op, &cosh_op,
                       &tanh_op,   &arcsinh_op,   &arccosh_op, &arctanh_op})
    r.add(*op);
  for (const Function* f :
       {&exp_function,     &exp2_function,    &expm1_function,   &log_function,
        &log2_function,    &log10_function,   &log1p_function,   &logaddexp_function,
        &sigmoid_function, &sin_function,     &cos_function,     &tan_function,
        &arcsin_function,  &arccos_function,  &arctan_function,  &arctan2_function,
        &sinh_function,    &cosh_function,    &tanh_function,    &arcsinh_function,
        &arccosh_function, &arctanh_function, &degrees_function, &radians_function,
        &asin_function,    &acos_function,    &atan_function,    &atan2_function,
        &asinh_function,   &acosh_function,   &atanh_function})
    r.add(*f);
}

}  // namespace legato
