// Records of comparisons, tests and logic. Their results are bool, so that their derivative is
// zero.
#include <limits>

#include "legato/ops/pointwise/rules.h"

namespace legato {

using namespace pointwise;

LEGATO_BINARY(equal, to_bool, ZeroDerivative(), R"(Whether a == b, elementwise. nan equals nothing.

>>> equal(array([1, 2]), array([1.0, 3.0]))
array([True, False], dtype=bool)
)")
LEGATO_BINARY(not_equal, to_bool, ZeroDerivative(), R"(Whether a != b, elementwise.

>>> not_equal(array([1, 2]), 1)
array([False, True], dtype=bool)
)")
LEGATO_BINARY(less, to_bool, ZeroDerivative(),
              R"(Whether a < b, elementwise. Complex values compare by real, then by imaginary part.

>>> less(array([1, 2]), 2)
array([True, False], dtype=bool)
)")
LEGATO_BINARY(less_equal, to_bool, ZeroDerivative(), R"(Whether a <= b, elementwise. See `less`.

>>> less_equal(array([1, 2, 3]), 2)
array([True, True, False], dtype=bool)
)")
LEGATO_BINARY(greater, to_bool, ZeroDerivative(), R"(Whether a > b, elementwise. See `less`.

>>> greater(array([1, 2, 3]), 2)
array([False, False, True], dtype=bool)
)")
LEGATO_BINARY(greater_equal, to_bool, ZeroDerivative(), R"(Whether a >= b, elementwise. See `less`.

>>> greater_equal(array([1, 2, 3]), 2)
array([False, True, True], dtype=bool)
)")
LEGATO_BINARY(logical_and, to_bool, ZeroDerivative(),
              R"(Whether a and b are both true (not zero), elementwise.

>>> logical_and(array([1, 0]), True)
array([True, False], dtype=bool)
)")
LEGATO_BINARY(logical_or, to_bool, ZeroDerivative(),
              R"(Whether a or b is true (not zero), elementwise.

>>> logical_or(array([1, 0]), False)
array([True, False], dtype=bool)
)")
LEGATO_BINARY(logical_xor, to_bool, ZeroDerivative(),
              R"(Whether exactly one of a and b is true (not zero), elementwise.

>>> logical_xor(array([1, 0]), True)
array([False, True], dtype=bool)
)")
LEGATO_UNARY(logical_not, to_bool, ZeroDerivative(), R"(Whether an element is false (zero).

>>> logical_not(array([1, 0]))
array([False, True], dtype=bool)
)")

namespace {

// Tests of floats. Integers answer all alike, by a comparison with themselves: a constant of their
// shape would keep that shape in a function compiled without shapes.
constinit const Op isnan_op = pointwise_op("isnan", to_bool, ZeroDerivative());
constinit const Op isinf_op = pointwise_op("isinf", to_bool, ZeroDerivative());
constinit const Op isfinite_op = pointwise_op("isfinite", to_bool, ZeroDerivative());
constinit const Op isneginf_op = pointwise_op("isneginf", real_to_bool, ZeroDerivative());
constinit const Op isposinf_op = pointwise_op("isposinf", real_to_bool, ZeroDerivative());

Array test(const Op& op, const Array& a, bool of_integers) {
  if (is_inexact(a.dtype())) return bind(op, {a});
  return of_integers ? equal(a, a) : not_equal(a, a);
}

}  // namespace

Array isnan(const Array& a) { return test(isnan_op, a, false); }
Array isinf(const Array& a) { return test(isinf_op, a, false); }
Array isfinite(const Array& a) { return test(isfinite_op, a, true); }
Array isneginf(const Array& a) { return test(isneginf_op, a, false); }
Array isposinf(const Array& a) { return test(isposinf_op, a, false); }

LEGATO_UNARY(signbit, real_to_bool, ZeroDerivative(),
             R"(Whether the sign is negative, -0.0 included. Complex values are refused.

>>> signbit(array([-0.0, 1.0]))
array([True, False], dtype=bool)
)")

namespace {

void where_dtype(const char*, std::span<const Dtype> in, std::span<Dtype> operands, Dtype& out) {
  operands[0] = Dtype::bool_;
  out = operands[1] = operands[2] = promote(in[1], in[2]);
}

constinit const Op where_op =
    pointwise_op("where", where_dtype,
                 LinearJointly(6,
                               [](const Call& c, int i, const Array& ct) {
                                 const Array& condition = c.in(0);
                                 return algebra::sum_to_shape(
                                     i == 1 ? where(condition, ct, 0) : where(condition, 0, ct),
                                     c.in(i).shape());
                               }),
                 6);

}  // namespace

Array where(const Operand& condition, const Operand& x, const Operand& y) {
  return bind_pointwise(where_op, {condition, x, y});
}

Array nan_to_num(const Array& a, double nan, std::optional<double> posinf,
                 std::optional<double> neginf) {
  if (is_complex(a.dtype()))
    refuse("nan_to_num", a.dtype(), "real numbers; apply it to real(a) and imag(a)");
  if (!is_floating(a.dtype())) return a;
  const double largest = a.dtype() == Dtype::float16    ? 65504.0
                         : a.dtype() == Dtype::bfloat16 ? 0x1.fep127
                         : a.dtype() == Dtype::float32
                             ? static_cast<double>(std::numeric_limits<float>::max())
                             : std::numeric_limits<double>::max();
  Array r = where(isnan(a), nan, a);
  r = where(isposinf(a), posinf.value_or(largest), r);
  return where(isneginf(a), neginf.value_or(-largest), r);
}

namespace {

constinit const Function isnan_function = function<&isnan>(
    "isnan", "a, /", R"(Whether an element is nan; of complex values, whether a part is.

>>> isnan(array([1.0, float("nan")]))
array([False, True], dtype=bool)
)");
constinit const Function isinf_function =
    function<&isinf>("isinf", "a, /", R"(Whether an element is infinite.

>>> isinf(array([1.0, float("-inf")]))
array([False, True], dtype=bool)
)");
constinit const Function isfinite_function =
    function<&isfinite>("isfinite", "a, /", R"(Whether an element is neither infinite nor nan.

>>> isfinite(array([1.0, float("inf"), float("nan")]))
array([True, False, False], dtype=bool)
)");
constinit const Function isneginf_function = function<&isneginf>(
    "isneginf", "a, /", "Whether an element is -inf. Complex values are refused.");
constinit const Function isposinf_function = function<&isposinf>(
    "isposinf", "a, /", "Whether an element is +inf. Complex values are refused.");
constinit const Function where_function =
    function<&where>("where", "condition, x, y, /",
                     R"(x where `condition` is true (not zero), else y.

Args:
    condition, x, y: Arrays or numbers; they broadcast. The result has the dtype in which x and y
        meet. Differentiable in x and y.

>>> where(array([True, False]), array([1, 2]), 0)
array([1, 0], dtype=int32)
)");
constinit const Function nan_to_num_function =
    function<&nan_to_num>("nan_to_num", "a, /, nan=0, posinf=None, neginf=None",
                          R"(Replaces nan and infinities by numbers.

Args:
    a: Real array; integers are returned as they are.
    nan: What nan becomes.
    posinf, neginf: What the infinities become; the dtype's largest and smallest number if None.

Raises:
    ValueError: for complex arrays.

>>> nan_to_num(array([1.0, float("nan")]))
array([1, 0], dtype=float32)
)");

}  // namespace

void register_compare(Registry& r) {
  for (const Op* op :
       {&equal_op, &not_equal_op, &less_op, &less_equal_op, &greater_op, &greater_equal_op,
        &logical_and_op, &logical_or_op, &logical_xor_op, &logical_not_op, &isnan_op, &isinf_op,
        &isfinite_op, &isneginf_op, &isposinf_op, &signbit_op, &where_op})
    r.add(*op);
  for (const Function* f :
       {&equal_function, &not_equal_function, &less_function, &less_equal_function,
        &greater_function, &greater_equal_function, &logical_and_function, &logical_or_function,
        &logical_xor_function, &logical_not_function, &isnan_function, &isinf_function,
        &isfinite_function, &isneginf_function, &isposinf_function, &signbit_function,
        &where_function, &nan_to_num_function})
    r.add(*f);
}

}  // namespace legato
