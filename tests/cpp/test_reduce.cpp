// Reductions against sums in double, over shapes, axes and layouts.
#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

#include "legato/base/cpu_info.h"
#include "legato/base/thread_pool.h"
#include "legato/ops/reduce/kernels.h"
#include "legato/ops/reduce/reduce.h"
#include "tests/cpp/numerics.h"

using namespace legato;
using namespace legato::numerics;

namespace {

/// Sum, sum of magnitudes and maximum over `axes`, from the row-major values.
struct Reference {
  std::vector<double> sum, magnitude, max;
};
Reference reference(const Array& a, const Dims& axes) {
  const Shape out = reduced_shape(a.shape(), axes, false);
  const auto n = static_cast<size_t>(element_count(out));
  Reference r{std::vector<double>(n), std::vector<double>(n),
              std::vector<double>(n, -std::numeric_limits<double>::infinity())};
  const auto v = values(a);
  const Strides strides = row_major_strides(out);
  Dims index = Dims::filled(a.ndim(), 0);
  for (double x : v) {
    size_t at = 0, axis = 0, kept = 0;
    for (size_t i = 0; i < a.ndim(); ++i) {
      if (axis < axes.size() && axes[axis] == static_cast<int64_t>(i))
        ++axis;
      else
        at += static_cast<size_t>(index[i] * strides[kept++]);
    }
    r.sum[at] += x;
    r.magnitude[at] += std::abs(x);
    r.max[at] = std::max(r.max[at], x);
    for (size_t i = a.ndim(); i-- > 0;) {
      if (++index[i] < a.shape()[i]) break;
      index[i] = 0;
    }
  }
  return r;
}

void check_float32(const Array& a, const Dims& axes) {
  const Reference r = reference(a, axes);
  const auto sums = values(sum(a, axes)), maxima = values(max(a, axes));
  for (size_t i = 0; i < r.sum.size(); ++i) {
    CAPTURE(i);
    // The tree's depth is below 60; rounding errors add up at random, as 2^-24 times its root.
    CHECK(std::abs(sums[i] - r.sum[i]) <= 6e-7 * r.magnitude[i]);
    CHECK(maxima[i] == r.max[i]);
  }
}

}  // namespace

TEST_CASE("sums and maxima over all axes of many shapes and layouts") {
  std::mt19937 g(7);
  for (int round = 0; round < 150; ++round) {
    const size_t rank = 1 + g() % 4;
    Shape shape = Dims::filled(rank, 0);
    for (auto& n : shape) n = g() % 6 == 0 ? 1 + g() % 400 : 1 + g() % 12;
    Array a = normals(shape, g(), Dtype::float32);
    if (g() % 2) {
      Dims order = Dims::filled(rank, 0);
      for (size_t i = 0; i < rank; ++i) order[i] = static_cast<int64_t>(i);
      std::shuffle(order.begin(), order.end(), g);
      a = transpose(a, order);
    }
    if (g() % 3 == 0) {
      SliceAttrs part = full_slice(rank);
      const size_t axis = g() % rank;
      part.step[axis] = g() % 2 ? 2 : -1;
      a = slice(a, part);
    }
    Dims axes;
    for (size_t i = 0; i < rank; ++i)
      if (g() % 2) axes.push_back(static_cast<int64_t>(i));
    CAPTURE(round);
    check_float32(a, axes);
  }
}

TEST_CASE("long rows, columns and both") {
  check_float32(normals({300000}, 1, Dtype::float32), {0});
  check_float32(normals({3, 100000}, 2, Dtype::float32), {1});
  check_float32(normals({20000, 7}, 3, Dtype::float32), {0});
  check_float32(normals({1000, 1500}, 4, Dtype::float32), {0});
  check_float32(normals({60, 40, 64}, 5, Dtype::float32), {0, 1});
  check_float32(transpose(normals({40, 50, 60}, 6, Dtype::float32), Dims{1, 0, 2}), {0, 1, 2});
}

TEST_CASE("the bits of a sum depend on neither threads nor vector width") {
  const Array a = normals({1000, 333}, 1, Dtype::float32);
  const int before = num_threads();
  for (const Dims& axes : {Dims{0}, Dims{1}, Dims{0, 1}}) {
    set_num_threads(1);
    Array one = sum(a, axes).eval();
    set_num_threads(3);
    Array three = sum(a, axes).eval();
    CHECK(same_bits(one, three));
  }
  set_num_threads(before);
#if LEGATO_HAS_X86_LEVELS
  if (cpu_info().level >= SimdLevel::avx2) {
    const Array x = normals({5003}, 2, Dtype::float32).eval();
    float base = 0, avx2 = 1;
    const auto kind = static_cast<int>(cpu::ReduceKind::sum);
    cpu::base::reducers()[kind][static_cast<int>(Dtype::float32)].rows(x.host_data(), 5003, 0, 1,
                                                                       &base, 1);
    cpu::avx2::reducers()[kind][static_cast<int>(Dtype::float32)].rows(x.host_data(), 5003, 0, 1,
                                                                       &avx2, 1);
    CHECK(base == avx2);
  }
#endif
}

TEST_CASE("result dtypes of sums; integers wrap") {
  auto dtype_of_sum = [](Dtype t) { return sum(zeros({2}, t)).dtype(); };
  CHECK(dtype_of_sum(Dtype::bool_) == Dtype::int32);
  CHECK(dtype_of_sum(Dtype::int8) == Dtype::int32);
  CHECK(dtype_of_sum(Dtype::int16) == Dtype::int32);
  CHECK(dtype_of_sum(Dtype::uint8) == Dtype::uint32);
  CHECK(dtype_of_sum(Dtype::uint16) == Dtype::uint32);
  CHECK(dtype_of_sum(Dtype::int64) == Dtype::int64);
  CHECK(dtype_of_sum(Dtype::float16) == Dtype::float16);
  CHECK(sum(full({3}, 200, Dtype::uint8)).item<uint32_t>() == 600);
  CHECK(sum(full({3}, -100, Dtype::int8)).item<int32_t>() == -300);
  CHECK(sum(full({100}, true, Dtype::bool_)).item<int32_t>() == 100);
  CHECK(sum(full({4}, 1 << 30, Dtype::int32)).item<int32_t>() == 0);
  CHECK(prod(full({33}, 2, Dtype::int32)).item<int32_t>() == 0);
}

TEST_CASE("half types accumulate in float32 and round once") {
  CHECK(std::isinf(sum(ones({70000}, Dtype::float16)).item<float>()));
  CHECK(mean(ones({70000}, Dtype::float16)).item<float>() == 1);
  CHECK(sum(ones({1000}, Dtype::bfloat16)).item<float>() == 1000);
  CHECK(sum(ones({300, 2}, Dtype::bfloat16), Dims{0}).eval().shape() == Shape{2});
}

TEST_CASE("mean, var, std, median") {
  const Array a = array_of({1, 2, 3, 6});
  CHECK(mean(a).item<double>() == 3);
  CHECK(var(a).item<double>() == doctest::Approx(3.5));
  CHECK(var(a, {}, false, 1).item<double>() == doctest::Approx(14.0 / 3));
  CHECK(stddev(a).item<double>() == doctest::Approx(std::sqrt(3.5)));
  CHECK(median(a).item<double>() == 2.5);
  CHECK(median(array_of({5, 1, 3})).item<double>() == 3);
  CHECK(std::isnan(median(array_of({5, NAN, 3})).item<double>()));
  CHECK(mean(array_of({1, 2}, {}, Dtype::int32)).dtype() == Dtype::float32);
  CHECK(median(reshape(arange(Scalar(12)), Shape{2, 3, 2}), Dims{0, 2}, true).shape() ==
        Shape{1, 3, 1});
}

TEST_CASE("all, any, count_nonzero, minmax, trace") {
  const Array a = array_of({0, 1, NAN, -0.0}, {2, 2});
  CHECK(values(all(a, Dims{0})) == std::vector<double>{0, 0});
  CHECK(values(any(a, Dims{1})) == std::vector<double>{1, 1});
  CHECK(any(array_of({-0.0, 0.0}, {}, Dtype::float16)).item<bool>() == false);
  CHECK(count_nonzero(a).item<int32_t>() == 2);
  const auto [low, high] = minmax(array_of({3, 1, 2}, {}, Dtype::int8));
  CHECK(low.item<int32_t>() == 1);
  CHECK(high.item<int32_t>() == 3);
  CHECK(trace(reshape(arange(Scalar(9)), Shape{3, 3}), 1).item<int32_t>() == 6);
}

TEST_CASE("closeness") {
  const double inf = std::numeric_limits<double>::infinity();
  CHECK(values(isclose(array_of({1, inf, inf, NAN}), array_of({1 + 1e-6, inf, -inf, NAN}))) ==
        std::vector<double>{1, 1, 0, 0});
  CHECK(allclose(array_of({NAN}), array_of({NAN}), 1e-5, 1e-8, true).item<bool>());
  CHECK(array_equal(array_of({1, 2}), array_of({1, 2})).item<bool>());
  CHECK_FALSE(array_equal(array_of({1, 2}), array_of({1, 2, 3})).item<bool>());
}

TEST_CASE("nan wins a maximum wherever it stands") {
  for (int64_t n : {1, 5, 33, 1000})
    for (int64_t at = 0; at < n; at += 1 + n / 7) {
      std::vector<double> v(static_cast<size_t>(n), 1);
      v[static_cast<size_t>(at)] = NAN;
      CHECK(std::isnan(max(array_of(v, {}, Dtype::float32)).item<float>()));
      CHECK(std::isnan(min(array_of(v, {}, Dtype::bfloat16)).item<float>()));
    }
}

TEST_CASE("complex reductions") {
  const std::complex<float> v[] = {{1, 2}, {3, -4}, {0, 0}, {3, 1}};
  const Array a = Array::from_data(v, Shape{2, 2}, Dtype::complex64);
  CHECK(sum(a).item<std::complex<float>>() == std::complex<float>(7, -1));
  CHECK(max(a).item<std::complex<float>>() == std::complex<float>(3, 1));
  CHECK(min(a).item<std::complex<float>>() == std::complex<float>(0, 0));
  CHECK(mean(a, Dims{0}).shape() == Shape{2});
  CHECK(prod(a, Dims{1}).size() == 2);
  CHECK(values(all(a, Dims{1})) == std::vector<double>{1, 0});
}

TEST_CASE("empty reductions") {
  CHECK(sum(zeros({0})).item<float>() == 0);
  CHECK(prod(zeros({0})).item<float>() == 1);
  CHECK(all(zeros({0})).item<bool>());
  CHECK_FALSE(any(zeros({0})).item<bool>());
  CHECK(std::isnan(mean(zeros({0})).item<float>()));
  CHECK(values(sum(zeros({3, 0}), Dims{1})) == std::vector<double>{0, 0, 0});
  CHECK(max(zeros({0, 3}), Dims{1}).shape() == Shape{0});
  CHECK_THROWS_AS(max(zeros({0})), ValueError);
  CHECK_THROWS_AS(max(zeros({3, 0}), Dims{1}), ValueError);
}

TEST_CASE("wrong axes") {
  CHECK_THROWS_AS(sum(zeros({2, 3}), Dims{2}), AxisError);
  CHECK_THROWS_AS(sum(zeros({2, 3}), Dims{0, -2}), ValueError);
  CHECK(sum(zeros({2, 3}), Dims{}).shape() == Shape{2, 3});
}

TEST_CASE("rules of the reductions") {
  const std::vector<Array> a{normals({3, 4, 2}, 5)};
  check_rules([](std::span<const Array> x) { return std::vector{sum(x[0], Dims{1})}; }, a);
  check_rules([](std::span<const Array> x) { return std::vector{sum(x[0], Dims{0, -1}, true)}; },
              a);
  check_rules([](std::span<const Array> x) { return std::vector{mean(x[0])}; }, a);
  check_rules([](std::span<const Array> x) { return std::vector{prod(x[0], Dims{0, 2})}; }, a);
  check_rules([](std::span<const Array> x) { return std::vector{max(x[0], Dims{1})}; }, a);
  check_rules([](std::span<const Array> x) { return std::vector{min(x[0])}; }, a);
  check_rules([](std::span<const Array> x) { return std::vector{var(x[0], Dims{1}, false, 1)}; },
              a);
  check_rules([](std::span<const Array> x) { return std::vector{stddev(x[0], Dims{0})}; }, a);
  check_rules([](std::span<const Array> x) { return std::vector{median(x[0], Dims{0, 1})}; }, a);
}

TEST_CASE("the gradient of prod at zeros, and of max at ties") {
  auto gradient = [](auto f, const Array& x) {
    const std::vector<Array> primals{x}, cotangents{ones({}, Dtype::float64)};
    return vjp([&](std::span<const Array> in) { return std::vector{f(in[0])}; }, primals,
               cotangents)
        .second[0];
  };
  check_close(gradient([](const Array& x) { return prod(x); }, array_of({2, 0, 3})), {0, 6, 0}, 0);
  check_close(gradient([](const Array& x) { return prod(x); }, array_of({0, 0, 3})), {0, 0, 0}, 0);
  check_close(gradient([](const Array& x) { return max(x); }, array_of({1, 3, 3})), {0, 0.5, 0.5},
              0);
}
