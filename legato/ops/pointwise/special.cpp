// Records of the special functions, and of what takes complex values apart.
#include "legato/ops/pointwise/rules.h"

namespace legato {

using namespace pointwise;

namespace {
constexpr double kTwoOverSqrtPi = 1.1283791670955126;
}

LEGATO_UNARY(erf, inexact_real, Partials([](const Call& c, int) {
               return exp(negative(square(c.in()))) * kTwoOverSqrtPi;
             }),
             R"(The error function, elementwise. Complex values are refused. Differentiable.

>>> erf(array([0.0, 1.0]))
array([0, 0.842701], dtype=float32)
)")
LEGATO_UNARY(erfc, inexact_real, Partials([](const Call& c, int) {
               return exp(negative(square(c.in()))) * -kTwoOverSqrtPi;
             }),
             R"(1 - erf(a), elementwise, exact for large a. Differentiable.

>>> erfc(array([0.0, 1.0]))
array([1, 0.157299], dtype=float32)
)")
LEGATO_UNARY(erfinv, inexact_real, Partials([](const Call& c, int) {
               return exp(square(c.out())) * (1 / kTwoOverSqrtPi);
             }),
             R"(The inverse of erf, elementwise: infinite at -1 and 1, nan beyond. Differentiable.

>>> erfinv(array([0.0, 0.5]))
array([0, 0.476936], dtype=float32)
)")
LEGATO_UNARY(lgamma, inexact_real, Partials([](const Call& c, int) { return digamma(c.in()); }),
             R"(log(|gamma(a)|), elementwise. Differentiable.

>>> lgamma(array([4.0]))
array([1.79176], dtype=float32)
)")
LEGATO_UNARY(digamma, inexact_real,
             Partials([](const Call& c, int) { return polygamma(1, c.in()); }),
             R"(The derivative of lgamma, elementwise. Differentiable.

>>> digamma(array([1.0]))
array([-0.577216], dtype=float32)
)")
LEGATO_UNARY(i0e, inexact_real,
             Partials([](const Call& c, int) { return i1e(c.in()) - sign(c.in()) * c.out(); }),
             R"(exp(-|a|) I0(a), the modified Bessel function of order 0, scaled. Differentiable.

>>> i0e(array([0.0, 1.0]))
array([1, 0.46576], dtype=float32)
)")
// I1' = I0 - I1 / x; at 0 that is 1/2.
LEGATO_UNARY(i1e, inexact_real, Partials([](const Call& c, int) {
               const Array& x = c.in();
               Array zero = equal(x, 0);
               Array slope = i0e(x) - c.out() * (sign(x) + reciprocal(where(zero, 1, x)));
               return where(zero, 0.5, slope);
             }),
             R"(exp(-|a|) I1(a), the modified Bessel function of order 1, scaled. Differentiable.

>>> i1e(array([0.0, 1.0]))
array([0, 0.20791], dtype=float32)
)")

namespace {
constinit const Op polygamma_op =
    pointwise_op("polygamma", inexact_real, Partials([](const Call& c, int i) {
                   // n counts derivatives: there is none in n.
                   return i == 0 ? Array() : polygamma(c.in(0) + 1, c.in(1));
                 }));
}  // namespace
Array polygamma(const Operand& n, const Operand& a) { return bind_pointwise(polygamma_op, {n, a}); }

LEGATO_BINARY(xlogy, inexact_real, Partials([](const Call& c, int i) {
                if (i == 0) return log(c.in(1));
                return where(equal(c.in(0), 0), 0, c.in(0) / c.in(1));
              }),
              R"(a * log(b), elementwise, 0 where a is 0. Differentiable.

>>> xlogy(array([0.0, 2.0]), array([0.0, 1.0]))
array([0, 0], dtype=float32)
)")

// --- complex values: linear over the real numbers, so their rules are written out ---

namespace {

Array times_i(const Array& a) {
  const std::complex<double> i(0, 1);
  return a * Operand(i);
}

constinit const Op real_op =
    pointwise_op("real", part_of_complex, Linear(1, [](const Call& c, int, const Array& ct) {
                   return algebra::astype(ct, c.in().dtype());
                 }));
constinit const Op imag_op =
    pointwise_op("imag", part_of_complex,
                 Linear(1, [](const Call&, int, const Array& ct) { return times_i(ct); }));
constinit const Op conj_op = pointwise_op(
    "conj", same_dtype, Linear(1, [](const Call&, int, const Array& ct) { return conjugate(ct); }));
// d arg = Im(dz / z)
constinit const Op arg_op =
    pointwise_op("arg", part_of_complex,
                 Vjp([](const Call& c, std::span<const Array> ct,
                        std::span<Array> r) { r[0] = times_i(ct[0]) / conjugate(c.in()); },
                     [](const Call& c, std::span<const Array> t, std::span<Array> r) {
                       r[0] = imag(t[0] / c.in());
                     }));

void make_complex_dtype(const char* op, std::span<const Dtype> in, std::span<Dtype> operands,
                        Dtype& out) {
  inexact_real(op, in, operands, out);
  if (is_half(out)) operands_are(operands, Dtype::float32);
  out = to_complex(out);
}
constinit const Op make_complex_op = pointwise_op(
    "make_complex", make_complex_dtype, LinearJointly(3, [](const Call& c, int i, const Array& ct) {
      return algebra::sum_to_shape(i == 0 ? real(ct) : imag(ct), c.in(i).shape());
    }));

}  // namespace

Array real(const Array& a) { return is_complex(a.dtype()) ? bind(real_op, {a}) : a; }
Array imag(const Array& a) {
  return is_complex(a.dtype()) ? bind(imag_op, {a}) : algebra::zeros_like(a);
}
Array conjugate(const Array& a) { return is_complex(a.dtype()) ? bind(conj_op, {a}) : a; }
Array arg(const Array& a) { return bind(arg_op, {a}); }
Array make_complex(const Operand& re, const Operand& im) {
  return bind_pointwise(make_complex_op, {re, im});
}

namespace {

constinit const Function polygamma_function =
    function<&polygamma>("polygamma", "n, a, /",
                         R"(The n-th derivative of digamma at a.

n must be a whole number >= 0 in each element, else the result is nan. Differentiable in a.

>>> polygamma(1, array([1.0]))
array([1.64493], dtype=float32)
)");
constinit const Function real_function = function<&real>(
    "real", "a, /", R"(The real part; a real array is returned as it is. Differentiable.

>>> real(array([1 + 2j]))
array([1], dtype=float32)
)");
constinit const Function imag_function =
    function<&imag>("imag", "a, /", R"(The imaginary part; zeros for a real array. Differentiable.

>>> imag(array([1 + 2j]))
array([2], dtype=float32)
)");
constinit const Function conjugate_function = function<&conjugate>(
    "conjugate", "a, /", R"(The complex conjugate; a real array is returned as it is.

>>> conjugate(array([1 + 2j]))
array([1-2j], dtype=complex64)
)");
LEGATO_ALIAS(conj, conjugate, "a, /")
constinit const Function arg_function =
    function<&arg>("angle", "a, /", R"(The angle of a complex value, in (-pi, pi]. Differentiable.

>>> angle(array([1j]))
array([1.5708], dtype=float32)
)");

}  // namespace

void register_special(Registry& r) {
  for (const Op* op :
       {&erf_op, &erfc_op, &erfinv_op, &lgamma_op, &digamma_op, &polygamma_op, &i0e_op, &i1e_op,
        &xlogy_op, &real_op, &imag_op, &conj_op, &arg_op, &make_complex_op})
    r.add(*op);
  for (const Function* f :
       {&erf_function, &erfc_function, &erfinv_function, &lgamma_function, &digamma_function,
        &polygamma_function, &i0e_function, &i1e_function, &xlogy_function, &real_function,
        &imag_function, &conjugate_function, &conj_function, &arg_function})
    r.add(*f);
}

}  // namespace legato
