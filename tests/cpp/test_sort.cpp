// Sorting, searching, extremes' places and running reductions.
#include <doctest/doctest.h>

#include <algorithm>
#include <complex>
#include <limits>
#include <numeric>

#include "legato/ops/arg_reduce/arg_reduce.h"
#include "legato/ops/index/index.h"
#include "legato/ops/reduce/reduce.h"
#include "legato/ops/scan/scan.h"
#include "legato/ops/sort/sort.h"
#include "tests/cpp/numerics.h"

using namespace legato;
using namespace legato::numerics;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr Dtype kReal[] = {Dtype::bool_,  Dtype::uint8,   Dtype::uint16,   Dtype::uint32,
                           Dtype::uint64, Dtype::int8,    Dtype::int16,    Dtype::int32,
                           Dtype::int64,  Dtype::float16, Dtype::bfloat16, Dtype::float32,
                           Dtype::float64};

/// Values of any dtype with repeats; nan and both zeros among floats.
Array mixed(int64_t n, Dtype t, uint32_t seed) {
  std::mt19937 g(seed);
  std::vector<double> v(static_cast<size_t>(n));
  for (double& x : v) {
    x = static_cast<double>(g() % 200);
    if (!is_unsigned_integer(t) && !is_bool(t)) x -= 100;
    if (is_floating(t) && g() % 20 == 0) x = g() % 3 == 0 ? NAN : g() % 2 ? -0.0 : kInf;
  }
  return array_of(v, {}, t);
}

bool before(double a, double b) { return std::isnan(b) ? !std::isnan(a) : a < b; }

}  // namespace

TEST_CASE("sort and argsort of every dtype, short and long") {
  for (Dtype t : kReal)
    for (int64_t n : {0, 1, 2, 17, 600, 5000}) {
      CAPTURE(name_of(t));
      CAPTURE(n);
      const Array a = mixed(n, t, static_cast<uint32_t>(n));
      auto v = values(a);
      std::vector<double> order(v.size());
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(), [&](double i, double j) {
        return before(v[static_cast<size_t>(i)], v[static_cast<size_t>(j)]);
      });
      CHECK(values(argsort(a)) == order);
      std::stable_sort(v.begin(), v.end(), before);
      check_close(sort(a), v, 0);
    }
}

TEST_CASE("sort along any axis, and of complex numbers") {
  const Array a = normals({4, 5, 6}, 1, Dtype::float32);
  for (int axis : {0, 1, -1}) {
    const Array s = sort(a, axis);
    CHECK(array_equal(s, take_along_axis(a, argsort(a, axis), axis)).item<bool>());
    const auto rest = static_cast<size_t>(axis < 0 ? 2 : axis);
    SliceAttrs low = full_slice(3), high = full_slice(3);
    low.stop[rest] = -1;
    high.start[rest] = 1;
    CHECK(all(less_equal(slice(s, low), slice(s, high))).item<bool>());
  }
  CHECK(sort(a, std::nullopt).shape() == Shape{120});
  const std::complex<float> z[] = {{1, 2}, {NAN, 0}, {1, -2}, {-3, 5}};
  const Array c = Array::from_data(z, Shape{4}, Dtype::complex64);
  CHECK(values(argsort(c)) == std::vector<double>{3, 2, 0, 1});
  CHECK(values(real(sort(c)))[0] == -3);
}

TEST_CASE("partition, topk, searchsorted") {
  const Array a = array_of({5, 1, 4, 2, 3}, {}, Dtype::int32);
  CHECK(values(partition(a, 2))[2] == 3);
  CHECK(values(argpartition(a, -1))[4] == 0);
  CHECK(values(topk(a, 2)) == std::vector<double>{4, 5});
  CHECK(topk(a, 0).size() == 0);
  const Array s = array_of({1, 2, 2, 5, NAN});
  CHECK(values(searchsorted(s, array_of({0, 2, 3, NAN, 9}))) == std::vector<double>{0, 1, 3, 4, 4});
  CHECK(values(searchsorted(s, array_of({2, NAN}), "right")) == std::vector<double>{3, 5});
  CHECK_THROWS_AS(partition(a, 5), ValueError);
  CHECK_THROWS_AS(topk(a, 6), ValueError);
  CHECK_THROWS_AS(searchsorted(s, a, "middle"), ValueError);
  CHECK_THROWS_AS(searchsorted(zeros({2, 2}), a), ValueError);
  CHECK_THROWS_AS(sort(a, 1), AxisError);
}

TEST_CASE("unique with and without a size") {
  const Array a = array_of({3, 1, 3, 2, 1, 1}, {2, 3}, Dtype::int32);
  const auto free = unique(a, true, true, true);
  CHECK(values(free[0]) == std::vector<double>{1, 2, 3});
  CHECK(values(free[1]) == std::vector<double>{1, 3, 0});
  CHECK(values(free[2]) == std::vector<double>{2, 0, 2, 1, 0, 0});
  CHECK(free[2].shape() == a.shape());
  CHECK(values(free[3]) == std::vector<double>{3, 1, 2});
  const auto padded = unique(a, int64_t{5}, false, false, true, Operand(-7));
  CHECK(values(padded[0]) == std::vector<double>{1, 2, 3, -7, -7});
  CHECK(values(padded[1]) == std::vector<double>{3, 1, 2, 0, 0});
  CHECK(values(unique(a, int64_t{2})[0]) == std::vector<double>{1, 2});
  CHECK(values(unique(a, int64_t{4})[0]) == std::vector<double>{1, 2, 3, 1});
  CHECK(unique(array_of({NAN, 1, NAN}))[0].size() == 2);
  CHECK(unique(zeros({0}))[0].size() == 0);
}

TEST_CASE("the place of extremes: the first nan, else the first of equals") {
  for (Dtype t : kReal)
    for (int64_t n : {1, 2, 31, 32, 100, 5000}) {
      CAPTURE(name_of(t));
      CAPTURE(n);
      const Array a = mixed(n, t, static_cast<uint32_t>(n + 1));
      const auto v = values(a);
      size_t high = 0, low = 0;
      for (size_t i = 1; i < v.size(); ++i) {
        if (!std::isnan(v[high]) && (std::isnan(v[i]) || v[i] > v[high])) high = i;
        if (!std::isnan(v[low]) && (std::isnan(v[i]) || v[i] < v[low])) low = i;
      }
      CHECK(argmax(a).item<uint32_t>() == high);
      CHECK(argmin(a).item<uint32_t>() == low);
    }
  const Array m = array_of({1, 9, 3, 7, 2, 8}, {2, 3});
  CHECK(values(argmax(m, 0)) == std::vector<double>{1, 0, 1});
  CHECK(values(argmin(m, 1)) == std::vector<double>{0, 1});
  CHECK(argmax(m, {}, true).shape() == Shape{1, 1});
  CHECK(argmax(full({3}, -kInf, Dtype::float32)).item<uint32_t>() == 0);
  CHECK_THROWS_AS(argmax(zeros({0})), ValueError);
  CHECK_THROWS_AS(argmax(zeros({2}), 1), AxisError);
}

TEST_CASE("running reductions, both ways, with and without the element itself") {
  const Array a = array_of({1, 3, 2, 4}, {}, Dtype::int32);
  CHECK(values(cumsum(a)) == std::vector<double>{1, 4, 6, 10});
  CHECK(values(cumsum(a, 0, true)) == std::vector<double>{10, 9, 6, 4});
  CHECK(values(cumsum(a, 0, false, false)) == std::vector<double>{0, 1, 4, 6});
  CHECK(values(cumprod(a, 0, true, false)) == std::vector<double>{24, 8, 4, 1});
  CHECK(values(cummax(a)) == std::vector<double>{1, 3, 3, 4});
  CHECK(values(cummin(a, 0, true)) == std::vector<double>{1, 2, 2, 4});
  CHECK(cumsum(ones({3}, Dtype::bool_)).dtype() == Dtype::int32);
  CHECK(cumsum(ones({3}, Dtype::int8)).dtype() == Dtype::int8);
  CHECK(cumprod(ones({3}, Dtype::bool_)).dtype() == Dtype::bool_);
  CHECK(values(cumsum(ones({5000}, Dtype::float16)))[4095] ==
        4096);  // 16-bit sums would stick at 2048
  const Array m = reshape(a, Shape{2, 2});
  CHECK(values(cumsum(m, 0)) == std::vector<double>{1, 3, 3, 7});
  CHECK(values(cumsum(m, 1)) == std::vector<double>{1, 4, 2, 6});
  CHECK(values(cumsum(m)) == std::vector<double>{1, 4, 6, 10});
  check_close(logcumsumexp(array_of({0, 0, 1000, -kInf})), {0, std::log(2.0), 1000, 1000}, 1e-12);
  CHECK(values(logcumsumexp(array_of({-kInf, -kInf}))) == std::vector<double>{-kInf, -kInf});
  CHECK(std::isnan(values(cummax(array_of({1, NAN, 3})))[2]));
  CHECK_THROWS_AS(cumsum(a, 1), AxisError);
}

TEST_CASE("rules of sorts and scans") {
  const std::vector<Array> a{normals({3, 4}, 5)};
  check_rules([](std::span<const Array> x) { return std::vector{sort(x[0], 0)}; }, a);
  check_rules([](std::span<const Array> x) { return std::vector{topk(x[0], 2)}; }, a);
  for (bool reverse : {false, true})
    for (bool inclusive : {false, true}) {
      check_rules(
          [=](std::span<const Array> x) {
            return std::vector{cumsum(x[0], 1, reverse, inclusive)};
          },
          a);
      check_rules(
          [=](std::span<const Array> x) {
            return std::vector{cumprod(x[0], -1, reverse, inclusive)};
          },
          a);
      check_rules(
          [=](std::span<const Array> x) {
            return std::vector{logcumsumexp(x[0], 0, reverse, true)};
          },
          a);
      check_rules(
          [=](std::span<const Array> x) { return std::vector{cummax(x[0], 1, reverse, true)}; }, a);
      check_rules(
          [=](std::span<const Array> x) { return std::vector{cummin(x[0], 1, reverse, true)}; }, a);
    }
  // The gradient of a running product at zeros.
  const std::vector<Array> zero{array_of({2, 0, 3, 0, 5})}, g{array_of({1, 1, 1, 1, 1})};
  check_close(
      vjp([](std::span<const Array> x) { return std::vector{cumprod(x[0])}; }, zero, g).second[0],
      {1, 2 + 6, 0, 0, 0}, 0);
}
