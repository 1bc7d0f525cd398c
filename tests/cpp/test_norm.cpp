#include <doctest/doctest.h>

#include "legato/ops/norm/norm.h"
#include "legato/ops/reduce/reduce.h"
#include "tests/cpp/numerics.h"

using namespace legato;
using namespace legato::numerics;

namespace {

/// The meaning of every norm in double: rows of a view, their statistics, then weight and bias by
/// channel.
std::vector<double> reference(const Array& x, int64_t groups, const Array& w, const Array& b,
                              double eps, bool centred) {
  const auto v = values(x), weight = values(w), bias = values(b);
  const int64_t channels = x.shape().back();
  const int64_t samples = groups ? x.shape()[0] : x.size() / channels,
                positions = x.size() / samples / channels;
  const int64_t n_groups = groups ? groups : 1, size = channels / n_groups;
  std::vector<double> out(v.size());
  for (int64_t s = 0; s < samples; ++s)
    for (int64_t g = 0; g < n_groups; ++g) {
      auto at = [&](int64_t p, int64_t c) {
        return static_cast<size_t>((s * positions + p) * channels + g * size + c);
      };
      double mean = 0, squares = 0;
      const double n = static_cast<double>(positions * size);
      for (int64_t p = 0; p < positions; ++p)
        for (int64_t c = 0; c < size; ++c) mean += v[at(p, c)] / n;
      if (!centred) mean = 0;
      for (int64_t p = 0; p < positions; ++p)
        for (int64_t c = 0; c < size; ++c)
          squares += (v[at(p, c)] - mean) * (v[at(p, c)] - mean) / n;
      for (int64_t p = 0; p < positions; ++p)
        for (int64_t c = 0; c < size; ++c) {
          const auto channel = static_cast<size_t>(g * size + c);
          out[at(p, c)] =
              (v[at(p, c)] - mean) / std::sqrt(squares + eps) * weight[channel] + bias[channel];
        }
    }
  return out;
}

double tolerance(Dtype t) {
  return t == Dtype::float64   ? 1e-12
         : t == Dtype::float32 ? 2e-6
         : t == Dtype::float16 ? 2e-3
                               : 1.6e-2;
}

}  // namespace

TEST_CASE("layer norm and rms norm of rows of any length") {
  for (int64_t n : {1, 3, 8, 31, 64, 200, 1024, 5000})
    for (Dtype t : {Dtype::float32, Dtype::float64, Dtype::float16, Dtype::bfloat16}) {
      CAPTURE(n);
      const Array x = add(normals({3, 2, n}, 1, t), 0.5).eval(), w = normals({n}, 2, t),
                  b = normals({n}, 3, t);
      const Array one = ones({n}, t), zero = zeros({n}, t);
      check_close(layer_norm(x, w, b, 1e-3), reference(x, 0, w, b, 1e-3, true), tolerance(t));
      check_close(layer_norm(x, w, std::nullopt, 1e-3), reference(x, 0, w, zero, 1e-3, true),
                  tolerance(t));
      check_close(layer_norm(x, std::nullopt, b, 1e-3), reference(x, 0, one, b, 1e-3, true),
                  tolerance(t));
      check_close(layer_norm(x, std::nullopt, std::nullopt, 1e-3),
                  reference(x, 0, one, zero, 1e-3, true), tolerance(t));
      check_close(rms_norm(x, w, 1e-3), reference(x, 0, w, zero, 1e-3, false), tolerance(t));
      check_close(rms_norm(x, std::nullopt, 1e-3), reference(x, 0, one, zero, 1e-3, false),
                  tolerance(t));
    }
}

TEST_CASE("group norm of any number of positions and channels") {
  struct Case {
    Shape shape;
    int groups;
  };
  for (const Case& c : {Case{{2, 5, 6}, 3}, Case{{3, 4, 4, 32}, 8}, Case{{1, 70, 24}, 1},
                        Case{{2, 8}, 4}, Case{{1, 33, 33, 64}, 4}, Case{{2, 3, 40, 12}, 12}})
    for (Dtype t : {Dtype::float32, Dtype::float64, Dtype::float16, Dtype::bfloat16}) {
      const int64_t channels = c.shape.back();
      const Array x = add(normals(c.shape, 1, t), 2).eval(), w = normals({channels}, 2, t),
                  b = normals({channels}, 3, t);
      check_close(group_norm(x, c.groups, w, b, 1e-3), reference(x, c.groups, w, b, 1e-3, true),
                  tolerance(t));
      check_close(group_norm(x, c.groups, std::nullopt, std::nullopt, 1e-3),
                  reference(x, c.groups, ones({channels}, t), zeros({channels}, t), 1e-3, true),
                  tolerance(t));
    }
}

TEST_CASE("dtypes meet in a norm; what it refuses") {
  CHECK(layer_norm(zeros({2, 3}, Dtype::float16), ones({3}), std::nullopt, 1e-5).dtype() ==
        Dtype::float32);
  CHECK_THROWS_AS(layer_norm(zeros({2, 3}), ones({2}), std::nullopt, 1e-5), ValueError);
  CHECK_THROWS_AS(layer_norm(zeros({2, 3}), std::nullopt, ones({2}), 1e-5), ValueError);
  CHECK_THROWS_AS(rms_norm(zeros({2, 3}, Dtype::int32), std::nullopt, 1e-5), ValueError);
  CHECK_THROWS_AS(rms_norm(zeros({}), std::nullopt, 1e-5), ValueError);
  CHECK_THROWS_AS(group_norm(zeros({2, 3}), 2), ValueError);
  CHECK_THROWS_AS(group_norm(zeros({2, 4}), 0), ValueError);
  CHECK_THROWS_AS(group_norm(zeros({4}), 2), ValueError);
  CHECK(layer_norm(zeros({0, 3}), ones({3}), std::nullopt, 1e-5).eval().size() == 0);
}

TEST_CASE("rules of the norms") {
  const Array x = normals({3, 4, 6}, 1), w = normals({6}, 2), b = normals({6}, 3);
  check_rules(
      [](std::span<const Array> in) { return std::vector{layer_norm(in[0], in[1], in[2], 1e-2)}; },
      {x, w, b});
  check_rules(
      [](std::span<const Array> in) {
        return std::vector{layer_norm(in[0], std::nullopt, in[1], 1e-2)};
      },
      {x, b});
  check_rules([](std::span<const Array> in) { return std::vector{rms_norm(in[0], in[1], 1e-2)}; },
              {x, w});
  check_rules(
      [](std::span<const Array> in) { return std::vector{rms_norm(in[0], std::nullopt, 1e-2)}; },
      {x});
  check_rules(
      [](std::span<const Array> in) {
        return std::vector{group_norm(in[0], 2, in[1], in[2], 1e-2)};
      },
      {x, w, b});
  check_rules(
      [](std::span<const Array> in) {
        return std::vector{group_norm(in[0], 3, std::nullopt, std::nullopt, 1e-2)};
      },
      {x});
  check_rules(
      [&](std::span<const Array> in) { return std::vector{group_norm(in[0], 3, w, b, 1e-2)}; },
      {x});
  // Second order, through the meaning of the derivative.
  check_rules(
      [&](std::span<const Array> in) {
        const std::vector<Array> g{normals({3, 4, 6}, 9)};
        return vjp(
                   [](std::span<const Array> y) {
                     return std::vector{group_norm(y[0], 2, y[1], y[2], 1e-2)};
                   },
                   in, g)
            .second;
      },
      {x, w, b}, 1e-5);
}

TEST_CASE("gradients of long norms agree with their meaning in float64") {
  for (const Shape& shape : {Shape{700, 130}, Shape{20, 50, 48}}) {
    const int64_t channels = shape.back();
    const Array x = normals(shape, 1), w = normals({channels}, 2), b = normals({channels}, 3),
                g = normals(shape, 4);
    auto gradients = [&](Dtype t) {
      const std::vector<Array> in{astype(x, t), astype(w, t), astype(b, t)}, ct{astype(g, t)};
      return vjp(
                 [&](std::span<const Array> y) {
                   return std::vector{shape.size() == 2 ? layer_norm(y[0], y[1], y[2], 1e-3)
                                                        : group_norm(y[0], 8, y[1], y[2], 1e-3)};
                 },
                 in, ct)
          .second;
    };
    const auto wide = gradients(Dtype::float64), narrow = gradients(Dtype::float32);
    for (size_t i = 0; i < 3; ++i) check_close(narrow[i], wide[i], 2e-5);
  }
}
