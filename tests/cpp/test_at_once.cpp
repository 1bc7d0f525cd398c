// Small operations that are evaluated without tables give what eval() gives, and whatever is not as
// simple is left to it.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <thread>
#include <vector>

#include "arrays.h"
#include "legato/base/error.h"
#include "legato/ops/arg_reduce/arg_reduce.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/reduce/reduce.h"
#include "legato/ops/shape/shape.h"
#include "legato/ops/softmax/softmax.h"
#include "legato/runtime/evaluator.h"
#include "legato/runtime/memory.h"
#include "legato/runtime/stream.h"

using namespace legato;
using namespace legato::testing;

namespace {

// Programs are known by then.
void warm_up(const Array& x) {
  for (const Array& y : {add(x, 1.0f), add(x, x), multiply(x, x), where(less(x, x), x, x)})
    y.eval();
}

bool same_at_once(const Array& at_once, const Array& plain) {
  if (!evaluate_at_once(at_once)) return false;
  plain.eval();
  return at_once.node()->is_done() && at_once.shape() == plain.shape() &&
         at_once.dtype() == plain.dtype() && values(at_once) == values(plain);
}

}  // namespace

TEST_CASE("one small operation is computed at once") {
  const Array x = counted({3, 5});
  x.eval();
  warm_up(x);
  Array y = add(x, 1.0f);
  CHECK(evaluate_at_once(y));
  CHECK(y.node()->is_done());
  CHECK(values(y)[14] == 15);
  CHECK(evaluate_at_once(y));  // nothing is left to do
  CHECK(same_at_once(add(x, x), multiply(x, 2.0f)));
  const Array one = floats({2});
  add(x, one).eval();  // from here on it is known
  CHECK(same_at_once(add(x, one), add(x, 2.0f)));
  CHECK(same_at_once(add(one, one), add(one, 2.0f)));
  const Array none = counted({0, 5});
  none.eval();
  CHECK(same_at_once(add(none, 1.0f), none));
}

TEST_CASE("small reductions are computed at once") {
  const Array x = counted({3, 5}), flipped = transpose(x);
  x.eval();
  flipped.eval();
  for (const Axes& axis : {Axes{}, Axes{Dims{-1}}, Axes{Dims{0}}, Axes{Dims{0, 1}}}) {
    CHECK(same_at_once(sum(x, axis), sum(reshape(add(x, 0.0f), {3, 5}), axis)));
    CHECK(same_at_once(max(x, axis, true), max(reshape(add(x, 0.0f), {3, 5}), axis, true)));
    CHECK(same_at_once(mean(x, axis), mean(reshape(add(x, 0.0f), {3, 5}), axis)));
    CHECK(same_at_once(sum(flipped, axis), sum(add(flipped, 0.0f), axis)));
  }
  CHECK(same_at_once(argmax(x), argmax(add(x, 0.0f))));
  CHECK(same_at_once(argmin(x, -1), argmin(add(x, 0.0f), -1)));
  CHECK(same_at_once(softmax(x, Dims{-1}), softmax(add(x, 0.0f), Dims{-1})));
  CHECK_FALSE(evaluate_at_once(argmax(flipped)));  // it wants a copy
  CHECK(argmax(flipped).item<uint32_t>() == 14);
}

TEST_CASE("anything else is left to eval") {
  const Array x = floats({1, 2, 3});
  warm_up(x);
  Array y = multiply(add(x, 1.0f), x);  // two operations
  CHECK_FALSE(evaluate_at_once(y));
  CHECK_FALSE(y.node()->is_done());
  CHECK(values(y) == Values{2, 6, 12});
  const Array many = floats(std::vector<float>(100000, 1.0f));
  y = add(many, 1.0f);
  CHECK_FALSE(evaluate_at_once(y));
  CHECK(values(y)[99999] == 2);
  CHECK_FALSE(evaluate_at_once(sum(many)));
  CHECK_FALSE(evaluate_at_once(sum(add(x, 1.0f))));
  {
    StreamScope scope(default_stream({DeviceType::null, 0}));  // another device
    y = add(x, 1.0f);
    CHECK_FALSE(evaluate_at_once(y));
    CHECK_FALSE(evaluate_at_once(sum(x)));
  }
  const bool was = set_fusion(false);
  CHECK(evaluate_at_once(add(x, 1.0f)));
  set_fusion(was);
  y = add(x, 2.0f);
  const Array s = sum(x);
  const int64_t limit = set_memory_limit(memory_stats(Device{}).active);
  CHECK_FALSE(evaluate_at_once(y));  // no memory: eval says so
  CHECK_FALSE(evaluate_at_once(s));
  CHECK_THROWS_AS(y.eval(), MemoryError);
  CHECK_THROWS_AS(s.eval(), MemoryError);
  set_memory_limit(limit);
  CHECK(values(y) == Values{3, 4, 5});
  CHECK(s.item<float>() == 6);
}

TEST_CASE("what dies is written over, what is held is not") {
  Array x = floats(std::vector<float>(1000, 1.0f));
  warm_up(x);
  Array y = add(x, 1.0f);
  y.eval();
  const void* place = y.host_data();
  const EvalCounts before = eval_counts();
  y = add(y, 1.0f);
  CHECK(evaluate_at_once(y));
  CHECK(eval_counts().reused_buffers - before.reused_buffers == 1);
  CHECK(eval_counts().programs - before.programs == 1);
  CHECK(eval_counts().evaluations - before.evaluations == 1);
  CHECK(y.host_data() == place);
  CHECK(values(y)[999] == 3);
  Array z = add(x, 1.0f);
  CHECK(evaluate_at_once(z));
  CHECK(values(x)[0] == 1);
  z = multiply(y, y);
  y = Array();  // read twice
  CHECK(evaluate_at_once(z));
  CHECK(values(z)[5] == 9);
  // Memory that several arrays share.
  Array part = reshape(z, {10, 100});
  part.eval();
  part = add(part, 1.0f);
  CHECK(evaluate_at_once(part));
  CHECK(values(z)[5] == 9);
  CHECK(values(part)[5] == 10);
}

TEST_CASE("threads that evaluate one node at once and in the general way") {
  const Array x = floats({1, 2, 3});
  for (int round = 0; round < 100; ++round) {
    const Array y = add(x, 1.0f), s = sum(x);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        if (t % 2) {
          warm_up(x);
          evaluate_at_once(y);
          evaluate_at_once(s);
        }
        eval(std::vector<Array>{multiply(y, 2.0f), s});
      });
    for (auto& t : threads) t.join();
    CHECK(values(y) == Values{2, 3, 4});
    CHECK(s.item<float>() == 6);
  }
}

TEST_CASE("the place of an extreme in rows of any length, with nan, infinities and ties") {
  const float inf = std::numeric_limits<float>::infinity();
  for (const int64_t n : {1, 3, 15, 16, 17, 63, 64, 65, 1000, 4095, 4096, 4097, 9000, 12288}) {
    std::vector<float> row(static_cast<size_t>(n));
    for (size_t i = 0; i < row.size(); ++i) row[i] = static_cast<float>(i * 7919 % 1009);
    const auto place = [&](bool largest) {
      const Array x = floats(row);
      return (largest ? argmax(x) : argmin(x)).item<uint32_t>();
    };
    const auto plain = [&](bool largest) {
      size_t at = 0;
      for (size_t i = 1; i < row.size() && row[at] == row[at]; ++i)
        if (row[i] != row[i] || (largest ? row[i] > row[at] : row[i] < row[at])) at = i;
      return static_cast<uint32_t>(at);
    };
    for (const bool largest : {true, false}) {
      CHECK(place(largest) == plain(largest));
      for (const size_t at : {size_t{0}, row.size() / 2, row.size() - 1}) {
        const float was = row[at];
        for (const float value : {inf, -inf, std::nanf(""), 1e9f, -1e9f}) {
          row[at] = value;
          CHECK(place(largest) == plain(largest));
        }
        row[at] = was;
      }
    }
    std::fill(row.begin(), row.end(), -inf);
    CHECK(place(true) == 0);
    CHECK(place(false) == 0);
    std::fill(row.begin(), row.end(), inf);
    CHECK(place(true) == 0);
    CHECK(place(false) == 0);
  }
}
