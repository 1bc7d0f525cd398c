// Transforms alone, nested in every order, and what they promise about values, errors and custom
// rules.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "legato/base/error.h"
#include "legato/ops/matmul/matmul.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/reduce/reduce.h"
#include "legato/ops/shape/shape.h"
#include "legato/runtime/evaluator.h"
#include "legato/transform/transform.h"

using namespace legato;

namespace {

using Values = std::vector<Array>;
using In = std::span<const Array>;

Array vec(std::vector<float> v) { return Array::from<float>(v, {static_cast<int64_t>(v.size())}); }
Array scalar(float v) { return Array(Scalar(v)); }

std::vector<float> values(const Array& a) {
  const float* p = a.data<float>();
  return {p, p + a.size()};
}

bool close(const Array& a, std::vector<float> expected) {
  std::vector<float> got = values(a);
  if (got.size() != expected.size()) return false;
  for (size_t i = 0; i < got.size(); ++i)
    if (!(std::fabs(got[i] - expected[i]) <= 1e-5f * (1 + std::fabs(expected[i])))) return false;
  return true;
}

// sum(x * sin(x)), with first derivative sin x + x cos x and second 2 cos x - x sin x.
Values f(In in) { return {sum(in[0] * sin(in[0]))}; }
std::vector<float> map(const std::vector<float>& x, float (*g)(float)) {
  std::vector<float> out;
  for (float v : x) out.push_back(g(v));
  return out;
}
float first(float v) { return std::sin(v) + v * std::cos(v); }
float second(float v) { return 2 * std::cos(v) - v * std::sin(v); }

ArrayFn grad(ArrayFn g) {
  return [g](In in) { return vjp(g, in, Values{scalar(1)}).second; };
}
Values map_rows(const ArrayFn& g, In in) {
  std::vector<std::optional<int>> axes(in.size(), 0);
  return vmap(g, in, axes, [](size_t n) { return std::vector<std::optional<int>>(n, 0); });
}
Values compiled(const ArrayFn& g, In in) { return call_compiled(trace(g, in, false), in); }

const std::vector<float> kX = {0.1f, 0.7f, -1.2f};

}  // namespace

TEST_CASE("reverse mode, forward mode, and one over the other") {
  Array x = vec(kX), ones = vec({1, 1, 1});
  CHECK(close(grad(f)(Values{x})[0], map(kX, first)));
  CHECK(close(jvp(f, Values{x}, Values{vec({1, 0, 0})}).second[0], {first(kX[0])}));
  CHECK(close(jvp(grad(f), Values{x}, Values{ones}).second[0], map(kX, second)));
  ArrayFn sum_of_grad = [](In in) { return Values{sum(grad(f)(in)[0])}; };
  CHECK(close(grad(sum_of_grad)(Values{x})[0], map(kX, second)));
  ArrayFn pushed = [&](In in) { return jvp(f, in, Values{ones}).second; };
  CHECK(close(grad(pushed)(Values{x})[0], map(kX, second)));
}

TEST_CASE("vmap around and inside the others") {
  std::vector<float> flat = {0.1f, 0.7f, -1.2f, 2, 3, 4};
  Array rows = Array::from<float>(flat, {2, 3});
  CHECK(close(map_rows(grad(f), Values{rows})[0], map(flat, first)));
  ArrayFn total = [](In in) { return Values{sum(map_rows(f, in)[0])}; };
  CHECK(close(grad(total)(Values{rows})[0], map(flat, first)));
  ArrayFn hessian_diagonal = [](In in) { return jvp(grad(f), in, Values{in[0] * 0 + 1}).second; };
  CHECK(close(map_rows(hessian_diagonal, Values{rows})[0], map(flat, second)));
  // A matrix of products by two nested maps.
  ArrayFn product = [](In in) { return Values{in[0] * in[1]}; };
  ArrayFn row = [&](In in) {
    std::vector<std::optional<int>> axes{std::nullopt, 0};
    return vmap(product, in, axes, [](size_t n) { return std::vector<std::optional<int>>(n, 0); });
  };
  std::vector<std::optional<int>> axes{0, std::nullopt};
  Values table = vmap(row, Values{vec({1, 2}), vec({10, 20, 30})}, axes,
                      [](size_t n) { return std::vector<std::optional<int>>(n, 1); });
  CHECK(table[0].shape() == Shape{3, 2});
  CHECK(close(table[0], {10, 20, 20, 40, 30, 60}));
}

TEST_CASE("compile around and inside the others") {
  Array x = vec(kX);
  CHECK(close(compiled(f, Values{x})[0], values(f(Values{x})[0])));
  CHECK(close(compiled(grad(f), Values{x})[0], map(kX, first)));
  ArrayFn inner = [](In in) { return compiled(f, in); };
  CHECK(close(grad(inner)(Values{x})[0], map(kX, first)));
  CHECK(close(grad([&](In in) { return Values{sum(grad(inner)(in)[0])}; })(Values{x})[0],
              map(kX, second)));
  Array rows = Array::from<float>(std::vector<float>{0.1f, 0.7f, -1.2f, 2, 3, 4}, {2, 3});
  CHECK(close(map_rows(inner, Values{rows})[0], values(map_rows(f, Values{rows})[0])));
  // f runs once; later calls run its graph.
  int runs = 0;
  ArrayFn counted = [&](In in) {
    ++runs;
    return f(in);
  };
  auto traced = trace(counted, Values{x}, false);
  for (float scale : {1.0f, 2.0f, 3.0f}) {
    Array y = x * scale;
    CHECK(close(call_compiled(traced, Values{y})[0], values(f(Values{y})[0])));
  }
  CHECK(runs == 1);
}

TEST_CASE("a shapeless compiled function takes other sizes without running f again") {
  int runs = 0;
  ArrayFn g = [&](In in) {
    ++runs;
    return Values{sum(in[0] * 2.0f, Axes(Dims{-1})), in[0] + 1};
  };
  auto traced = trace(g, Values{vec({1, 2})}, true);
  Values out = call_compiled(traced, Values{vec({1, 2, 3, 4})});
  CHECK(close(out[0], {20}));
  CHECK(close(out[1], {2, 3, 4, 5}));
  CHECK(runs == 1);
}

TEST_CASE("values may be read inside grad, where they are constants") {
  ArrayFn g = [](In in) {
    float v = in[0].item<float>();
    return Values{in[0] * v};
  };
  CHECK(close(grad(g)(Values{scalar(3)})[0], {3}));
  ArrayFn branch = [](In in) {
    Array y = in[0] * in[0];
    y.eval();  // evaluated nodes keep their inputs until the capture closes
    return Values{y.item<float>() > 1 ? y * in[0] : y};
  };
  CHECK(close(grad(branch)(Values{scalar(2)})[0], {12}));
  CHECK(close(grad(branch)(Values{scalar(0.5f)})[0], {1}));
}

TEST_CASE("reading a value inside vmap or compile raises and names the transform") {
  ArrayFn reads = [](In in) {
    in[0].eval();
    return Values{in[0]};
  };
  CHECK_THROWS_WITH_AS(map_rows(reads, Values{vec({1, 2})}), doctest::Contains("inside vmap"),
                       TransformError);
  CHECK_THROWS_WITH_AS(trace(reads, Values{vec({1, 2})}, false),
                       doctest::Contains("inside compile"), TransformError);
  // An array that leaked raises too, and everything else goes on.
  Array leaked;
  ArrayFn leaks = [&](In in) {
    leaked = in[0] + 1;
    return Values{in[0]};
  };
  CHECK(close(map_rows(leaks, Values{vec({1, 2})})[0], {1, 2}));
  CHECK_THROWS_WITH_AS(leaked.eval(), doctest::Contains("kept after it ended"), TransformError);
  CHECK(close(vec({1, 2}) + 1, {2, 3}));
}

TEST_CASE("an exception inside a transformed function passes through and leaves nothing behind") {
  ArrayFn fails = [](In) -> Values { throw ValueError("mine"); };
  CHECK_THROWS_WITH_AS(grad(fails)(Values{scalar(1)}), "mine", ValueError);
  CHECK_THROWS_WITH_AS(map_rows(fails, Values{vec({1})}), "mine", ValueError);
  CHECK_THROWS_WITH_AS(trace(fails, Values{scalar(1)}, false), "mine", ValueError);
  CHECK(close(grad(f)(Values{vec(kX)})[0], map(kX, first)));
}

TEST_CASE("wrong shapes of cotangents, tangents and mapped axes are named") {
  Array x = vec(kX);
  CHECK_THROWS_WITH_AS(vjp(f, Values{x}, Values{x}), doctest::Contains("has shape (3,)"),
                       ValueError);
  CHECK_THROWS_WITH_AS(jvp(f, Values{x}, Values{}), doctest::Contains("0 tangents"), ValueError);
  ArrayFn plus = [](In in) { return Values{in[0] + in[1]}; };
  CHECK_THROWS_WITH_AS(map_rows(plus, Values{vec({1, 2}), vec({1, 2, 3})}),
                       doctest::Contains("one size"), ValueError);
}

TEST_CASE("checkpoint has the same gradients") {
  Array x = vec(kX);
  ArrayFn kept = checkpoint(f);
  CHECK(close(kept(Values{x})[0], values(f(Values{x})[0])));
  CHECK(close(grad(kept)(Values{x})[0], map(kX, first)));
  CHECK(close(grad([&](In in) { return Values{sum(grad(kept)(in)[0])}; })(Values{x})[0],
              map(kX, second)));
  CHECK(close(compiled(grad(kept), Values{x})[0], map(kX, first)));
}

TEST_CASE("stop_gradient gives the value and no derivative") {
  ArrayFn g = [](In in) { return Values{sum(stop_gradient(in[0]) * in[0])}; };
  CHECK(close(grad(g)(Values{vec(kX)})[0], kX));
}

TEST_CASE("custom rules are used, absent ones fall back to the function") {
  CustomRules rules;
  rules.vjp = [](In primals, In cotangents, In) {
    return Values{cotangents[0] * primals[0] * 100};
  };
  ArrayFn custom = [&](In in) {
    return call_custom([](In x) { return Values{x[0] * x[0]}; }, rules, in);
  };
  CHECK(close(custom(Values{scalar(3)})[0], {9}));
  CHECK(close(grad(custom)(Values{scalar(3)})[0], {300}));
  CHECK(close(jvp(custom, Values{scalar(3)}, Values{scalar(1)}).second[0], {6}));
  CHECK(close(map_rows(custom, Values{vec({1, 2})})[0], {1, 4}));
  CHECK(close(map_rows(grad(custom), Values{vec({1, 2})})[0], {100, 200}));
  CustomRules wrong;
  wrong.vjp = [](In, In, In) { return Values{}; };
  ArrayFn bad = [&](In in) { return call_custom([](In x) { return Values{x[0]}; }, wrong, in); };
  CHECK_THROWS_WITH_AS(grad(bad)(Values{scalar(1)}), doctest::Contains("returned 0 cotangents"),
                       ValueError);
}

TEST_CASE("gradients of a broadcast operand are summed, of a cast one are cast") {
  ArrayFn g = [](In in) { return Values{sum(in[0] * in[1])}; };
  Array m = Array::from<float>(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
  auto grads = vjp(g, Values{m, vec({1, 10, 100})}, Values{scalar(1)}).second;
  CHECK(close(grads[0], {1, 10, 100, 1, 10, 100}));
  CHECK(close(grads[1], {5, 7, 9}));
}

TEST_CASE("a matrix product differentiates and batches") {
  Array a = Array::from<float>(std::vector<float>{1, 2, 3, 4}, {2, 2});
  Array b = Array::from<float>(std::vector<float>{5, 6, 7, 8}, {2, 2});
  ArrayFn g = [](In in) { return Values{sum(matmul(in[0], in[1]))}; };
  auto grads = vjp(g, Values{a, b}, Values{scalar(1)}).second;
  CHECK(close(grads[0], {11, 15, 11, 15}));
  CHECK(close(grads[1], {4, 4, 6, 6}));
  ArrayFn dot = [](In in) { return Values{matmul(in[0], in[1])}; };
  CHECK(close(map_rows(dot, Values{a, b})[0], {17, 53}));
}
