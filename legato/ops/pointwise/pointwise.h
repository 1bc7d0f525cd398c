// Pointwise functions: arithmetic, comparison, logic, bits, elementary and special functions.
//
// Operands broadcast by NumPy's rule and meet in the dtype that promote() says; a number takes the
// dtype of the arrays beside it (weak_dtype in array/dtype.h). Operands that do not broadcast, and
// dtypes that a function refuses, throw ValueError. "Inexact" functions compute integers and bool
// in float32. Half types compute in float32.
#pragma once

#include <optional>
#include <utility>

#include "legato/array/operand.h"

namespace legato {

// --- arithmetic: integers wrap ---
LEGATO_API Array add(const Operand& a, const Operand& b);
LEGATO_API Array subtract(const Operand& a, const Operand& b);
LEGATO_API Array multiply(const Operand& a, const Operand& b);
/// Inexact.
LEGATO_API Array divide(const Operand& a, const Operand& b);
/// Rounded down, as in Python; integers divided by 0 give 0. Not complex.
LEGATO_API Array floor_divide(const Operand& a, const Operand& b);
/// With the sign of b, as in Python; integers modulo 0 give a. Not complex.
LEGATO_API Array remainder(const Operand& a, const Operand& b);
/// With the sign of a, as in C. Not complex.
LEGATO_API Array fmod(const Operand& a, const Operand& b);
/// floor_divide and remainder.
LEGATO_API std::pair<Array, Array> divmod(const Operand& a, const Operand& b);
/// Integers stay integers; a negative exponent gives them 0.
LEGATO_API Array power(const Operand& a, const Operand& b);
/// nan if either is; complex values compare by real, then imaginary part. At a tie the gradient
/// goes to b.
LEGATO_API Array maximum(const Operand& a, const Operand& b);
LEGATO_API Array minimum(const Operand& a, const Operand& b);
/// min(max(a, a_min), a_max); at least one bound must be given, else ValueError.
LEGATO_API Array clip(const Array& a, const std::optional<Operand>& a_min,
                      const std::optional<Operand>& a_max);
/// bool is refused; unsigned integers wrap.
LEGATO_API Array negative(const Array& a);
LEGATO_API Array positive(const Array& a);
/// Of complex values the length, a real number. abs(INT_MIN) wraps to itself.
LEGATO_API Array abs(const Array& a);
/// -1, 0 or 1; nan gives 0; complex a / |a|.
LEGATO_API Array sign(const Array& a);
LEGATO_API Array square(const Array& a);
LEGATO_API Array reciprocal(const Array& a);  // inexact
LEGATO_API Array sqrt(const Array& a);        // inexact
LEGATO_API Array rsqrt(const Array& a);       // inexact
LEGATO_API Array cbrt(const Array& a);        // inexact, real
LEGATO_API Array hypot(const Operand& a, const Operand& b);
LEGATO_API Array copysign(const Operand& a, const Operand& b);
LEGATO_API Array nextafter(const Operand& a, const Operand& b);

// --- rounding: integers are kept; floor, ceil and trunc refuse complex values ---
LEGATO_API Array floor(const Array& a);
LEGATO_API Array ceil(const Array& a);
LEGATO_API Array trunc(const Array& a);
/// Half to even, at the given decimal place; a negative one rounds to tens, hundreds, ...
LEGATO_API Array round(const Array& a, int decimals = 0);

// --- comparison, tests, logic: bool results ---
LEGATO_API Array equal(const Operand& a, const Operand& b);
LEGATO_API Array not_equal(const Operand& a, const Operand& b);
LEGATO_API Array less(const Operand& a, const Operand& b);
LEGATO_API Array less_equal(const Operand& a, const Operand& b);
LEGATO_API Array greater(const Operand& a, const Operand& b);
LEGATO_API Array greater_equal(const Operand& a, const Operand& b);
LEGATO_API Array isnan(const Array& a);
LEGATO_API Array isinf(const Array& a);
LEGATO_API Array isfinite(const Array& a);
LEGATO_API Array isneginf(const Array& a);
LEGATO_API Array isposinf(const Array& a);
LEGATO_API Array signbit(const Array& a);
LEGATO_API Array logical_and(const Operand& a, const Operand& b);
LEGATO_API Array logical_or(const Operand& a, const Operand& b);
LEGATO_API Array logical_xor(const Operand& a, const Operand& b);
LEGATO_API Array logical_not(const Array& a);
/// x where `condition` is not zero, else y.
LEGATO_API Array where(const Operand& condition, const Operand& x, const Operand& y);
/// nan becomes `nan`; infinities become `posinf` and `neginf`, or the dtype's limits. Complex
/// values are refused.
LEGATO_API Array nan_to_num(const Array& a, double nan = 0, std::optional<double> posinf = {},
                            std::optional<double> neginf = {});

// --- bits of integers and bool ---
LEGATO_API Array bitwise_and(const Operand& a, const Operand& b);
LEGATO_API Array bitwise_or(const Operand& a, const Operand& b);
LEGATO_API Array bitwise_xor(const Operand& a, const Operand& b);
LEGATO_API Array bitwise_invert(const Array& a);
/// Counts are taken modulo the width of 32- and 64-bit types; narrower types shift as int32. bool
/// gives uint8.
LEGATO_API Array left_shift(const Operand& a, const Operand& b);
LEGATO_API Array right_shift(const Operand& a, const Operand& b);

// --- elementary functions: inexact ---
LEGATO_API Array exp(const Array& a);
LEGATO_API Array exp2(const Array& a);
LEGATO_API Array expm1(const Array& a);
LEGATO_API Array log(const Array& a);
LEGATO_API Array log2(const Array& a);
LEGATO_API Array log10(const Array& a);
LEGATO_API Array log1p(const Array& a);
LEGATO_API Array logaddexp(const Operand& a, const Operand& b);
LEGATO_API Array sigmoid(const Array& a);
LEGATO_API Array sin(const Array& a);
LEGATO_API Array cos(const Array& a);
LEGATO_API Array tan(const Array& a);
LEGATO_API Array arcsin(const Array& a);
LEGATO_API Array arccos(const Array& a);
LEGATO_API Array arctan(const Array& a);
LEGATO_API Array arctan2(const Operand& a, const Operand& b);
LEGATO_API Array sinh(const Array& a);
LEGATO_API Array cosh(const Array& a);
LEGATO_API Array tanh(const Array& a);
LEGATO_API Array arcsinh(const Array& a);
LEGATO_API Array arccosh(const Array& a);
LEGATO_API Array arctanh(const Array& a);
LEGATO_API Array degrees(const Array& a);
LEGATO_API Array radians(const Array& a);

// --- special functions: inexact, real ---
LEGATO_API Array erf(const Array& a);
LEGATO_API Array erfc(const Array& a);
LEGATO_API Array erfinv(const Array& a);
LEGATO_API Array lgamma(const Array& a);
LEGATO_API Array digamma(const Array& a);
/// The n-th derivative of digamma; n a whole number >= 0, else nan.
LEGATO_API Array polygamma(const Operand& n, const Operand& a);
LEGATO_API Array i0e(const Array& a);
LEGATO_API Array i1e(const Array& a);
/// a log(b), 0 where a is 0 and b is not nan.
LEGATO_API Array xlogy(const Operand& a, const Operand& b);

// --- complex values ---
LEGATO_API Array real(const Array& a);
LEGATO_API Array imag(const Array& a);
LEGATO_API Array conjugate(const Array& a);
/// The angle, in (-pi, pi].
LEGATO_API Array arg(const Array& a);
LEGATO_API Array make_complex(const Operand& re, const Operand& im);

// --- operators. == and != are left out: an Array that compares to an Array would break generic
// code; say equal(a, b) ---
inline Array operator-(const Array& a) { return negative(a); }
inline Array operator~(const Array& a) { return bitwise_invert(a); }
#define LEGATO_OPERATOR(op, function)                                                   \
  inline Array operator op(const Array& a, const Operand& b) { return function(a, b); } \
  inline Array operator op(const Scalar& a, const Array& b) { return function(a, b); }
LEGATO_OPERATOR(+, add)
LEGATO_OPERATOR(-, subtract)
LEGATO_OPERATOR(*, multiply)
LEGATO_OPERATOR(/, divide)
LEGATO_OPERATOR(%, remainder)
LEGATO_OPERATOR(<, less)
LEGATO_OPERATOR(<=, less_equal)
LEGATO_OPERATOR(>, greater)
LEGATO_OPERATOR(>=, greater_equal)
LEGATO_OPERATOR(&, bitwise_and)
LEGATO_OPERATOR(|, bitwise_or)
LEGATO_OPERATOR(^, bitwise_xor)
LEGATO_OPERATOR(<<, left_shift)
LEGATO_OPERATOR(>>, right_shift)
#undef LEGATO_OPERATOR
inline Array& operator+=(Array& a, const Operand& b) { return a = add(a, b); }
inline Array& operator-=(Array& a, const Operand& b) { return a = subtract(a, b); }
inline Array& operator*=(Array& a, const Operand& b) { return a = multiply(a, b); }
inline Array& operator/=(Array& a, const Operand& b) { return a = divide(a, b); }

}  // namespace legato
