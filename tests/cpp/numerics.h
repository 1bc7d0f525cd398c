// Helpers of the numeric tests: random arrays, values as doubles, and a check of an op's rules.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "legato/array/array.h"
#include "legato/ops/concat/concat.h"
#include "legato/ops/create/create.h"
#include "legato/ops/index/slice.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/shape/shape.h"
#include "legato/transform/transform.h"

namespace legato::numerics {

inline std::vector<double> values(const Array& a) {
  Array wide = astype(a, Dtype::float64);
  const double* p = wide.data<double>();
  return {p, p + wide.size()};
}

inline Array array_of(const std::vector<double>& v, Shape shape = {},
                      Dtype dtype = Dtype::float64) {
  if (shape.empty()) shape = Shape{static_cast<int64_t>(v.size())};
  return astype(Array::from<double>(v, shape), dtype);
}

/// Standard normal numbers.
inline Array normals(const Shape& shape, uint32_t seed, Dtype dtype = Dtype::float64) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  std::vector<double> v(static_cast<size_t>(element_count(shape)));
  for (double& x : v) x = normal(generator);
  return astype(Array::from<double>(v, shape), dtype);
}

inline double dot(const Array& a, const Array& b) {
  auto x = values(a), y = values(b);
  double s = 0;
  for (size_t i = 0; i < x.size(); ++i) s += x[i] * y[i];
  return s;
}

/// Elements agree within `tolerance` times (1 + |expected|); nan agrees with nan.
inline void check_close(const Array& found, const std::vector<double>& expected, double tolerance) {
  auto f = values(found);
  REQUIRE(f.size() == expected.size());
  for (size_t i = 0; i < f.size(); ++i) {
    CAPTURE(i);
    CAPTURE(f[i]);
    CAPTURE(expected[i]);
    const bool same = f[i] == expected[i] || (std::isnan(f[i]) && std::isnan(expected[i]));
    CHECK((same || std::abs(f[i] - expected[i]) <= tolerance * (1 + std::abs(expected[i]))));
  }
}
inline void check_close(const Array& found, const Array& expected, double tolerance) {
  REQUIRE(found.shape() == expected.shape());
  check_close(found, values(expected), tolerance);
}

inline bool same_bits(const Array& a, const Array& b) {
  return a.nbytes() == b.nbytes() &&
         std::memcmp(a.host_data(), b.host_data(), static_cast<size_t>(a.nbytes())) == 0;
}

/// For a function of float64 arrays: its vjp and jvp against differences of its values, and vmap
/// over the first axis against a loop.
inline void check_rules(const ArrayFn& f, const std::vector<Array>& inputs,
                        double tolerance = 1e-6) {
  const double h = 1e-5;
  std::vector<Array> directions, up, down;
  for (size_t i = 0; i < inputs.size(); ++i) {
    directions.push_back(normals(inputs[i].shape(), 100 + static_cast<uint32_t>(i)));
    up.push_back(add(inputs[i], multiply(directions[i], h)));
    down.push_back(subtract(inputs[i], multiply(directions[i], h)));
  }
  const std::vector<Array> high = f(up), low = f(down);
  std::vector<Array> weights;
  double expected = 0;
  for (size_t i = 0; i < high.size(); ++i) {
    weights.push_back(normals(high[i].shape(), 200 + static_cast<uint32_t>(i)));
    expected += dot(weights[i], multiply(subtract(high[i], low[i]), 0.5 / h));
  }
  const auto [outputs, cotangents] = vjp(f, inputs, weights);
  double reverse = 0;
  for (size_t i = 0; i < inputs.size(); ++i) reverse += dot(cotangents[i], directions[i]);
  CHECK(std::abs(reverse - expected) <= tolerance * (1 + std::abs(expected)));
  const auto [again, tangents] = jvp(f, inputs, directions);
  double forward = 0;
  for (size_t i = 0; i < tangents.size(); ++i) forward += dot(weights[i], tangents[i]);
  CHECK(std::abs(forward - reverse) <= 1e-9 * (1 + std::abs(reverse)));

  std::vector<Array> batch;
  for (const Array& a : inputs)
    batch.push_back(stack(std::vector<Array>{a, multiply(a, -0.5), add(a, 0.25)}, 0));
  std::vector<std::optional<int>> axes(inputs.size(), 0);
  const auto mapped =
      vmap(f, batch, axes, [](size_t n) { return std::vector<std::optional<int>>(n, 0); });
  for (int64_t b = 0; b < 3; ++b) {
    std::vector<Array> one;
    auto row = [&](const Array& a) {
      SliceAttrs part = full_slice(a.ndim());
      part.start[0] = b;
      part.stop[0] = b + 1;
      return squeeze(slice(a, part), Dims{0});
    };
    for (const Array& a : batch) one.push_back(row(a));
    const auto direct = f(one);
    for (size_t i = 0; i < direct.size(); ++i) check_close(row(mapped[i]), direct[i], 1e-12);
  }
}

}  // namespace legato::numerics
