// Joining, splitting, repeating and padding.
#include <doctest/doctest.h>

#include "legato/base/error.h"
#include "legato/ops/concat/concat.h"
#include "legato/ops/shape/shape.h"
#include "tests/cpp/arrays.h"

namespace legato {
namespace {

using namespace testing;

TEST_CASE("concatenate joins any layouts in the common dtype") {
  std::vector<Array> parts{counted({2, 2}), transpose(counted({3, 2})), zeros({2, 0})};
  CHECK(values(concatenate(parts, 1)) == Values{0, 1, 0, 2, 4, 2, 3, 1, 3, 5});
  CHECK(values(concatenate(parts, {})) == Values{0, 1, 2, 3, 0, 2, 4, 1, 3, 5});
  std::vector<Array> mixed{ints({1, 2}), floats({0.5f})};
  CHECK(concatenate(mixed).dtype() == Dtype::float32);
  CHECK(values(concatenate(mixed)) == Values{1, 2, 0.5});
  CHECK(values(stack(std::vector<Array>{ints({1, 2}), ints({3, 4})}, -1)) == Values{1, 3, 2, 4});
  CHECK_THROWS_AS(concatenate({}), ValueError);
  CHECK_THROWS_AS(concatenate(parts, 0), ValueError);
  CHECK_THROWS_AS(concatenate(parts, 2), AxisError);
  CHECK_THROWS_AS(concatenate(std::vector<Array>{literal(1, Dtype::int32)}), ValueError);
  CHECK_THROWS_AS(stack(mixed), ValueError);
}

TEST_CASE("split cuts without copies") {
  Array a = counted({6}).eval();
  auto parts = split(a, 3);
  CHECK(parts.size() == 3);
  CHECK(values(parts[1]) == Values{2, 3});
  CHECK(parts[1].eval().value().storage == a.value().storage);
  auto cuts = split_at(a, {4, 2, -1});
  CHECK(values(cuts[0]) == Values{0, 1, 2, 3});
  CHECK(values(cuts[1]).empty());
  CHECK(values(cuts[2]) == Values{2, 3, 4});
  CHECK(values(cuts[3]) == Values{5});
  CHECK(split_at(a, {}).size() == 1);
  CHECK_THROWS_AS(split(a, 4), ValueError);
  CHECK_THROWS_AS(split(a, 0), ValueError);
  auto rows = unstack(counted({2, 3}), 1);
  CHECK(rows.size() == 3);
  CHECK(values(rows[2]) == Values{2, 5});
}

TEST_CASE("tile, repeat and pad") {
  Array a = counted({2, 2});
  CHECK(values(tile(a, {2})) == Values{0, 1, 0, 1, 2, 3, 2, 3});
  CHECK(values(tile(ints({1, 2}), {2, 1})) == Values{1, 2, 1, 2});
  CHECK(tile(a, {0, 2}).shape() == Shape{0, 4});
  CHECK(values(repeat(a, {2}, 0)) == Values{0, 1, 0, 1, 2, 3, 2, 3});
  CHECK(values(repeat(a, {2})) == Values{0, 0, 1, 1, 2, 2, 3, 3});
  CHECK(values(repeat(a, {1, 3}, 1)) == Values{0, 1, 1, 1, 2, 3, 3, 3});
  CHECK_THROWS_AS(tile(a, {-1}), ValueError);
  CHECK_THROWS_AS(repeat(a, {1, 2, 3}, 1), ValueError);
  CHECK_THROWS_AS(repeat(a, {INT64_MAX}), ValueError);

  Array v = ints({1, 2, 3});
  auto padded = [&](const char* mode) { return values(pad(v, {{2, 4}}, mode)); };
  CHECK(padded("constant") == Values{0, 0, 1, 2, 3, 0, 0, 0, 0});
  CHECK(padded("edge") == Values{1, 1, 1, 2, 3, 3, 3, 3, 3});
  CHECK(padded("reflect") == Values{3, 2, 1, 2, 3, 2, 1, 2, 3});
  CHECK(padded("symmetric") == Values{2, 1, 1, 2, 3, 3, 2, 1, 1});
  CHECK(padded("wrap") == Values{2, 3, 1, 2, 3, 1, 2, 3, 1});
  CHECK(values(pad(ints({5}), {{2}}, "reflect")) == Values{5, 5, 5, 5, 5});
  CHECK(values(pad(a, {{1, 0}, {0, 1}}, "constant", 9)) == Values{9, 9, 9, 0, 1, 9, 2, 3, 9});
  CHECK_THROWS_AS(pad(v, {{-1, 0}}), ValueError);
  CHECK_THROWS_AS(pad(v, {{1}, {1}}), ValueError);
  CHECK_THROWS_AS(pad(v, {{1}}, "mirror"), ValueError);
  CHECK_THROWS_AS(pad(zeros({0}), {{1}}, "edge"), ValueError);
}

TEST_CASE("cotangents of joined, cut and repeated arrays") {
  auto grads = pulled_back(
      [](std::span<const Array> in) {
        return std::vector<Array>{concatenate(std::vector<Array>{in[0], in[1]}, 1)};
      },
      {counted({2, 1}), counted({2, 2})});
  CHECK(values(grads[0]) == Values{1, 4});
  CHECK(values(grads[1]) == Values{2, 3, 5, 6});

  auto one = [](auto f, const Array& a) {
    return values(pulled_back(
        [&](std::span<const Array> in) { return std::vector<Array>{f(in[0])}; }, {a})[0]);
  };
  CHECK(one([](const Array& a) { return split(a, 2)[1]; }, counted({4})) == Values{0, 0, 1, 2});
  CHECK(one([](const Array& a) { return split_at(a, {3, 1})[2]; }, counted({4})) ==
        Values{0, 1, 2, 3});
  CHECK(one([](const Array& a) { return pad(a, {{1, 1}}, "edge"); }, counted({2})) == Values{3, 7});
}

TEST_CASE("joining and cutting batch") {
  Array a = counted({3, 4}), b = counted({3, 2});
  const Array in[] = {a, b};
  std::optional<int> axes[] = {0, 0};
  auto zero = [](size_t n) { return std::vector<std::optional<int>>(n, 0); };
  auto joined = vmap(
      [](std::span<const Array> x) {
        return std::vector<Array>{concatenate(std::vector<Array>{x[0], x[1], counted({1})})};
      },
      in, axes, zero);
  CHECK(values(joined[0]) ==
        Values{0, 1, 2, 3, 0, 1, 0, 4, 5, 6, 7, 2, 3, 0, 8, 9, 10, 11, 4, 5, 0});
  auto cut =
      vmap([](std::span<const Array> x) { return split(x[0], 2, -1); }, {in, 1}, {axes, 1}, zero);
  CHECK(values(cut[1]) == Values{2, 3, 6, 7, 10, 11});
  auto padded = vmap(
      [](std::span<const Array> x) {
        return std::vector<Array>{pad(x[0], {{1, 0}}, "constant", 7), tile(x[0], {2, 1}),
                                  repeat(x[0], {2}, -1)};
      },
      {in + 1, 1}, {axes, 1}, zero);
  CHECK(values(padded[0]) == Values{7, 0, 1, 7, 2, 3, 7, 4, 5});
  CHECK(values(padded[1]) == Values{0, 1, 0, 1, 2, 3, 2, 3, 4, 5, 4, 5});
  CHECK(values(padded[2]) == Values{0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5});
}

}  // namespace
}  // namespace legato
