// Helpers of the numeric tests: random arrays, values as doubles, and a check of an op's rules.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
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

/// What is wrong with the rules of a function of float64 arrays, one sentence each: its vjp and jvp
/// against differences of its values and against each other, and vmap, over all inputs and over
/// each alone, against a loop.
inline std::vector<std::string> rule_faults(const ArrayFn& f, const std::vector<Array>& inputs,
                                            double tolerance = 1e-6) {
  std::vector<std::string> faults;
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
  if (!(std::abs(reverse - expected) <= tolerance * (1 + std::abs(expected))))
    faults.push_back(cat("vjp: ", reverse, ", by differences ", expected));
  const auto [again, tangents] = jvp(f, inputs, directions);
  double forward = 0;
  for (size_t i = 0; i < tangents.size(); ++i) forward += dot(weights[i], tangents[i]);
  if (!(std::abs(forward - reverse) <= 1e-9 * (1 + std::abs(reverse))))
    faults.push_back(cat("jvp: ", forward, ", by the vjp ", reverse));

  auto row = [](const Array& a, int64_t b) {
    SliceAttrs part = full_slice(a.ndim());
    part.start[0] = b;
    part.stop[0] = b + 1;
    return squeeze(slice(a, part), Dims{0});
  };
  for (size_t over = 0; over <= inputs.size(); ++over) {  // the last: all
    if (over == 0 && inputs.size() == 1) continue;
    std::vector<Array> batch;
    std::vector<std::optional<int>> axes;
    for (size_t i = 0; i < inputs.size(); ++i) {
      const Array& a = inputs[i];
      const bool mapped = over == i || over == inputs.size();
      batch.push_back(mapped ? stack(std::vector<Array>{a, multiply(a, -0.5), add(a, 0.25)}, 0)
                             : a);
      axes.push_back(mapped ? std::optional<int>(0) : std::nullopt);
    }
    const auto mapped =
        vmap(f, batch, axes, [](size_t n) { return std::vector<std::optional<int>>(n, 0); });
    for (int64_t b = 0; b < 3; ++b) {
      std::vector<Array> one;
      for (size_t i = 0; i < batch.size(); ++i)
        one.push_back(axes[i] ? row(batch[i], b) : batch[i]);
      const auto direct = f(one);
      for (size_t i = 0; i < direct.size(); ++i) {
        const auto found = values(row(mapped[i], b)), wanted = values(direct[i]);
        for (size_t k = 0; k < wanted.size(); ++k)
          if (!(std::abs(found[k] - wanted[k]) <= 1e-12 * (1 + std::abs(wanted[k])))) {
            faults.push_back(cat(
                "vmap over ", axes.size() == 1 || over == axes.size() ? "all inputs" : "one input",
                ": ", found[k], ", by a loop ", wanted[k]));
            break;
          }
      }
    }
  }
  return faults;
}

inline void check_rules(const ArrayFn& f, const std::vector<Array>& inputs,
                        double tolerance = 1e-6) {
  for (const std::string& fault : rule_faults(f, inputs, tolerance)) FAIL_CHECK(fault);
}

}  // namespace legato::numerics
