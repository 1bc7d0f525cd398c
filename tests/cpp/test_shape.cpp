// Views are layouts: what they show, when they must copy, their errors and derivatives.
#include <doctest/doctest.h>

#include <string>

#include "legato/base/error.h"
#include "legato/ops/index/index.h"
#include "legato/ops/index/slice.h"
#include "legato/ops/shape/shape.h"
#include "tests/cpp/arrays.h"
#include "tests/cpp/messages.h"

namespace legato {
namespace {

using namespace testing;

TEST_CASE("reshape_layout cuts axes from runs of memory") {
  Layout out;
  SUBCASE("row-major stays a view") {
    CHECK(reshape_layout({2, 6}, {{6, 1}, 3}, {3, 4}, out));
    CHECK(out.strides == Strides{4, 1});
    CHECK(out.offset == 3);
  }
  SUBCASE("a transposed matrix can be split, not merged") {
    CHECK(reshape_layout({4, 6}, {{1, 4}, 0}, {2, 2, 3, 2}, out));
    CHECK(out.strides == Strides{2, 1, 8, 4});
    CHECK_FALSE(reshape_layout({4, 6}, {{1, 4}, 0}, {24}, out));
    CHECK_FALSE(reshape_layout({4, 6}, {{1, 4}, 0}, {8, 3}, out));
  }
  SUBCASE("broadcast axes merge with each other") {
    CHECK(reshape_layout({3, 4}, {{0, 0}, 0}, {12}, out));
    CHECK(out.strides == Strides{0});
    CHECK_FALSE(reshape_layout({3, 4}, {{0, 1}, 0}, {12}, out));
    CHECK(reshape_layout({3, 4}, {{0, 1}, 0}, {3, 2, 2}, out));
    CHECK(out.strides == Strides{0, 2, 1});
  }
  SUBCASE("negative strides") {
    CHECK(reshape_layout({6}, {{-1}, 5}, {2, 3}, out));
    CHECK(out.strides == Strides{-3, -1});
  }
  SUBCASE("axes of size 1 and empty arrays") {
    CHECK(reshape_layout({1, 6, 1}, {{99, 2, 77}, 0}, {3, 1, 2}, out));
    CHECK(out.strides[0] == 4);
    CHECK(out.strides[2] == 2);
    CHECK(reshape_layout({0, 3}, {{1, 7}, 0}, {5, 0}, out));
    CHECK(reshape_layout({}, {{}, 4}, {1, 1}, out));
    CHECK(out.offset == 4);
  }
}

TEST_CASE("views share memory and read right") {
  Array a = counted({2, 3, 4}).eval();
  const void* memory = a.value().storage.get();
  auto shares = [&](const Array& v) { return v.eval().value().storage.get() == memory; };

  CHECK(shares(transpose(a)));
  CHECK(transpose(a).shape() == Shape{4, 3, 2});
  CHECK(values(transpose(a, Dims{1, 0, 2})) == Values{0, 1, 2,  3,  12, 13, 14, 15,
                                                      4, 5, 6,  7,  16, 17, 18, 19,
                                                      8, 9, 10, 11, 20, 21, 22, 23});
  CHECK(shares(reshape(a, {6, -1})));
  CHECK_FALSE(shares(reshape(transpose(a), {24})));
  CHECK(shares(flip(a)));
  CHECK(values(flip(a)).front() == 23);
  CHECK(shares(diagonal(a, 0, 1, 2)));
  CHECK(values(diagonal(a, 1, 1, 2)) == Values{1, 6, 11, 13, 18, 23});
  CHECK(values(diagonal(a, -1, 1, 2)) == Values{4, 9, 16, 21});
  CHECK(diagonal(a, 9, 1, 2).shape() == Shape{2, 0});
  CHECK(shares(broadcast_to(a, {5, 2, 3, 4})));
  CHECK(shares(expand_dims(a, {0, -1})));
  CHECK(expand_dims(a, {0, -1}).shape() == Shape{1, 2, 3, 4, 1});
  CHECK(shares(contiguous(a)));
  CHECK_FALSE(shares(contiguous(transpose(a))));
  CHECK(shares(contiguous(transpose(a), true)));
  CHECK_FALSE(shares(copy(a)));
  CHECK(values(copy(flip(a)))[1] == 22);
  CHECK(squeeze(expand_dims(a, {1, 3})).shape() == Shape{2, 3, 4});
  CHECK(flatten(a, 1).shape() == Shape{2, 12});
  CHECK(flatten(literal(1, Dtype::int32)).shape() == Shape{1});
  CHECK(unflatten(a, -1, {2, -1}).shape() == Shape{2, 3, 2, 2});
  CHECK(moveaxis(a, {0}, {-1}).shape() == Shape{3, 4, 2});
  CHECK(swapaxes(a, 0, 2).shape() == Shape{4, 3, 2});
  CHECK(matrix_transpose(a).shape() == Shape{2, 4, 3});
  CHECK(atleast_3d(counted({3})).shape() == Shape{1, 3, 1});
}

TEST_CASE("slices clip as in Python, and count from the end") {
  Array a = counted({10});
  auto part = [&](std::optional<int64_t> start, std::optional<int64_t> stop,
                  std::optional<int64_t> step) {
    IndexItem item = IndexItem::slice(start, stop, step);
    return values(index(a, {&item, 1}));
  };
  CHECK(part({}, {}, {}).size() == 10);
  CHECK(part(2, 5, {}) == Values{2, 3, 4});
  CHECK(part(-3, {}, {}) == Values{7, 8, 9});
  CHECK(part({}, {}, -3) == Values{9, 6, 3, 0});
  CHECK(part(100, 2, -4) == Values{9, 5});
  CHECK(part(-100, 100, 4) == Values{0, 4, 8});
  CHECK(part(5, 2, {}).empty());
  CHECK(part(2, 5, -1).empty());
  CHECK(part({}, {}, INT64_MAX) == Values{0});
  CHECK(part({}, {}, INT64_MIN) == Values{9});
}

TEST_CASE("as_strided is bounded by the array") {
  Array a = counted({6});
  CHECK(values(as_strided(a, Dims{3, 2}, Dims{1, 1})) == Values{0, 1, 1, 2, 2, 3});
  CHECK(values(as_strided(a, Dims{3}, Dims{-2}, 5)) == Values{5, 3, 1});
  CHECK(values(as_strided(transpose(counted({2, 3})), Dims{6}, Dims{1})) ==
        Values{0, 3, 1, 4, 2, 5});
  CHECK(as_strided(a, Dims{0, 9}, Dims{100, 100}).size() == 0);
  CHECK_THROWS_AS(as_strided(a, Dims{3, 3}, Dims{2, 1}), ValueError);
  CHECK_THROWS_AS(as_strided(a, Dims{2}, Dims{-1}, 0), ValueError);
  CHECK_THROWS_AS(as_strided(a, Dims{INT64_MAX}, Dims{INT64_MAX}), ValueError);
}

TEST_CASE("view reads bytes as another dtype") {
  Array a = floats({1.0f, -2.0f});
  CHECK(values(view(a, Dtype::uint32)) == Values{1065353216.0, 3221225472.0});
  CHECK(view(a, Dtype::uint8).shape() == Shape{8});
  CHECK(values(view(view(a, Dtype::uint8), Dtype::float32)) == Values{1, -2});
  CHECK(values(view(flip(a), Dtype::uint16))[1] == 0xc000);
  CHECK(view(counted({2, 6}), Dtype::float64).shape() == Shape{2, 3});
  CHECK_THROWS_AS(view(counted({3}), Dtype::float64), ValueError);
  CHECK_THROWS_AS(view(literal(1, Dtype::int32), Dtype::uint8), ValueError);
}

TEST_CASE("errors say what was asked and found") {
  Array a = counted({2, 6});
  CHECK(message_of<ValueError>([&] { reshape(a, {5}); }) ==
        "reshape: (2, 6) holds 12 elements, which do not fill (5,)");
  CHECK_THROWS_AS(reshape(a, {-1, -1}), ValueError);
  CHECK_THROWS_AS(reshape(a, {-2}), ValueError);
  CHECK_THROWS_AS(reshape(counted({0}), {0, -1}), ValueError);
  CHECK_THROWS_AS(transpose(a, Dims{0, 0}), ValueError);
  CHECK_THROWS_AS(transpose(a, Dims{0}), ValueError);
  CHECK_THROWS_AS(transpose(a, Dims{0, 2}), AxisError);
  CHECK_THROWS_AS(squeeze(a, Dims{0}), ValueError);
  CHECK_THROWS_AS(expand_dims(a, {4}), AxisError);
  CHECK_THROWS_AS(broadcast_to(a, {6}), ValueError);
  CHECK_THROWS_AS(broadcast_to(a, {3, 6}), ValueError);
  CHECK_THROWS_AS(diag(counted({2, 2, 2})), ValueError);
  CHECK_THROWS_AS(diag(counted({2}), INT64_MIN), ValueError);
  CHECK_THROWS_AS(tril(counted({2})), ValueError);
  CHECK_THROWS_AS(roll(a, {1, 2, 3}, Dims{0, 1}), ValueError);
  CHECK_THROWS_AS(meshgrid(std::vector<Array>{a}), ValueError);
  CHECK_THROWS_AS(matrix_transpose(counted({2})), ValueError);
}

TEST_CASE("arrangements by slices and masks") {
  Array a = counted({2, 3});
  CHECK(values(tril(a)) == Values{0, 0, 0, 3, 4, 0});
  CHECK(values(triu(a, 1)) == Values{0, 1, 2, 0, 0, 5});
  CHECK(values(diag(ints({1, 2}), 1)) == Values{0, 1, 0, 0, 0, 2, 0, 0, 0});
  CHECK(values(diag(ints({1, 2}), -1)) == Values{0, 0, 0, 1, 0, 0, 0, 2, 0});
  CHECK(diag(counted({0}), 2).shape() == Shape{2, 2});
  CHECK(values(diag(counted({2, 2}))) == Values{0, 3});
  CHECK(values(roll(a, {1})) == Values{5, 0, 1, 2, 3, 4});
  CHECK(values(roll(a, {-1}, Dims{1})) == Values{1, 2, 0, 4, 5, 3});
  CHECK(values(roll(a, {1, 1}, Dims{0, 1})) == Values{5, 3, 4, 2, 0, 1});
  CHECK(values(roll(a, {INT64_MIN}, Dims{0})) == values(a));
  std::vector<Array> axes{ints({1, 2, 3}), ints({4, 5})};
  auto grids = meshgrid(axes);
  CHECK(values(grids[0]) == Values{1, 2, 3, 1, 2, 3});
  CHECK(values(grids[1]) == Values{4, 4, 4, 5, 5, 5});
  CHECK(meshgrid(axes, true, "ij")[1].shape() == Shape{1, 2});
}

TEST_CASE("numbers made from nothing") {
  CHECK(values(arange(1, 6, 2)) == Values{1, 3, 5});
  CHECK(values(arange(5, 1, -2)) == Values{5, 3});
  CHECK(arange(0, 1, 0.1).size() == 10);
  CHECK(arange(3).dtype() == Dtype::int32);
  CHECK(arange(int64_t{1} << 40, (int64_t{1} << 40) + 2).dtype() == Dtype::int64);
  CHECK(arange(INT64_MIN, INT64_MAX, INT64_MAX).size() == 3);
  CHECK_THROWS_AS(arange(0, 1, 0), ValueError);
  CHECK_THROWS_AS(arange(true), ValueError);
  CHECK_THROWS_AS(arange(0, 1.0 / 0.0), ValueError);
  CHECK_THROWS_AS(arange(INT64_MIN, INT64_MAX), ValueError);
  CHECK(values(linspace(0, 1, 3)) == Values{0, 0.5, 1});
  CHECK(values(linspace(2, 9, 1)) == Values{2});
  CHECK(values(linspace(0, 1, 4, false)) == Values{0, 0.25, 0.5, 0.75});
  CHECK(values(eye(2, 3, 1)) == Values{0, 1, 0, 0, 0, 1});
  CHECK(values(tri(2, 3)) == Values{1, 0, 0, 1, 1, 0});
  CHECK(values(full({2}, 7)) == Values{7, 7});
  CHECK(full({2}, 7).dtype() == Dtype::int32);
  CHECK_THROWS_AS(zeros({-1}), ValueError);
  CHECK(values(hanning(3))[1] == 1);
  CHECK(values(bartlett(5)) == Values{0, 0.5, 1, 0.5, 0});
  CHECK(hamming(0).size() == 0);
  CHECK(values(blackman(1)) == Values{1});
  CHECK(values(astype(floats({1.7f, -1.7f}), Dtype::int8)) == Values{1, -1});
}

TEST_CASE("what a view shows several times adds up in its cotangent") {
  auto grad = [](auto f, const Array& a) {
    return values(pulled_back(
        [&](std::span<const Array> in) { return std::vector<Array>{f(in[0])}; }, {a})[0]);
  };
  CHECK(grad([](const Array& a) { return as_strided(a, Dims{3, 2}, Dims{1, 1}); }, counted({4})) ==
        Values{1, 5, 9, 6});
  CHECK(grad([](const Array& a) { return transpose(a); }, counted({2, 3})) ==
        Values{1, 3, 5, 2, 4, 6});
  CHECK(grad([](const Array& a) { return diagonal(a, 1); }, counted({2, 3})) ==
        Values{0, 1, 0, 0, 0, 2});
  CHECK(grad([](const Array& a) { return diagonal(a, 0, 2, 0); }, counted({2, 1, 2})) ==
        Values{1, 0, 0, 2});
  CHECK(grad([](const Array& a) { return slice(a, {-1, 0}, {kNoBound, 3}, {-1, 2}); },
             counted({2, 3})) == Values{3, 0, 4, 1, 0, 2});
  CHECK(grad([](const Array& a) { return diag(a, -1); }, counted({2})) == Values{4, 8});
  CHECK(grad([](const Array& a) { return roll(a, {1}); }, counted({3})) == Values{2, 3, 1});
  CHECK(grad([](const Array& a) { return triu(a); }, counted({2, 2})) == Values{1, 2, 0, 4});
  CHECK(grad([](const Array& a) { return flip(a); }, counted({3})) == Values{3, 2, 1});
}

TEST_CASE("views batch") {
  auto mapped = [](auto f, const Array& a) {
    std::optional<int> axis = 1;
    return vmap([&](std::span<const Array> in) { return std::vector<Array>{f(in[0])}; }, {&a, 1},
                {&axis, 1}, [](size_t n) { return std::vector<std::optional<int>>(n, 0); })[0];
  };
  Array a = counted({2, 3, 2});  // the middle axis is mapped
  auto by_hand = [&](auto f) {
    Values all;
    for (int64_t i = 0; i < 3; ++i) {
      IndexItem at[] = {IndexItem(), IndexItem(i)};
      for (double v : values(f(index(a, at)))) all.push_back(v);
    }
    return all;
  };
  auto check = [&](auto f) { CHECK(values(mapped(f, a)) == by_hand(f)); };
  check([](const Array& x) { return transpose(x); });
  check([](const Array& x) { return reshape(x, {-1}); });
  check([](const Array& x) { return flatten(x); });
  check([](const Array& x) { return unflatten(x, -1, {1, 2}); });
  check([](const Array& x) { return squeeze(expand_dims(x, {0})); });
  check([](const Array& x) { return broadcast_to(x, {3, 2, 2}); });
  check([](const Array& x) { return as_strided(x, Dims{2, 2}, Dims{1, 2}, 0); });
  check([](const Array& x) { return diagonal(x, 0, -1, 0); });
  check([](const Array& x) { return view(x, Dtype::int32); });
  check([](const Array& x) { return flip(x, Dims{0}); });
  check([](const Array& x) { return slice(x, {1, 0}, {2, 2}); });
  check([](const Array& x) { return tril(x); });
  check([](const Array& x) { return roll(x, {1}, Dims{-1}); });
  check([](const Array& x) { return diag(flatten(x)); });
  check([](const Array& x) { return copy(contiguous(x)); });
  check([](const Array& x) { return astype(x, Dtype::int32); });
}

}  // namespace
}  // namespace legato
