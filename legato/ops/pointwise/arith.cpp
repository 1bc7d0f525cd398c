// Records of arithmetic and rounding.
#include <cmath>

#include "legato/ops/pointwise/rules.h"

namespace legato {

using namespace pointwise;

namespace pointwise {
void refuse(const char* op, Dtype t, const char* takes) {
  throw ValueError(cat(op, ": takes ", takes, ", not ", t, ". Convert with astype(...) first."));
}
}  // namespace pointwise

namespace {

Array one(const Call& c) { return constant(1, c.out()); }

void negative_dtype(const char* op, std::span<const Dtype> in, std::span<Dtype> operands,
                    Dtype& out) {
  if (is_bool(in[0])) refuse(op, in[0], "numbers (logical_not negates bool)");
  out = operands[0] = in[0];
}
void abs_dtype(const char*, std::span<const Dtype> in, std::span<Dtype> operands, Dtype& out) {
  operands[0] = in[0];
  out = real_part(in[0]);
}
void power_dtype(const char*, std::span<const Dtype> in, std::span<Dtype> operands, Dtype& out) {
  out = promote_all(in);
  operands_are(operands, out);
}

/// The part of z in the direction of s (|s| = 1), as a real number.
Array along(const Array& s, const Array& z) { return real(conjugate(s) * z); }

}  // namespace

LEGATO_BINARY(add, same_dtype,
              LinearJointly(3,
                            [](const Call& c, int i, const Array& ct) {
                              return algebra::sum_to_shape(ct, c.in(i).shape());
                            }),
              R"(a + b, elementwise.

Args:
    a, b: Arrays of any dtype, or numbers; they broadcast, and meet in the dtype that `result_type`
        gives. Integers wrap. Differentiable.

>>> add(array([1, 2]), 0.5)
array([1.5, 2.5], dtype=float32)
)")

LEGATO_BINARY(subtract, same_dtype,
              LinearJointly(3,
                            [](const Call& c, int i, const Array& ct) {
                              return algebra::sum_to_shape(i == 0 ? ct : negative(ct),
                                                           c.in(i).shape());
                            }),
              R"(a - b, elementwise. Integers wrap. Differentiable.

>>> subtract(array([1, 2]), array([[3], [5]]))
array([[-2, -1],
       [-4, -3]], dtype=int32)
)")

LEGATO_BINARY(multiply, same_dtype, Partials([](const Call& c, int i) { return c.in(1 - i); }),
              R"(a * b, elementwise. Integers wrap. Differentiable.

>>> multiply(array([1.0, 2.0]), array([3.0, 4.0]))
array([3, 8], dtype=float32)
)")

LEGATO_BINARY(divide, inexact, Partials([](const Call& c, int i) {
                return i == 0 ? reciprocal(c.in(1)) : negative(c.out()) / c.in(1);
              }),
              R"(a / b, elementwise. Integers and bool divide in float32. Differentiable.

>>> divide(array([1, 2]), 4)
array([0.25, 0.5], dtype=float32)
)")

// Piecewise constant.
LEGATO_BINARY(floor_divide, same_real, ZeroDerivative(),
              R"(a / b rounded down, as Python's `//`.

Integers divided by 0 give 0, floats inf or nan. Complex values are refused. The derivative is zero.

>>> floor_divide(array([7, -7]), 2)
array([3, -4], dtype=int32)
)")

LEGATO_BINARY(remainder, same_real, Partials([](const Call& c, int i) {
                return i == 0 ? one(c) : negative(floor_divide(c.in(0), c.in(1)));
              }),
              R"(a - b * floor(a / b), with the sign of b, as Python's `%`.

Integers modulo 0 give a, floats nan. Complex values are refused. Differentiable.

>>> remainder(array([7, -7]), 3)
array([1, 2], dtype=int32)
)")

LEGATO_BINARY(fmod, same_real, Partials([](const Call& c, int i) {
                return i == 0 ? one(c) : negative(trunc(divide(c.in(0), c.in(1))));
              }),
              R"(a - b * trunc(a / b), with the sign of a, as in C. Exact. Differentiable.

>>> fmod(array([7.0, -7.0]), 3.0)
array([1, -1], dtype=float32)
)")

namespace {

constinit const Op power_op =
    pointwise::pointwise_op("power", power_dtype, Partials([](const Call& c, int i) {
                              const Array &x = c.in(0), &y = c.in(1);
                              if (i == 0) return where(equal(y, 0), 0, y * power(x, y - 1));
                              return where(equal(x, 0), 0, c.out() * log(x));
                            }));

// x ** 2, which losses and variances are written with: exact, and a fortieth of the work.
bool is_square(const Operand& a, const Operand& b) {
  if (!a.is_array() || b.is_array() || b.scalar().kind == Scalar::Kind::complex) return false;
  return b.scalar().real() == 2 && weak_dtype(b.scalar(), a.array().dtype()) == a.array().dtype();
}

}  // namespace

Array power(const Operand& a, const Operand& b) {
  return is_square(a, b) ? square(a.array()) : bind_pointwise(power_op, {a, b});
}

namespace {
constinit const Function power_function = function<&power>("power", "a, b, /",
                                                           R"(a to the power of b, elementwise.

Integers stay integers and wrap; a negative exponent gives them 0. A negative float to a fractional
power is nan. Differentiable.

>>> power(array([2, 3]), 2)
array([4, 9], dtype=int32)
)");
}

LEGATO_BINARY(maximum, same_dtype, Partials([](const Call& c, int i) {
                Array first = greater(c.in(0), c.in(1));
                return i == 0 ? first : logical_not(first);
              }),
              R"(The larger of a and b, elementwise; nan if either is.

Complex values compare by real, then by imaginary part. Differentiable; at a tie the gradient goes
to b.

>>> maximum(array([1, 5]), 3)
array([3, 5], dtype=int32)
)")

LEGATO_BINARY(minimum, same_dtype, Partials([](const Call& c, int i) {
                Array first = less(c.in(0), c.in(1));
                return i == 0 ? first : logical_not(first);
              }),
              R"(The smaller of a and b, elementwise; nan if either is. See `maximum`.

>>> minimum(array([1, 5]), 3)
array([1, 3], dtype=int32)
)")

LEGATO_UNARY(negative, negative_dtype,
             Linear(1, [](const Call&, int, const Array& ct) { return negative(ct); }),
             R"(-a, elementwise.

Unsigned integers wrap. Raises ValueError for bool: use logical_not. Differentiable.

>>> negative(array([1, -2]))
array([-1, 2], dtype=int32)
)")

LEGATO_UNARY(abs, abs_dtype,
             Vjp([](const Call& c, std::span<const Array> ct,
                    std::span<Array> r) { r[0] = ct[0] * sign(c.in()); },
                 [](const Call& c, std::span<const Array> t, std::span<Array> r) {
                   r[0] =
                       is_complex(c.in().dtype()) ? along(sign(c.in()), t[0]) : t[0] * sign(c.in());
                 }),
             R"(The absolute value, elementwise; of complex values their length, a real number.

The most negative integer wraps to itself. Differentiable; the derivative at 0 is 0.

>>> abs(array([-1.5, 2.0]))
array([1.5, 2], dtype=float32)
)")

// Of real values piecewise constant. A complex value turns with z, at 1 / |z|.
LEGATO_UNARY(sign, same_dtype,
             Vjp(
                 [](const Call& c, std::span<const Array> ct, std::span<Array> r) {
                   if (is_complex(c.in().dtype()))
                     r[0] = (ct[0] - c.out() * along(c.out(), ct[0])) / abs(c.in());
                 },
                 [](const Call& c, std::span<const Array> t, std::span<Array> r) {
                   if (is_complex(c.in().dtype()))
                     r[0] = (t[0] - c.out() * along(c.out(), t[0])) / abs(c.in());
                 }),
             R"(-1, 0 or 1 by the sign of each element; 0 for nan; a / |a| for complex values.

>>> sign(array([-2.0, 0.0, 5.0]))
array([-1, 0, 1], dtype=float32)
)")

LEGATO_UNARY(square, same_dtype, Partials([](const Call& c, int) { return c.in() * 2; }),
             R"(a * a, elementwise. Integers wrap. Differentiable.

>>> square(array([2.0, -3.0]))
array([4, 9], dtype=float32)
)")

LEGATO_UNARY(reciprocal, inexact,
             Partials([](const Call& c, int) { return negative(square(c.out())); }),
             R"(1 / a, elementwise. Integers and bool give float32. Differentiable.

>>> reciprocal(array([2.0, 4.0]))
array([0.5, 0.25], dtype=float32)
)")

LEGATO_UNARY(
    sqrt, inexact, Partials([](const Call& c, int) { return 0.5 / c.out(); }),
    R"(The square root, elementwise; nan for negative real numbers. Integers give float32. Differentiable.

>>> sqrt(array([4.0, 9.0]))
array([2, 3], dtype=float32)
)")

LEGATO_UNARY(rsqrt, inexact,
             Partials([](const Call& c, int) { return c.out() * square(c.out()) * -0.5; }),
             R"(1 / sqrt(a), elementwise. Integers give float32. Differentiable.

>>> rsqrt(array([4.0, 16.0]))
array([0.5, 0.25], dtype=float32)
)")

LEGATO_UNARY(cbrt, inexact_real,
             Partials([](const Call& c, int) { return 1.0 / (square(c.out()) * 3); }),
             R"(The real cube root, elementwise. Complex values are refused. Differentiable.

>>> cbrt(array([8.0, -27.0]))
array([2, -3], dtype=float32)
)")

LEGATO_BINARY(hypot, inexact_real, Partials([](const Call& c, int i) { return c.in(i) / c.out(); }),
              R"(sqrt(a * a + b * b), elementwise, without overflow on the way. Differentiable.

>>> hypot(array([3.0]), array([4.0]))
array([5], dtype=float32)
)")

LEGATO_BINARY(copysign, inexact_real, Partials([](const Call& c, int i) {
                if (i == 1) return Array();  // only the sign of b matters: piecewise constant
                return where(equal(signbit(c.in(0)), signbit(c.in(1))), 1.0, -1.0);
              }),
              R"(|a| with the sign of b, elementwise.

>>> copysign(array([1.0, 2.0]), -1.0)
array([-1, -2], dtype=float32)
)")

LEGATO_BINARY(nextafter, inexact_real, Partials([](const Call& c, int i) {
                return i == 0 ? one(c) : Array();  // a plus a tiny constant
              }),
              R"(The next representable number after a in the direction of b.

float16 and bfloat16 step in float32 and round.

>>> nextafter(array([0.0]), 1.0) > 0
array([True], dtype=bool)
)")

// Rounding is piecewise constant: zero derivative.
LEGATO_UNARY(
    floor, same_real, ZeroDerivative(),
    R"(The largest integer not above each element, in the same dtype. Complex values are refused.

>>> floor(array([1.5, -1.5]))
array([1, -2], dtype=float32)
)")
LEGATO_UNARY(
    ceil, same_real, ZeroDerivative(),
    R"(The smallest integer not below each element, in the same dtype. Complex values are refused.

>>> ceil(array([1.5, -1.5]))
array([2, -1], dtype=float32)
)")
LEGATO_UNARY(trunc, same_real, ZeroDerivative(),
             R"(Each element without its fraction, in the same dtype. Complex values are refused.

>>> trunc(array([1.5, -1.5]))
array([1, -1], dtype=float32)
)")

namespace {

constinit const Op round_op = pointwise_op("round", same_dtype, ZeroDerivative());

// An integer to the nearest multiple of `unit` > 1, half to even, without leaving the integers.
Array round_integer(const Array& a, int64_t unit) {
  Array q = floor_divide(a, Scalar(unit));
  Array r = a - q * Scalar(unit);
  Array rest = Scalar(unit) - r;  // r and rest lie in [0, unit]
  Array up =
      logical_or(greater(r, rest), logical_and(equal(r, rest), not_equal(remainder(q, 2), 0)));
  return (q + up) * Scalar(unit);
}

}  // namespace

Array round(const Array& a, int decimals) {
  if (decimals == 0) return bind(round_op, {a});
  if (!is_inexact(a.dtype())) {
    if (decimals > 0 || is_bool(a.dtype())) return a;
    // Beyond the dtype's own range every value is nearer to 0 than to the unit.
    const double limit = std::ldexp(
        1.0, static_cast<int>(8 * size_of(a.dtype())) - (is_signed_integer(a.dtype()) ? 1 : 0));
    const double unit = std::pow(10.0, -decimals);
    if (unit >= limit || unit >= 0x1p63) return algebra::zeros_like(a);
    return round_integer(a, static_cast<int64_t>(unit));
  }
  const double scale = std::pow(10.0, std::abs(decimals));
  return decimals > 0 ? bind(round_op, {a * scale}) / scale : bind(round_op, {a / scale}) * scale;
}

Array positive(const Array& a) { return a; }

std::pair<Array, Array> divmod(const Operand& a, const Operand& b) {
  return {floor_divide(a, b), remainder(a, b)};
}

Array clip(const Array& a, const std::optional<Operand>& a_min,
           const std::optional<Operand>& a_max) {
  if (!a_min && !a_max)
    throw ValueError("clip: a_min and a_max are both None; give at least one bound.");
  Array r = a_min ? maximum(a, *a_min) : a;
  return a_max ? minimum(r, *a_max) : r;
}

namespace {

constinit const Function round_function =
    function<&round>("round", "a, /, decimals=0",
                     R"(Rounds to the given number of decimals, half to even.

A negative `decimals` rounds to tens, hundreds, ...; integers stay integers. The derivative is zero.

>>> round(array([0.5, 1.5, 2.567]), 0)
array([0, 2, 3], dtype=float32)
)");
constinit const Function positive_function =
    function<&positive>("positive", "a, /", "The array itself: unary +.");
constinit const Function divmod_function = function<&divmod>("divmod", "a, b, /",
                                                             R"(The pair (a // b, a % b).

>>> divmod(array([7]), 2)
(array([3], dtype=int32), array([1], dtype=int32))
)");
constinit const Function clip_function = function<&clip>("clip", "a, /, a_min, a_max",
                                                         R"(Limits the elements to [a_min, a_max].

Args:
    a: Array.
    a_min, a_max: Arrays or numbers that broadcast with a, or None for no bound. The upper bound is
        applied last. A float bound turns integers into floats.

Raises:
    ValueError: if both bounds are None.

>>> clip(array([-1, 0, 5]), 0, 3)
array([0, 0, 3], dtype=int32)
)");
LEGATO_ALIAS(pow, power, "a, b, /")

}  // namespace

void register_arith(Registry& r) {
  for (const Op* op : {&add_op,       &subtract_op, &multiply_op, &divide_op,  &floor_divide_op,
                       &remainder_op, &fmod_op,     &power_op,    &maximum_op, &minimum_op,
                       &negative_op,  &abs_op,      &sign_op,     &square_op,  &reciprocal_op,
                       &sqrt_op,      &rsqrt_op,    &cbrt_op,     &hypot_op,   &copysign_op,
                       &nextafter_op, &floor_op,    &ceil_op,     &trunc_op,   &round_op})
    r.add(*op);
  for (const Function* f :
       {&add_function,          &subtract_function,  &multiply_function, &divide_function,
        &floor_divide_function, &remainder_function, &fmod_function,     &power_function,
        &pow_function,          &maximum_function,   &minimum_function,  &negative_function,
        &abs_function,          &sign_function,      &square_function,   &reciprocal_function,
        &sqrt_function,         &rsqrt_function,     &cbrt_function,     &hypot_function,
        &copysign_function,     &nextafter_function, &floor_function,    &ceil_function,
        &trunc_function,        &round_function,     &positive_function, &divmod_function,
        &clip_function})
    r.add(*f);
}

}  // namespace legato
