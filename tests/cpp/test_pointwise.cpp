// The records of the pointwise family: derivatives against differences, dtype rules, errors.
#include <doctest/doctest.h>

#include <cmath>
#include <complex>
#include <string>
#include <vector>

#include "legato/op/registry.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/transform/transform.h"

using namespace legato;

namespace {

Array vector_of(const std::vector<double>& v) {
  return Array::from<double>(v, {static_cast<int64_t>(v.size())});
}
std::vector<double> values(const Array& a) {
  const double* p = a.data<double>();
  return {p, p + a.size()};
}

/// Checks vjp and jvp of f with respect to input `i` against central differences.
void check_derivative(const std::string& name, const ArrayFn& f, std::vector<Array> in, size_t i) {
  const double h = 1e-6;
  std::vector<Array> up = in, down = in;
  up[i] = in[i] + h;
  down[i] = in[i] - h;
  const auto want = values((f(up)[0] - f(down)[0]) / (2 * h));
  const std::vector<double> ones(want.size(), 1.0);
  std::vector<Array> ct = {vector_of(ones)};
  const auto pulled = values(vjp(f, in, ct).second[i]);
  std::vector<Array> tangents;
  for (const Array& a : in)
    tangents.push_back(vector_of(std::vector<double>(static_cast<size_t>(a.size()), 0.0)));
  tangents[i] = ct[0];
  const auto pushed = values(jvp(f, in, tangents).second[0]);
  for (size_t k = 0; k < want.size(); ++k) {
    INFO(name, " input ", i, " element ", k, ": vjp ", pulled[k], ", jvp ", pushed[k],
         ", differences ", want[k]);
    CHECK(pulled[k] == doctest::Approx(want[k]).epsilon(2e-5));
    CHECK(pushed[k] == doctest::Approx(want[k]).epsilon(2e-5));
  }
}

}  // namespace

TEST_CASE("derivatives of functions of one array") {
  struct Case {
    const char* name;
    Array (*f)(const Array&);
    std::vector<double> at;
  };
  const std::vector<double> all = {-2.3, -0.7, 0.4, 1.9}, unit = {-0.8, -0.2, 0.3, 0.7},
                            positive = {0.2, 0.9, 1.7, 4.2};
  const Case cases[] = {
      {"negative", negative, all}, {"abs", abs, all},
      {"square", square, all},     {"reciprocal", reciprocal, all},
      {"sqrt", sqrt, positive},    {"rsqrt", rsqrt, positive},
      {"cbrt", cbrt, all},         {"exp", exp, all},
      {"exp2", exp2, all},         {"expm1", expm1, all},
      {"log", log, positive},      {"log2", log2, positive},
      {"log10", log10, positive},  {"log1p", log1p, positive},
      {"sigmoid", sigmoid, all},   {"sin", sin, all},
      {"cos", cos, all},           {"tan", tan, unit},
      {"arcsin", arcsin, unit},    {"arccos", arccos, unit},
      {"arctan", arctan, all},     {"sinh", sinh, all},
      {"cosh", cosh, all},         {"tanh", tanh, all},
      {"arcsinh", arcsinh, all},   {"arccosh", arccosh, {1.2, 3.4}},
      {"arctanh", arctanh, unit},  {"erf", erf, all},
      {"erfc", erfc, all},         {"erfinv", erfinv, unit},
      {"lgamma", lgamma, all},     {"digamma", digamma, all},
      {"i0e", i0e, all},           {"i1e", i1e, all},
      {"degrees", degrees, all},   {"radians", radians, all},
  };
  for (const Case& c : cases)
    check_derivative(
        c.name, [&](std::span<const Array> in) { return std::vector<Array>{c.f(in[0])}; },
        {vector_of(c.at)}, 0);
}

TEST_CASE("derivatives of functions of two arrays") {
  struct Case {
    const char* name;
    Array (*f)(const Operand&, const Operand&);
    bool positive;
  };
  const Case cases[] = {
      {"add", add, false},       {"subtract", subtract, false},   {"multiply", multiply, false},
      {"divide", divide, false}, {"remainder", remainder, false}, {"fmod", fmod, false},
      {"power", power, true},    {"maximum", maximum, false},     {"minimum", minimum, false},
      {"hypot", hypot, false},   {"logaddexp", logaddexp, false}, {"arctan2", arctan2, false},
      {"xlogy", xlogy, true}};
  for (const Case& c : cases) {
    std::vector<double> a = {2.3, 0.7, 1.4, 1.9}, b = {0.9, 1.3, 0.35, 2.2};
    if (!c.positive) a[0] = -2.3, b[1] = -1.3, a[2] = -1.4, b[2] = -0.33;
    for (size_t i : {0, 1})
      check_derivative(
          c.name, [&](std::span<const Array> in) { return std::vector<Array>{c.f(in[0], in[1])}; },
          {vector_of(a), vector_of(b)}, i);
  }
  Array condition = greater(vector_of({1, -1, 2, -2}), 0);
  for (size_t i : {0, 1})
    check_derivative(
        "where",
        [&](std::span<const Array> in) {
          return std::vector<Array>{where(condition, in[0], in[1])};
        },
        {vector_of({1, 2, 3, 4}), vector_of({5, 6, 7, 8})}, i);
}

TEST_CASE("derivatives at ties and zeros follow the conventions") {
  auto gradient = [](auto f, double x) {
    std::vector<Array> in = {vector_of({x})}, ct = {vector_of({1})};
    return values(vjp([&](std::span<const Array> a) { return std::vector<Array>{f(a[0])}; }, in, ct)
                      .second[0])[0];
  };
  CHECK(gradient([](const Array& x) { return abs(x); }, 0) == 0);
  CHECK(gradient([](const Array& x) { return maximum(x, 1.0); }, 1) == 0);  // a tie goes to b
  CHECK(gradient([](const Array& x) { return maximum(1.0, x); }, 1) == 1);
  CHECK(gradient([](const Array& x) { return power(x, 2); }, 0) == 0);
  CHECK(gradient([](const Array& x) { return power(x, 0); }, 0) == 0);
  CHECK(gradient([](const Array& x) { return i1e(x); }, 0) == doctest::Approx(0.5));
}

TEST_CASE("complex derivatives follow the conjugate convention") {
  using C = std::complex<double>;
  const C z(0.6, -1.1);
  auto gradient = [&](auto f, Dtype out) {
    const C one(1);
    const std::vector<Array> in = {Array::from_data(&z, {1}, Dtype::complex128)};
    const std::vector<Array> ct = {Array::from_data(&one, {1}, out)};  // 1.0 is also its first half
    Array g = vjp([&](std::span<const Array> a) { return std::vector<Array>{f(a[0])}; }, in, ct)
                  .second[0];
    return g.data<C>()[0];
  };
  auto near = [](C a, C b) { return std::abs(a - b) < 1e-9; };
  CHECK(near(gradient([](const Array& a) { return abs(a); }, Dtype::float64), z / std::abs(z)));
  CHECK(near(gradient([](const Array& a) { return imag(a); }, Dtype::float64), C(0, 1)));
  CHECK(near(gradient([](const Array& a) { return square(a); }, Dtype::complex128),
             2.0 * std::conj(z)));
  CHECK(near(gradient([](const Array& a) { return conjugate(a); }, Dtype::complex128), C(1, 0)));
  // d arg / d(x, y) = (-y, x) / r^2
  CHECK(near(gradient([](const Array& a) { return arg(a); }, Dtype::float64),
             C(-z.imag(), z.real()) / std::norm(z)));
}

TEST_CASE("dtypes of results, and refusals") {
  Array i8(Scalar(3), Dtype::int8), u8(Scalar(3), Dtype::uint8), i32(Scalar(3)),
      f16(Scalar(1.5), Dtype::float16), f32(Scalar(1.5)), b(Scalar(true)),
      c64(Scalar(std::complex<double>(1, 2)));
  CHECK(add(i8, u8).dtype() == Dtype::int16);
  CHECK(add(i8, 1).dtype() == Dtype::int8);
  CHECK(add(i8, 1.5).dtype() == Dtype::float32);
  CHECK(add(f16, 1.5).dtype() == Dtype::float16);
  CHECK(add(b, 1).dtype() == Dtype::int32);
  CHECK(divide(i32, i32).dtype() == Dtype::float32);
  CHECK(exp(i32).dtype() == Dtype::float32);
  CHECK(exp(f16).dtype() == Dtype::float16);
  CHECK(abs(c64).dtype() == Dtype::float32);
  CHECK(less(i8, f32).dtype() == Dtype::bool_);
  CHECK(left_shift(b, b).dtype() == Dtype::uint8);
  CHECK(where(b, i8, 2).dtype() == Dtype::int8);
  CHECK(floor(i32).dtype() == Dtype::int32);
  CHECK_THROWS_AS(add(i8, 300), ValueError);
  CHECK_THROWS_AS(negative(b), ValueError);
  CHECK_THROWS_AS(bitwise_and(f32, 1), ValueError);
  CHECK_THROWS_AS(floor(c64), ValueError);
  CHECK_THROWS_AS(arctan2(c64, 1), ValueError);
  CHECK_THROWS_AS(nan_to_num(c64), ValueError);
  CHECK_THROWS_AS(clip(f32, {}, {}), ValueError);
  CHECK_THROWS_AS(add(Array::from<float>(std::vector<float>(3), {3}),
                      Array::from<float>(std::vector<float>(2), {2})),
                  ValueError);
  // Integers round without leaving the integers.
  const std::vector<int32_t> v = {125, 135, -125};
  const int32_t want[] = {120, 140, -120};
  Array r = round(Array::from<int32_t>(v, {3}), -1);
  for (int k = 0; k < 3; ++k) CHECK(r.data<int32_t>()[k] == want[k]);
}
