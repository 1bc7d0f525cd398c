#include <doctest/doctest.h>

#include <limits>

#include "legato/ops/reduce/reduce.h"
#include "legato/ops/softmax/softmax.h"
#include "tests/cpp/numerics.h"

using namespace legato;
using namespace legato::numerics;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

/// softmax along the middle of (outer, n, inner), in double; and the logarithm of its denominator.
std::vector<double> reference(const Array& a, int64_t outer, int64_t n, int64_t inner,
                              std::vector<double>& logs) {
  auto v = values(a);
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t j = 0; j < inner; ++j) {
      auto at = [&](int64_t i) -> double& {
        return v[static_cast<size_t>((o * n + i) * inner + j)];
      };
      double top = -kInf, total = 0;
      for (int64_t i = 0; i < n; ++i) top = std::max(top, at(i));
      for (int64_t i = 0; i < n; ++i) total += std::exp(at(i) - top);
      for (int64_t i = 0; i < n; ++i) at(i) = std::exp(at(i) - top) / total;
      logs.push_back(top + std::log(total));
    }
  return v;
}

}  // namespace

TEST_CASE("softmax, log_softmax and logsumexp along any axis and of any length") {
  struct Case {
    Shape shape;
    int64_t axis, outer, n, inner;
  };
  for (const Case& c : {Case{{7, 1}, -1, 7, 1, 1}, Case{{5, 10}, 1, 5, 10, 1},
                        Case{{3, 31}, 1, 3, 31, 1}, Case{{4, 64}, 1, 4, 64, 1},
                        Case{{2, 1000}, -1, 2, 1000, 1}, Case{{1, 40000}, 1, 1, 40000, 1},
                        Case{{2, 9, 37}, 1, 2, 9, 37}, Case{{33, 70}, 0, 1, 33, 70}}) {
    CAPTURE(c.n);
    for (Dtype t : {Dtype::float32, Dtype::float64, Dtype::float16, Dtype::bfloat16}) {
      const Array a = normals(c.shape, 3, t);
      const double tolerance = t == Dtype::float64   ? 1e-13
                               : t == Dtype::float32 ? 1e-6
                               : t == Dtype::float16 ? 1e-3
                                                     : 8e-3;
      std::vector<double> logs;
      const auto expected = reference(a, c.outer, c.n, c.inner, logs);
      Array y = softmax(a, Dims{c.axis});
      CHECK(y.dtype() == t);
      check_close(y, expected, tolerance);
      check_close(logsumexp(a, Dims{c.axis}), logs, tolerance);
      if (!is_half(t)) check_close(exp(log_softmax(a, Dims{c.axis})), expected, 3 * tolerance);
    }
  }
}

TEST_CASE("softmax over several axes is softmax over them joined") {
  const Array a = normals({2, 3, 4}, 1);
  std::vector<double> logs;
  const auto expected = reference(a, 1, 24, 1, logs);
  check_close(softmax(a), expected, 1e-13);
  check_close(logsumexp(a), logs, 1e-13);
  CHECK(logsumexp(a, {}, true).shape() == Shape{1, 1, 1});
  CHECK(logsumexp(a, Dims{0, 2}).shape() == Shape{3});
  CHECK(softmax(a, Dims{0, 2}).shape() == a.shape());
  check_close(sum(softmax(a, Dims{0, 2}), Dims{0, 2}), std::vector<double>{1, 1, 1}, 1e-12);
}

TEST_CASE("infinities and nan in softmax") {
  CHECK(std::isnan(values(softmax(array_of({-kInf, -kInf}), Dims{0}))[0]));
  check_close(softmax(array_of({0, -kInf}), Dims{0}), std::vector<double>{1, 0}, 0);
  CHECK(logsumexp(array_of({-kInf, -kInf})).item<double>() == -kInf);
  CHECK(logsumexp(array_of({1, kInf}, {}, Dtype::float32)).item<float>() == kInf);
  CHECK(std::isnan(logsumexp(array_of({1, NAN, 3})).item<double>()));
  CHECK(logsumexp(array_of({1000, 1000}, {}, Dtype::float32)).item<float>() ==
        doctest::Approx(1000.693147));
}

TEST_CASE("what softmax refuses") {
  CHECK_THROWS_AS(softmax(zeros({2}), Dims{1}), AxisError);
  CHECK_THROWS_AS(softmax(zeros({2}, Dtype::complex64), Dims{0}), ValueError);
  CHECK_THROWS_AS(logsumexp(zeros({0})), ValueError);
  CHECK_THROWS_AS(cross_entropy(zeros({2, 3}), zeros({2})), ValueError);
  CHECK_THROWS_AS(cross_entropy(zeros({2, 3}), zeros({3}, Dtype::int32)), ValueError);
  CHECK(softmax(zeros({2, 0}), Dims{1}).eval().size() == 0);
  CHECK(softmax(zeros({2}, Dtype::int32), Dims{0}).dtype() == Dtype::float32);
}

TEST_CASE("rules of softmax and its relatives") {
  const std::vector<Array> a{normals({3, 5, 2}, 5)};
  for (int64_t axis : {0, 1, -1}) {
    check_rules([=](std::span<const Array> x) { return std::vector{softmax(x[0], Dims{axis})}; },
                a);
    check_rules(
        [=](std::span<const Array> x) { return std::vector{log_softmax(x[0], Dims{axis})}; }, a);
    check_rules([=](std::span<const Array> x) { return std::vector{logsumexp(x[0], Dims{axis})}; },
                a);
  }
  const Array targets = array_of({0, 4, 2, 2, 1, 0}, {3, 2}, Dtype::int32);
  check_rules(
      [&](std::span<const Array> x) {
        return std::vector{cross_entropy(transpose(x[0], Dims{0, 2, 1}), targets)};
      },
      a);
  // Second order: the gradient of a gradient.
  check_rules(
      [](std::span<const Array> x) {
        const std::vector<Array> one{normals({3, 5, 2}, 9)};
        return vjp([](std::span<const Array> y) { return std::vector{softmax(y[0], Dims{1})}; }, x,
                   one)
            .second;
      },
      a);
}
