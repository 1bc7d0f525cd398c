// Plans that are kept: graphs of one structure with other sizes and numbers, and graphs that differ
// in one thing only.
#include <doctest/doctest.h>

#include <vector>

#include "arrays.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/reduce/reduce.h"
#include "legato/ops/shape/shape.h"
#include "legato/runtime/evaluator.h"

using namespace legato;

namespace {

Array filled(std::vector<float> v, const Shape& shape) { return Array::from<float>(v, shape); }

int64_t programs_of(const Array& y) {
  const EvalCounts before = eval_counts();
  y.eval();
  return eval_counts().programs - before.programs;
}

float first(const Array& a) { return a.data<float>()[0]; }

}  // namespace

TEST_CASE("a value that many members of a group read counts as one operand") {
  const Array x = filled({1, 2}, {2}), y = filled({3, 4}, {2});
  Array z = x;
  for (int i = 0; i < 60; ++i) z = add(z, y);
  CHECK(programs_of(z) == 1);
  CHECK(first(z) == 181);
  // Where operands are others each time, sixteen are a program's share.
  std::vector<Array> each;
  for (int i = 0; i < 60; ++i) each.push_back(filled({static_cast<float>(i), 0}, {2}));
  Array sum = x;
  for (const Array& a : each) sum = add(sum, a);
  CHECK(programs_of(sum) == 4);
  CHECK(first(sum) == 1771);
}

TEST_CASE("halves and mixed dtypes leave room for conversions") {
  const Array x = filled({1, 2}, {2});
  Array h = astype(x, Dtype::float16), z = h;
  for (int i = 0; i < 100; ++i) z = add(multiply(astype(z, Dtype::float32), 0.5f), h);
  CHECK(first(astype(z, Dtype::float32)) == doctest::Approx(2).epsilon(1e-3));
}

TEST_CASE("a graph that comes again has other sizes and numbers") {
  for (int round = 0; round < 6; ++round) {
    const int64_t n = round + 1;
    const Array x = filled(std::vector<float>(static_cast<size_t>(n), 2.0f), {n});
    const Array held = multiply(x, static_cast<float>(round));
    const Array y = sum(add(multiply(held, held), 1.0f + static_cast<float>(round)));
    CHECK(y.item<float>() == static_cast<float>(n) * (4.0f * static_cast<float>(round * round) + 1 +
                                                      static_cast<float>(round)));
    CHECK(first(held) == 2.0f * static_cast<float>(round));
  }
}

TEST_CASE("graphs that differ in one thing have plans of their own") {
  const Array x = filled({1, 2, 3, 4}, {2, 2}), row = filled({1, 2}, {2});
  for (int round = 0; round < 4; ++round) {
    Array mid = add(x, x);
    Array y = multiply(mid, mid);
    CHECK(programs_of(y) == 1);
    CHECK(mid.node()->is_done());  // held
    mid = Array();
    y = multiply(add(x, x), add(x, x));
    CHECK(programs_of(y) == 1);
    CHECK(first(y) == 4);
    mid = add(x, x);
    CHECK(first(multiply(mid, 1.0f)) == 2);
    // Another shape in the middle, another dtype, another function, another order of operands.
    y = multiply(add(row, row), add(x, x));
    CHECK(programs_of(y) == 2);
    CHECK(first(y) == 4);
    y = subtract(add(x, 1.0f), multiply(x, x));
    CHECK(first(y) == 1);
    y = subtract(multiply(x, x), add(x, 1.0f));
    CHECK(first(y) == -1);
    const Array i = astype(x, Dtype::int32);
    CHECK(multiply(add(i, i), add(i, i)).data<int32_t>()[3] == 64);
    // A kernel between instead of a view.
    CHECK(first(add(transpose(add(x, x)), 1.0f)) == 3);
    CHECK(first(add(sum(add(x, x), Dims{0}), 1.0f)) == 9);
  }
}

TEST_CASE("the same nodes on another stream, and with fusion off") {
  const Array x = filled({1, 2}, {2});
  for (int round = 0; round < 4; ++round) {
    const bool before = set_fusion(round % 2 == 0);
    const Array y = multiply(add(x, 1.0f), add(x, 2.0f));
    CHECK(programs_of(y) == (round % 2 == 0 ? 1 : 3));
    CHECK(first(y) == 6);
    set_fusion(before);
  }
}
