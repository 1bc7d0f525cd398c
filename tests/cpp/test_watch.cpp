// Watching evaluations from C++, drawing graphs, and functions that C++ users call without Python.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "legato/op/draw.h"
#include "legato/ops/matmul/matmul.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/reduce/reduce.h"
#include "legato/runtime/evaluator.h"
#include "legato/runtime/watch.h"
#include "tests/cpp/arrays.h"

namespace legato::testing {
namespace {

std::vector<std::string> lines;

TEST_CASE("log levels are read, and unknown areas named") {
  const LogLevels levels = parse_log_levels("eval:2,mem");
  CHECK(levels.eval == 2);
  CHECK(levels.fuse == 0);
  CHECK(levels.mem == 1);
  CHECK_THROWS_AS(parse_log_levels("evil"), ValueError);
  CHECK_THROWS_AS(parse_log_levels("eval:x"), ValueError);
}

TEST_CASE("a log line goes to the sink, and no more after the level is 0") {
  lines.clear();
  set_log_sink([](std::string_view line) { lines.emplace_back(line); });
  const LogLevels before = set_log_levels({.eval = 1});
  Array x = counted({2, 3});
  x.eval();
  lines.clear();
  tanh(x * 2.0 + 1.0).eval();
  set_log_levels(before);
  tanh(x * 3.0).eval();
  set_log_sink(nullptr);
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].find("eval cpu:0  fused[multiply,add,tanh]  float32(2, 3) -> float32(2, 3)") == 0);
}

TEST_CASE("a recording has a record for each step") {
  Array a = counted({2, 3}), b = counted({3, 4});
  eval(std::vector{a, b});
  start_recording();
  exp(matmul(a, b)).eval();
  const auto steps = stop_recording();
  REQUIRE(steps.size() == 2);
  CHECK(steps[0].name == "matmul");
  CHECK(steps[0].bytes_read == (6 + 12) * 4);
  CHECK(steps[0].bytes_written == 8 * 4);
  CHECK(steps[0].end_ns >= steps[0].begin_ns);
  CHECK(steps[1].name == "exp");
  CHECK(stop_recording().empty());
}

TEST_CASE("the search for nan fails the step that makes one") {
  const bool before = set_debug_nans(true);
  Array y = log(floats({-1, 1}));
  CHECK_THROWS_WITH_AS(y.eval(), doctest::Contains("debug_nans: log made a nan"), ValueError);
  set_debug_nans(before);
  CHECK(std::isnan(values(log(floats({-1, 1})))[0]));
}

TEST_CASE("a graph is drawn as text and as dot") {
  Array x = floats({1, 2});
  const std::vector<std::pair<Array, std::string>> names{{x, "x"}};
  const std::vector<Array> y{exp(x)};
  CHECK(draw_graph(y, GraphFormat::text, names) ==
        "%0 = x  float32(2,)\n%1 = exp(%0)  float32(2,)\n");
  CHECK(draw_graph(y, GraphFormat::dot).find("n0 -> n1") != std::string::npos);
}

TEST_CASE("einsum contracts in the order of its path") {
  const std::vector<Array> in{counted({2, 3}), counted({3, 4}), counted({4, 2})};
  CHECK(values(einsum("ij,jk,kl->il", in)) == values(matmul(matmul(in[0], in[1]), in[2])));
  CHECK(einsum_path("ij,jk,kl->il", in).path.size() == 2);
}

TEST_CASE("functions made of others read sizes again in a shapeless graph") {
  ArrayFn f = [](std::span<const Array> in) {
    return std::vector{outer(in[0], in[1]) + einsum("i,j->ij", in)};
  };
  const std::vector<Array> first{counted({2}), counted({3})}, other{counted({4}), counted({5})};
  auto traced = trace(f, first, true);
  for (auto& in : {first, other}) {
    const Array y = call_compiled(traced, in)[0];
    CHECK(y.shape() == Shape{in[0].size(), in[1].size()});
    CHECK(values(y) == values(f(in)[0]));
  }
}

TEST_CASE("depends gives its inputs, and their gradient only") {
  const Array x = floats({1, 2}), side = floats({3, 4});
  ArrayFn f = [](std::span<const Array> in) {
    const std::vector<Array> inputs{in[0] * in[0]}, after{exp(in[1])};
    return std::vector{sum(depends(inputs, after)[0])};
  };
  const auto grads = pulled_back(f, {x, side});
  CHECK(values(grads[0]) == Values{2, 4});
  CHECK(values(grads[1]) == Values{0, 0});
}

}  // namespace
}  // namespace legato::testing
