// Pooling and rotary embedding.
#include <doctest/doctest.h>

#include "legato/ops/pool/pool.h"
#include "legato/ops/reduce/reduce.h"
#include "legato/ops/rope/rope.h"
#include "tests/cpp/numerics.h"

using namespace legato;
using namespace legato::numerics;

namespace {

NestedInts pairs(std::vector<Dims> p) { return {NestedInts::Kind::nested, std::move(p)}; }
NestedInts number(int64_t n) { return {NestedInts::Kind::number, {Dims{n}}}; }

/// A 2-d pool in double. `low` and `high` pad both spatial dimensions.
std::vector<double> reference(const Array& x, int64_t kernel, int64_t stride, int64_t low,
                              int64_t high, bool mean) {
  const auto v = values(x);
  const int64_t n = x.shape(0), h = x.shape(1), w = x.shape(2), channels = x.shape(3);
  const int64_t oh = (h + low + high - kernel) / stride + 1,
                ow = (w + low + high - kernel) / stride + 1;
  std::vector<double> out;
  for (int64_t s = 0; s < n; ++s)
    for (int64_t i = 0; i < oh; ++i)
      for (int64_t j = 0; j < ow; ++j)
        for (int64_t c = 0; c < channels; ++c) {
          double best = -INFINITY, total = 0;
          for (int64_t a = 0; a < kernel; ++a)
            for (int64_t b = 0; b < kernel; ++b) {
              const int64_t y = i * stride - low + a, z = j * stride - low + b;
              if (y < 0 || y >= h || z < 0 || z >= w) continue;
              const double value = v[static_cast<size_t>(((s * h + y) * w + z) * channels + c)];
              best = std::max(best, value);
              total += value;
            }
          out.push_back(mean ? total / static_cast<double>(kernel * kernel) : best);
        }
  return out;
}

}  // namespace

TEST_CASE("pooling of images against the definition") {
  for (Dtype t : {Dtype::float32, Dtype::float64, Dtype::bfloat16})
    for (int64_t channels : {1, 3, 16, 35})
      for (int64_t kernel : {1, 2, 3})
        for (int64_t stride : {1, 2, 3}) {
          const Array x = normals({2, 9, 7, channels}, 1, t);
          const int64_t low = kernel > 1 ? 1 : 0, high = kernel > 2 ? 2 : 0;
          const NestedInts padding = pairs({Dims{low, high}, Dims{low, high}});
          check_close(max_pool(x, Dims{kernel}, Dims{stride}, padding),
                      reference(x, kernel, stride, low, high, false), 0);
          check_close(avg_pool(x, Dims{kernel}, Dims{stride}, padding),
                      reference(x, kernel, stride, low, high, true),
                      t == Dtype::bfloat16 ? 8e-3 : 1e-6);
        }
}

TEST_CASE("pooling in one and three dimensions, and of integers") {
  const Array line = array_of({1, 5, 3, 2}, {1, 4, 1}, Dtype::float32);
  CHECK(values(max_pool(line, Dims{2})) == std::vector<double>{5, 3});
  CHECK(values(avg_pool(line, Dims{2}, Dims{1})) == std::vector<double>{3, 4, 2.5});
  CHECK(values(max_pool(astype(line, Dtype::int32), Dims{3}, Dims{1}, number(1))) ==
        std::vector<double>{5, 5, 5, 3});
  CHECK(max_pool(zeros({2, 4, 6, 8, 3}), Dims{2, 3, 4}).shape() == Shape{2, 2, 2, 2, 3});
}

TEST_CASE("what pooling refuses") {
  CHECK_THROWS_AS(max_pool(zeros({2, 3}), Dims{2}), ValueError);
  CHECK_THROWS_AS(max_pool(zeros({2, 3, 1}), Dims{4}), ValueError);
  CHECK_THROWS_AS(max_pool(zeros({2, 3, 1}), Dims{2, 2}), ValueError);
  CHECK_THROWS_AS(max_pool(zeros({2, 3, 1}), Dims{2}, Dims{0}), ValueError);
  CHECK_THROWS_AS(max_pool(zeros({2, 3, 1}), Dims{2}, {}, number(2)), ValueError);
  CHECK_THROWS_AS(avg_pool(zeros({2, 3, 1}, Dtype::int32), Dims{2}), ValueError);
}

TEST_CASE("rules of pooling") {
  const std::vector<Array> x{normals({2, 5, 6, 3}, 1)};
  const NestedInts padding = pairs({Dims{1, 0}, Dims{0, 1}});
  check_rules(
      [&](std::span<const Array> in) {
        return std::vector{max_pool(in[0], Dims{2}, Dims{1}, padding)};
      },
      x);
  check_rules(
      [&](std::span<const Array> in) { return std::vector{max_pool(in[0], Dims{3, 2}, Dims{2})}; },
      x);
  check_rules(
      [&](std::span<const Array> in) {
        return std::vector{avg_pool(in[0], Dims{2}, Dims{1}, padding)};
      },
      x);
  check_rules(
      [&](std::span<const Array> in) {
        const std::vector<Array> g{normals({2, 4, 5, 3}, 9)};
        return vjp(
                   [](std::span<const Array> y) {
                     return std::vector{avg_pool(y[0], Dims{2}, Dims{1})};
                   },
                   in, g)
            .second;
      },
      x);
  const std::vector<Array> ties{array_of({1, 1, 1, 0}, {1, 4, 1})}, g{array_of({1, 1}, {1, 2, 1})};
  check_close(
      vjp([](std::span<const Array> in) { return std::vector{max_pool(in[0], Dims{2})}; }, ties, g)
          .second[0],
      {0.5, 0.5, 1, 0}, 0);
}

TEST_CASE("rotary embedding turns pairs by their position") {
  const Array x = normals({2, 3, 5, 8}, 1);
  for (bool traditional : {false, true}) {
    const Array y = rope(x, 6, traditional, 100.0, 0.5, 3);
    const auto in = values(x), out = values(y);
    for (size_t row = 0; row < 30; ++row)
      for (size_t i = 0; i < 3; ++i) {
        const double angle =
            (3 + static_cast<double>(row % 5)) * 0.5 * std::pow(100.0, -static_cast<double>(i) / 3);
        const size_t a = row * 8 + (traditional ? 2 * i : i), b = traditional ? a + 1 : a + 3;
        CHECK(out[a] == doctest::Approx(in[a] * std::cos(angle) - in[b] * std::sin(angle)));
        CHECK(out[b] == doctest::Approx(in[a] * std::sin(angle) + in[b] * std::cos(angle)));
        CHECK(out[row * 8 + 7] == in[row * 8 + 7]);
      }
    const Array freqs = array_of({1, std::pow(100.0, 1.0 / 3), std::pow(100.0, 2.0 / 3)});
    check_close(rope(x, 6, traditional, {}, 0.5, array_of({3, 3}, {}, Dtype::int32), freqs), y,
                1e-12);
    check_rules(
        [=](std::span<const Array> in) {
          return std::vector{rope(in[0], 6, traditional, 100.0, 0.5, 3)};
        },
        {x});
  }
  CHECK_THROWS_AS(rope(zeros({2, 4}), 4, false, 10.0, 1, 0), ValueError);
  CHECK_THROWS_AS(rope(x, 5, false, 10.0, 1, 0), ValueError);
  CHECK_THROWS_AS(rope(x, 10, false, 10.0, 1, 0), ValueError);
  CHECK_THROWS_AS(rope(x, 4, false, {}, 1, 0), ValueError);
  CHECK_THROWS_AS(rope(x, 4, false, 10.0, 1, array_of({1, 2, 3})), ValueError);
}
