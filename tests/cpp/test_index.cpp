// Indexing, gather and scatter, masks: what is selected and replaced, and what is refused.
#include <doctest/doctest.h>

#include "legato/base/error.h"
#include "legato/base/thread_pool.h"
#include "legato/ops/index/index.h"
#include "legato/ops/index/slice.h"
#include "tests/cpp/arrays.h"

namespace legato {
namespace {

using namespace testing;
using Items = std::vector<IndexItem>;

const IndexItem kAll;
const IndexItem kDots = IndexItem::ellipsis();
const IndexItem kNew = IndexItem::newaxis();

TEST_CASE("numbers, slices, None and dots select without a copy") {
  Array a = counted({2, 3, 4}).eval();
  auto at = [&](Items items) { return index(a, items); };
  CHECK(at({1}).shape() == Shape{3, 4});
  CHECK(values(at({-1, 0})) == Values{12, 13, 14, 15});
  CHECK(at({1, 2, 3}).shape() == Shape{});
  CHECK(values(at({kDots, 0})) == Values{0, 4, 8, 12, 16, 20});
  CHECK(at({kNew, kDots, kNew}).shape() == Shape{1, 2, 3, 4, 1});
  CHECK(at({0, kNew, kAll, 1}).shape() == Shape{1, 3});
  CHECK(values(at({0, IndexItem::slice({}, {}, -2), 1})) == Values{9, 1});
  CHECK(at({1, kDots}).eval().value().storage == a.value().storage);
  CHECK_THROWS_AS(at({2}), IndexError);
  CHECK_THROWS_AS(at({0, -4}), IndexError);
  CHECK_THROWS_AS(at({0, 0, 0, 0}), AxisError);
  CHECK_THROWS_AS(at({kDots, kDots}), IndexError);
  CHECK_THROWS_AS(at({IndexItem::slice({}, {}, 0)}), ValueError);
  CHECK_THROWS_AS(index(literal(1, Dtype::int32), Items{0}), AxisError);
}

TEST_CASE("index arrays broadcast, and stand where NumPy puts them") {
  Array a = counted({2, 3, 4});
  auto at = [&](Items items) { return index(a, items); };
  CHECK(values(at({ints({1, 0}), 0, 0})) == Values{12, 0});
  CHECK(at({kAll, ints({0, 1})}).shape() == Shape{2, 2, 4});
  CHECK(at({kAll, ints({0, 1, 1, 0}, {2, 2})}).shape() == Shape{2, 2, 2, 4});
  CHECK(at({kAll, ints({0, 1}), ints({0, 1})}).shape() == Shape{2, 2});
  CHECK(at({ints({0, 1, 1}), kAll, ints({0, 1, 0})}).shape() == Shape{3, 3});
  CHECK(at({0, kAll, ints({0, 1})}).shape() == Shape{2, 3});  // separated: in front
  CHECK(at({kAll, 0, ints({0, 1})}).shape() == Shape{2, 2});  // neighbours: in place
  CHECK(at({kAll, ints({0, 1}), kNew, ints({0, 1})}).shape() == Shape{2, 2, 1});
  CHECK(at({kAll, ints({0, 1}), kDots, ints({0, 1})}).shape() == Shape{2, 2});
  CHECK(values(at({kAll, ints({-1}), ints({0, 3})})) == Values{8, 11, 20, 23});
  CHECK(values(at({ints({0, 1}, {2, 1}), ints({0, 2}), 0})) == Values{0, 8, 12, 20});
  CHECK(values(at({kDots, IndexItem::slice({}, {}, -1), ints({1, 1})})) ==
        Values{9, 9, 5, 5, 1, 1, 21, 21, 17, 17, 13, 13});
  CHECK(at({ints({}, {0})}).shape() == Shape{0, 3, 4});
  CHECK(values(take(a, ints({2, 0}), 1)) ==
        Values{8, 9, 10, 11, 0, 1, 2, 3, 20, 21, 22, 23, 12, 13, 14, 15});
  CHECK(values(take(a, ints({23, -24}))) == Values{23, 0});
  CHECK(values(take(a, -1, 2)) == Values{3, 7, 11, 15, 19, 23});
  CHECK_THROWS_AS(at({floats({1})}), IndexError);
  CHECK_THROWS_AS(at({ints({0, 1}), ints({0, 1, 2})}), ValueError);
}

TEST_CASE("every integer dtype can index, in range only") {
  Array a = counted({200, 3});
  for (Dtype t : {Dtype::uint8, Dtype::uint16, Dtype::uint32, Dtype::uint64, Dtype::int8,
                  Dtype::int16, Dtype::int32, Dtype::int64}) {
    CAPTURE(name_of(t));
    CHECK(values(take(a, astype(ints({2, 0}), t), 0)) == Values{6, 7, 8, 0, 1, 2});
    if (is_signed_integer(t))
      CHECK(values(take(a, astype(ints({-1}), t), 0)) == Values{597, 598, 599});
  }
  auto fails = [](const Array& r) { CHECK_THROWS_AS(r.eval(), IndexError); };
  fails(take(a, ints({0, 200}), 0));
  fails(take(a, ints({-201}), 0));
  fails(take(a, Array(Scalar(UINT64_MAX), Dtype::uint64), 0));
  fails(take(a, Array(Scalar(INT64_MIN), Dtype::int64), 0));
  fails(take(zeros({0, 3}), ints({0}), 0));
  fails(take_along_axis(a, ints({0, 0, 3}, {1, 3}), 1));
  fails(scatter(a, std::vector<Array>{ints({200})}, {0}, 0, zeros({3}), UpdateMode::add));
  fails(dynamic_slice(a, ints({199}), {0}, {2}));
  fails(dynamic_slice_update(a, zeros({2, 3}), ints({-201}), {0}));
  try {
    take(a, ints({0, -201}), 0).eval();
  } catch (const IndexError& e) {
    CHECK(std::string(e.what()) == "gather: index -201 is out of range for axis 0 of size 200");
  }
}

TEST_CASE("gather reads any layout, and rows, columns and middles") {
  Array a = counted({3, 4, 5});
  Array b = transpose(a);  // (5, 4, 3)
  std::vector<Array> i{ints({1, 0, 1})};
  auto by_hand = [](const Array& x, int64_t axis, const std::vector<int64_t>& at) {
    Values all;
    const Shape& s = x.shape();
    Values v = values(x);
    for (int64_t o = 0; o < (axis == 0 ? 1 : axis == 1 ? s[0] : s[0] * s[1]); ++o)
      for (int64_t k : at) {
        int64_t inner = axis == 0 ? s[1] * s[2] : axis == 1 ? s[2] : 1;
        for (int64_t j = 0; j < inner; ++j) all.push_back(v[(o * s[axis] + k) * inner + j]);
      }
    return all;
  };
  for (const Array& x :
       {a, b, transpose(flip(a), Dims{1, 0, 2}), broadcast_to(counted({5}), {3, 4, 5})})
    for (int64_t axis = 0; axis < 3; ++axis)
      CHECK(values(gather(x, i, {axis}, axis)) == by_hand(x, axis, {1, 0, 1}));
}

TEST_CASE("assignment replaces, .at accumulates") {
  Array a = counted({2, 3});
  auto set = [&](Items items, const Array& v, UpdateMode m = UpdateMode::set) {
    return values(index_update(a, items, v, m));
  };
  Array nine = literal(9, Dtype::int32);
  CHECK(set({0}, nine) == Values{9, 9, 9, 3, 4, 5});
  CHECK(set({kDots, 1}, ints({7, 8})) == Values{0, 7, 2, 3, 8, 5});
  CHECK(set({kAll, IndexItem::slice({}, {}, -2)}, ints({1, 2})) == Values{2, 1, 1, 2, 4, 1});
  CHECK(set({kDots}, nine) == Values{9, 9, 9, 9, 9, 9});
  CHECK(set({0, kNew}, ints({7, 8, 9}, {1, 1, 1, 3})) == Values{7, 8, 9, 3, 4, 5});
  CHECK(set({1, 1}, floats({9.5f})) == Values{0, 1, 2, 3, 9.5, 5});
  CHECK(set({kAll, ints({2, 0})}, ints({7, 8})) == Values{8, 1, 7, 8, 4, 7});
  CHECK(set({0, ints({0, 0})}, ints({7, 8})) == Values{8, 1, 2, 3, 4, 5});  // the last one wins
  CHECK(set({0, ints({0, 0})}, ints({7, 8}), UpdateMode::add) == Values{15, 1, 2, 3, 4, 5});
  CHECK(set({ints({0, 0, 1})}, ints({1, 2, 3}), UpdateMode::multiply) ==
        Values{0, 4, 18, 3, 8, 15});
  CHECK(set({kAll, ints({1, 1})}, ints({2, 2}), UpdateMode::divide) == Values{0, 0.25, 2, 3, 1, 5});
  CHECK(set({ints({0, 1})}, ints({2}), UpdateMode::maximum) == Values{2, 2, 2, 3, 4, 5});
  CHECK(set({ints({0, 1})}, ints({2}), UpdateMode::minimum) == Values{0, 1, 2, 2, 2, 2});
  CHECK(set({0}, ints({2}), UpdateMode::add) == Values{2, 3, 4, 3, 4, 5});
  CHECK(set({0, kNew, ints({1})}, ints({9})) == Values{0, 9, 2, 3, 4, 5});
  CHECK_THROWS_AS(set({0}, ints({1, 2})), ValueError);
  CHECK_THROWS_AS(set({0}, ints({1, 2, 3, 4, 5, 6}, {2, 3})), ValueError);
  CHECK_THROWS_AS(set({5}, nine), IndexError);

  // In integers: wraps, and division never stops the process.
  Array bytes = astype(ints({100, -128, 7}), Dtype::int8);
  auto on_bytes = [&](const Array& v, UpdateMode m) {
    return values(index_update(bytes, Items{ints({0, 1, 2})}, v, m));
  };
  CHECK(on_bytes(ints({100, -1, 1}), UpdateMode::add) == Values{-56, 127, 8});
  CHECK(on_bytes(ints({-1, -1, 0}), UpdateMode::divide) == Values{-100, -128, 0});
}

TEST_CASE("sums of many halves do not stick") {
  std::vector<int32_t> zero(5000, 0);
  for (Dtype t : {Dtype::float16, Dtype::bfloat16}) {
    Array r = index_update(zeros({2}, t), Items{ints(zero)}, ones({1}, t), UpdateMode::add);
    CHECK(values(r)[0] == values(astype(full({}, 5000.0), t))[0]);
    CHECK(r.dtype() == t);
  }
}

TEST_CASE("masks select and assign") {
  Array a = counted({2, 3});
  Array mask = bools({1, 0, 1, 0, 0, 1}, {2, 3});
  CHECK(values(index(a, Items{mask})) == Values{0, 2, 5});
  CHECK(values(index(a, Items{bools({0, 1})})) == Values{3, 4, 5});
  CHECK(values(index(a, Items{kAll, bools({1, 0, 1})})) == Values{0, 2, 3, 5});
  CHECK(values(index(a, Items{bools({1, 1}), ints({0, 2})})) == Values{0, 5});
  CHECK_THROWS_AS(index(a, Items{bools({1}, Shape{1, 1})}), IndexError);
  CHECK(values(index_update(a, Items{mask}, ints({9}))) == Values{9, 1, 9, 3, 4, 9});
  CHECK(values(index_update(a, Items{mask}, ints({7, 8, 9, 10}))) == Values{7, 1, 8, 3, 4, 9});
  CHECK(values(index_update(a, Items{mask}, ints({7, 8, 9}), UpdateMode::add)) ==
        Values{7, 1, 10, 3, 4, 14});
  CHECK(values(index_update(a, Items{bools({0, 1})}, ints({7, 8, 9}))) == Values{0, 1, 2, 7, 8, 9});
  CHECK(values(index_update(a, Items{bools({1, 1})}, ints({6, 5, 4, 3, 2, 1}, {2, 3}))) ==
        Values{6, 5, 4, 3, 2, 1});
  CHECK(values(index_update(a, Items{kAll, bools({1, 0, 1})}, ints({9}))) ==
        Values{9, 1, 9, 9, 4, 9});
  CHECK_THROWS_AS(index_update(a, Items{mask}, ints({7, 8})).eval(), ValueError);
  CHECK_THROWS_AS(index_update(a, Items{bools({1, 0, 1})}, ints({9})), IndexError);
  auto where = nonzero(mask);
  CHECK(values(where[0]) == Values{0, 0, 1});
  CHECK(values(where[1]) == Values{0, 2, 2});
  CHECK(values(masked_select(a, mask, 2)) == Values{0, 2});
  CHECK(values(masked_select(a, bools({0, 1}), 2)) == Values{3, 4, 5, 0, 0, 0});
}

TEST_CASE("dynamic slices begin where an array says") {
  Array a = counted({3, 4});
  CHECK(values(dynamic_slice(a, ints({1, 2}), {0, 1}, {2, 2})) == Values{6, 7, 10, 11});
  CHECK(values(dynamic_slice(a, ints({1}), {1}, {2, 2})) == Values{1, 2, 5, 6});
  CHECK(values(dynamic_slice(a, ints({-1}), {0}, {1})) == Values{8, 9, 10, 11});
  CHECK(values(dynamic_slice_update(a, ints({9, 8}, {1, 2}), ints({2, 0}), {0, 1})) ==
        Values{0, 1, 2, 3, 4, 5, 6, 7, 9, 8, 10, 11});
  CHECK(values(dynamic_slice_update(a, ints({9, 8}), ints({1}), {0})) ==
        Values{0, 1, 2, 3, 9, 8, 6, 7, 8, 9, 10, 11});
  CHECK_THROWS_AS(dynamic_slice(a, ints({0}), {0}, {4}), ValueError);
  CHECK_THROWS_AS(dynamic_slice(a, ints({0, 1}), {0}, {1}), ValueError);
  CHECK_THROWS_AS(dynamic_slice(a, floats({0}), {0}, {1}), ValueError);
}

TEST_CASE("a scatter is the same on every number of threads") {
  int before = num_threads();
  auto run = [&](int threads, auto make) {
    set_num_threads(threads);
    Values v = values(make());
    set_num_threads(before);
    return v;
  };
  // Pseudo-random places with many repeats, and values whose sum depends on the order.
  constexpr int64_t n = 60000;
  std::vector<int32_t> place(n);
  std::vector<float> value(n * 16);
  uint32_t state = 1;
  auto next = [&] { return state = state * 1664525u + 1013904223u, state >> 8; };
  for (auto& p : place) p = static_cast<int32_t>(next() % 997);
  for (auto& v : value) v = static_cast<float>(next()) * 1e-3f;
  Array i = ints(place);
  auto bucketed = [&] {
    return scatter(zeros({997}), std::vector<Array>{i}, {0}, 0,
                   Array::from<float>({value.data(), n}, {n}), UpdateMode::add);
  };
  auto wide = [&] {
    return scatter(zeros({997, 16}), std::vector<Array>{i}, {0}, 0, floats(value, {n, 16}),
                   UpdateMode::add);
  };
  auto last = [&] {
    return scatter(zeros({997}), std::vector<Array>{i}, {0}, 0,
                   Array::from<float>({value.data(), n}, {n}), UpdateMode::set);
  };
  auto along = [&] {
    return put_along_axis(zeros({2, 997}), reshape(i, {2, n / 2}),
                          Array::from<float>({value.data(), n}, {2, n / 2}), 1, UpdateMode::add);
  };
  CHECK(run(1, bucketed) == run(3, bucketed));
  CHECK(run(1, wide) == run(2, wide));
  CHECK(run(1, last) == run(3, last));
  CHECK(run(1, along) == run(3, along));
  std::vector<float> expected(997);
  for (int64_t k = 0; k < n; ++k) expected[place[k]] += value[k];
  CHECK(run(3, bucketed) == Values(expected.begin(), expected.end()));
}

TEST_CASE("along an axis") {
  Array a = ints({3, 1, 2, 6, 5, 4}, {2, 3});
  CHECK(values(take_along_axis(a, ints({1, 2, 0, 2, 1, 0}, {2, 3}))) == Values{1, 2, 3, 4, 5, 6});
  CHECK(values(take_along_axis(a, ints({1}, {1, 1}), 0)) == Values{6, 5, 4});
  CHECK(values(take_along_axis(transpose(a), ints({-1, 0, 0}, {3, 1}), 1)) == Values{6, 1, 2});
  CHECK(values(put_along_axis(a, ints({1, 0}, {2, 1}), ints({9}), 1)) == Values{3, 9, 2, 9, 5, 4});
  CHECK(values(put_along_axis(a, ints({5, 0}), ints({7, 8}))) == Values{8, 1, 2, 6, 5, 7});
  CHECK_THROWS_AS(take_along_axis(a, ints({0})), ValueError);
}

Values slope(const ArrayFn& f, const std::vector<Array>& primals, size_t i) {
  return values(pulled_back(f, primals)[i]);
}

/// Tangent of f by its jvp, contracted with 1, 2, 3, ...: must equal what its vjp gives.
double both_ways(const ArrayFn& f, const std::vector<Array>& primals,
                 const std::vector<Array>& tangents) {
  Values t = values(jvp(f, primals, tangents).second[0]);
  double forward = 0, reverse = 0;
  for (size_t k = 0; k < t.size(); ++k) forward += t[k] * static_cast<double>(k + 1);
  auto ct = pulled_back(f, primals);
  for (size_t i = 0; i < primals.size(); ++i) {
    Values c = values(ct[i]), v = values(tangents[i]);
    for (size_t k = 0; k < c.size(); ++k) reverse += c[k] * v[k];
  }
  return forward - reverse;
}

TEST_CASE("derivatives of gather and of every mode of scatter") {
  Array a = floats({2, -3, 5, 7}), u = floats({3, 4, 0.5f});
  Array i = ints({1, 1, 3});
  auto update = [&](UpdateMode m) {
    return ArrayFn([=](std::span<const Array> in) {
      return std::vector<Array>{index_update(in[0], Items{i}, in[1], m)};
    });
  };
  CHECK(slope([&](auto in) { return std::vector<Array>{take(in[0], i, 0)}; }, {a}, 0) ==
        Values{0, 3, 0, 3});
  CHECK(slope(update(UpdateMode::set), {a, u}, 0) == Values{1, 0, 3, 0});
  CHECK(slope(update(UpdateMode::set), {a, u}, 1) == Values{0, 2, 4});  // the first was overwritten
  CHECK(slope(update(UpdateMode::add), {a, u}, 1) == Values{2, 2, 4});
  CHECK(slope(update(UpdateMode::multiply), {a, u}, 0) == Values{1, 24, 3, 2});
  CHECK(slope(update(UpdateMode::multiply), {a, u}, 1) == Values{-24, -18, 28});
  CHECK(slope(update(UpdateMode::multiply), {a, floats({0, 4, 0.5f})}, 1) == Values{-24, 0, 28});
  CHECK(slope(update(UpdateMode::divide), {a, floats({2, 4, 0.5f})}, 0) == Values{1, 0.25, 3, 8});
  CHECK(slope(update(UpdateMode::divide), {a, floats({2, 4, 0.5f})}, 1) ==
        Values{0.375, 0.1875, -112});
  CHECK(slope(update(UpdateMode::maximum), {a, floats({4, 4, 0.5f})}, 1) == Values{1, 1, 0});
  CHECK(slope(update(UpdateMode::minimum), {a, u}, 0) == Values{1, 2, 3, 0});
  Array ta = floats({1, 2, 3, 4}), tu = floats({-1, 2, 0.5f});
  for (auto m : {UpdateMode::set, UpdateMode::add, UpdateMode::multiply, UpdateMode::divide,
                 UpdateMode::maximum, UpdateMode::minimum})
    CHECK(both_ways(update(m), {a, u}, {ta, tu}) == doctest::Approx(0).epsilon(1e-5));

  Array mask = bools({1, 0, 1, 0});
  ArrayFn masked = [&](std::span<const Array> in) {
    return std::vector<Array>{index_update(in[0], Items{mask}, in[1])};
  };
  CHECK(slope(masked, {a, u}, 0) == Values{0, 2, 0, 4});
  CHECK(slope(masked, {a, u}, 1) == Values{1, 3, 0});
  CHECK(both_ways(masked, {a, u}, {ta, tu}) == 0);
  CHECK(slope([&](auto in) { return std::vector<Array>{masked_select(in[0], mask, 3)}; }, {a}, 0) ==
        Values{1, 0, 2, 0});
  ArrayFn part = [&](std::span<const Array> in) {
    return std::vector<Array>{dynamic_slice_update(in[0], in[1], ints({1}), {0})};
  };
  CHECK(slope(part, {a, u}, 0) == Values{1, 0, 0, 0});
  CHECK(slope(part, {a, u}, 1) == Values{2, 3, 4});
  CHECK(slope([](auto in) { return std::vector<Array>{dynamic_slice(in[0], ints({2}), {0}, {2})}; },
              {a}, 0) == Values{0, 0, 1, 2});
  ArrayFn along = [&](std::span<const Array> in) {
    return std::vector<Array>{put_along_axis(in[0], i, in[1], 0)};
  };
  CHECK(slope(along, {a, u}, 1) == Values{0, 2, 4});
  CHECK(slope([&](auto in) { return std::vector<Array>{take_along_axis(in[0], i, 0)}; }, {a}, 0) ==
        Values{0, 3, 0, 3});
}

TEST_CASE("indexing batches over arrays and over indices") {
  Array a = counted({3, 4, 2}), b = counted({3, 2, 2});
  Array i = ints({0, 3, 1, 2, 2, -1}, {3, 2});
  auto zero = [](size_t n) { return std::vector<std::optional<int>>(n, 0); };
  // f of each (a[k], b[k], i[k]), or of the whole where not batched, must be row k of the mapped
  // one.
  auto check = [&](auto f, std::vector<bool> batched) {
    std::vector<Array> given{batched[0] ? a : index(a, Items{0}),
                             batched[1] ? b : index(b, Items{0}),
                             batched[2] ? i : index(i, Items{0})};
    std::vector<std::optional<int>> axes;
    for (bool x : batched) axes.push_back(x ? std::optional<int>(0) : std::nullopt);
    Array all =
        vmap([&](std::span<const Array> in) { return std::vector<Array>{f(in[0], in[1], in[2])}; },
             given, axes, zero)[0];
    for (int64_t k = 0; k < 3; ++k) {
      auto row = [&](int n) { return batched[n] ? index(given[n], Items{k}) : given[n]; };
      CHECK(values(index(all, Items{k})) == values(f(row(0), row(1), row(2))));
    }
  };
  for (std::vector<bool> batched : {std::vector<bool>{true, false, false},
                                    {false, false, true},
                                    {true, true, true},
                                    {true, false, true},
                                    {false, true, true}}) {
    CAPTURE(batched[0]);
    CAPTURE(batched[1]);
    CAPTURE(batched[2]);
    check([](const Array& a, const Array& b,
             const Array& i) { return index_update(take(a, i, 0), Items{0}, index(b, Items{1})); },
          batched);
    check([](const Array& a, const Array&,
             const Array& i) { return index(a, Items{reshape(i, {2, 1}), ints({0, 1})}); },
          batched);
    check([](const Array& a, const Array&,
             const Array& i) { return index(transpose(a), Items{kAll, i}); },
          batched);
    check([](const Array& a, const Array& b,
             const Array& i) { return index_update(a, Items{i}, b, UpdateMode::add); },
          batched);
    check([](const Array& a, const Array& b,
             const Array& i) { return index_update(transpose(a), Items{kAll, i}, b); },
          batched);
    check([](const Array& a, const Array&,
             const Array& i) { return take_along_axis(a, reshape(i, {2, 1}), 0); },
          batched);
    check(
        [](const Array& a, const Array& b, const Array& i) {
          return put_along_axis(a, broadcast_to(reshape(i, {2, 1}), {2, 2}), b, 0);
        },
        batched);
    check([](const Array& a, const Array&,
             const Array& i) { return dynamic_slice(a, slice(i, {0}, {1}), {0}, {1}); },
          batched);
    check(
        [](const Array& a, const Array& b, const Array& i) {
          Array start = index(i, Items{IndexItem::slice({}, 1)});
          return dynamic_slice_update(transpose(a), slice(b, {0, 0}, {2, 1}), start, {1});
        },
        batched);
  }
  Array mask = bools({1, 0, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0}, {3, 4});
  std::vector<Array> given{a, mask, b};
  std::vector<std::optional<int>> axes{0, 0, 0};
  Array picked = vmap(
      [](std::span<const Array> in) { return std::vector<Array>{masked_select(in[0], in[1], 2)}; },
      {given.data(), 2}, {axes.data(), 2}, zero)[0];
  for (int64_t k = 0; k < 3; ++k)
    CHECK(values(index(picked, Items{k})) ==
          values(masked_select(index(a, Items{k}), index(mask, Items{k}), 2)));
}

}  // namespace
}  // namespace legato
