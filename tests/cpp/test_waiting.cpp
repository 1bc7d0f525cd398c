// Held values that an evaluation does not write out (Note [Values that wait]): they are right
// whenever they are asked for, nothing is computed more than twice, and no memory is kept for them
// that others have given up.
#include <doctest/doctest.h>

#include <thread>
#include <vector>

#include "arrays.h"
#include "legato/ops/index/slice.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/reduce/reduce.h"
#include "legato/ops/scan/scan.h"
#include "legato/ops/shape/shape.h"
#include "legato/runtime/dlpack.h"
#include "legato/runtime/evaluator.h"
#include "legato/runtime/memory.h"
#include "legato/runtime/watch.h"

using namespace legato;

namespace {

constexpr int64_t kMany = 1 << 16;  // floats: 256 KiB, worth leaving out

Array filled(float value, int64_t n = kMany) {
  return Array::from<float>(std::vector<float>(static_cast<size_t>(n), value), {n});
}
float last(const Array& a) { return a.data<float>()[a.size() - 1]; }
bool is_done(const Array& a) { return a.node()->is_done(); }
int64_t active() { return memory_stats(Device{}).active; }

int64_t programs_of(const Array& y) {
  const EvalCounts before = eval_counts();
  y.eval();
  return eval_counts().programs - before.programs;
}

}  // namespace

TEST_CASE("a held intermediate waits until it is asked for") {
  const Array x = filled(2);
  const Array mid = add(x, 1.0f);
  const Array y = multiply(mid, mid);
  const int64_t before = active();
  CHECK(programs_of(y) == 1);
  CHECK_FALSE(is_done(mid));
  CHECK(active() - before == kMany * 4);  // y alone
  CHECK(last(y) == 9);
  CHECK(programs_of(mid) == 1);
  CHECK(is_done(mid));
  CHECK(last(mid) == 3);
  CHECK(programs_of(mid) == 0);
  CHECK(last(y) == 9);
}

TEST_CASE("a held value that is met again is written out on the way") {
  const Array x = filled(2);
  const Array a = add(x, 1.0f), b = multiply(a, a), c = add(b, x);
  CHECK(programs_of(multiply(c, 2.0f)) == 1);
  CHECK_FALSE(is_done(a));
  CHECK_FALSE(is_done(b));
  CHECK_FALSE(is_done(c));
  // c needs a and b once more, and that is the second time.
  CHECK(programs_of(c) == 1);
  CHECK(is_done(a));
  CHECK(is_done(b));
  CHECK(last(a) == 3);
  CHECK(last(b) == 9);
  CHECK(last(c) == 11);
}

TEST_CASE("what nobody holds is not computed a third time for a value that waits") {
  const Array x = filled(2);
  Array inner = add(x, 1.0f);
  const Array a = multiply(inner, 2.0f), b = multiply(inner, 3.0f);
  inner = Array();
  programs_of(add(a, b));
  CHECK_FALSE(is_done(a));
  CHECK_FALSE(is_done(b));
  CHECK(programs_of(a) == 1);  // b still needs what a is computed from: it is held now
  CHECK(last(a) == 6);
  CHECK(b.node()->in[0].node()->is_done());
  CHECK(programs_of(b) == 1);
  CHECK(last(b) == 9);
}

TEST_CASE("loops that carry a held value on do not grow") {
  const Array x = filled(1);
  Array h = x;
  const int64_t before = active();
  float expected = 1;
  for (int i = 0; i < 50; ++i) {
    h = multiply(add(h, 1.0f), 0.5f);
    expected = (expected + 1) * 0.5f;
    const Array y = add(h, 3.0f);
    CHECK(programs_of(y) == 1);
    CHECK(last(y) == expected + 3);
    CHECK(active() - before <= 3 * kMany * 4);
  }
  CHECK(last(h) == expected);
  // One that keeps all of them, too.
  std::vector<Array> all{x};
  EvalCounts c0 = eval_counts();
  for (int i = 0; i < 20; ++i) {
    all.push_back(add(all.back(), 1.0f));
    CHECK(programs_of(multiply(all.back(), 2.0f)) == 1);
  }
  CHECK(eval_counts().programs - c0.programs == 20);
  for (int i = 0; i <= 20; ++i)
    CHECK(last(all[static_cast<size_t>(i)]) == 1.0f + static_cast<float>(i));
}

TEST_CASE("inputs that nobody else holds are written over as ever, and the value is kept") {
  Array x = filled(2);
  const Array mid = add(x, 1.0f);
  const Array y = multiply(mid, mid);
  x = Array();
  const EvalCounts before = eval_counts();
  y.eval();
  CHECK(eval_counts().reused_buffers - before.reused_buffers == 1);
  CHECK(is_done(mid));
  CHECK(last(mid) == 3);
}

TEST_CASE("inputs may be dropped after the evaluation, and while it runs") {
  Array x = filled(2);
  Array mid = add(x, 1.0f);
  multiply(mid, mid).eval();
  CHECK_FALSE(is_done(mid));
  x = Array();
  CHECK(last(mid) == 3);
  for (int i = 0; i < 20; ++i) {
    x = filled(static_cast<float>(i));
    mid = add(x, 1.0f);
    const Array y = multiply(mid, 2.0f);
    std::vector<Array> roots{y};
    async_eval(roots);
    x = Array();
    CHECK(last(mid) == static_cast<float>(i) + 1);
    CHECK(last(y) == 2 * (static_cast<float>(i) + 1));
  }
}

TEST_CASE("what is not worth it is written out") {
  const Array x = filled(2);
  std::vector<Array> more;
  for (int i = 0; i < 5; ++i) more.push_back(filled(1));
  SUBCASE("small values") {
    const Array mid = add(filled(2, 100), 1.0f);
    programs_of(multiply(mid, mid));
    CHECK(is_done(mid));
  }
  SUBCASE("values of many others") {
    Array mid = x;
    for (const Array& a : more) mid = add(mid, a);
    programs_of(multiply(mid, mid));
    CHECK(is_done(mid));
    CHECK(last(mid) == 7);
  }
  SUBCASE("values of long computations") {
    Array mid = x;
    for (int i = 0; i < 40; ++i) mid = add(mid, 1.0f);
    programs_of(multiply(mid, 2.0f));
    CHECK(is_done(mid));
  }
  SUBCASE("values of kernels") {
    const Array mid = add(cumsum(x, std::optional<int>(0)), 1.0f);
    programs_of(multiply(mid, 2.0f));
    CHECK(is_done(mid));
    CHECK(last(mid) == 2.0f * kMany + 1);
  }
  SUBCASE("values that others than programs read") {
    const Array mid = add(x, 1.0f);
    cumsum(mid, std::optional<int>(0)).eval();
    CHECK(is_done(mid));
  }
  SUBCASE("values of few of the elements of something large") {
    const Array large = filled(1, 16 * kMany);
    const Array mid = add(slice(large, Dims{0}, Dims{kMany}), 1.0f);
    programs_of(multiply(mid, 2.0f));
    CHECK(is_done(mid));
  }
  SUBCASE("roots") {
    const Array mid = add(x, 1.0f), y = multiply(mid, mid);
    eval(std::vector<Array>{mid, y});
    CHECK(is_done(mid));
  }
  SUBCASE("without fusion") {
    const bool before = set_fusion(false);
    const Array mid = add(x, 1.0f);
    programs_of(multiply(mid, mid));
    set_fusion(before);
    CHECK(is_done(mid));
  }
  SUBCASE("while nan is looked for") {
    const bool before = set_debug_nans(true);
    const Array mid = add(x, 1.0f);
    programs_of(multiply(mid, mid));
    set_debug_nans(before);
    CHECK(is_done(mid));
  }
}

TEST_CASE("scratch of a block of rows waits, too") {
  const int64_t rows = 256, cols = 1000;
  const Array x = Array::from<float>(std::vector<float>(rows * cols, 0.5f), {rows, cols});
  for (int round = 0; round < 3; ++round) {  // the plan is known from the third time on
    const Array top = max(x, Dims{-1}, true);
    const Array shifted = subtract(x, top), e = exp(shifted);
    const Array y = divide(e, sum(e, Dims{-1}, true));
    y.eval();
    CHECK(is_done(top));  // small
    CHECK_FALSE(is_done(shifted));
    CHECK_FALSE(is_done(e));
    CHECK(last(y) == doctest::Approx(1e-3));
    CHECK(last(e) == 1);
    CHECK(is_done(shifted));  // on the way
    CHECK(last(shifted) == 0);
  }
}

TEST_CASE("a transposed input makes a block of rows run step by step, and what it stores is kept") {
  const int64_t n = 512;
  const Array x = transpose(Array::from<float>(std::vector<float>(n * n, 0.5f), {n, n}));
  x.eval();
  const Array e = exp(subtract(x, max(x, Dims{-1}, true)));
  const Array y = divide(e, sum(e, Dims{-1}, true));
  y.eval();
  CHECK(last(e) == 1);
  CHECK(last(y) == doctest::Approx(1.0 / n));
}

TEST_CASE("several threads ask for a value that waits") {
  const Array x = filled(2);
  for (int round = 0; round < 20; ++round) {
    const Array mid = add(x, 1.0f), y = multiply(mid, mid);
    std::vector<std::thread> threads;
    std::vector<float> seen(4);
    for (size_t t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        seen[t] = t == 0 ? last(y) : t == 1 ? last(mid) : last(add(mid, static_cast<float>(t)));
      });
    for (auto& t : threads) t.join();
    CHECK(seen == std::vector<float>{9, 3, 5, 6});
  }
}

TEST_CASE("a value waits through lack of memory") {
  const Array x = filled(2);
  const Array mid = add(x, 1.0f), y = multiply(mid, mid);
  y.eval();
  clear_memory_cache();
  const int64_t limit = set_memory_limit(active() + 1024);
  CHECK_THROWS_AS(mid.eval(), MemoryError);
  set_memory_limit(limit);
  CHECK(last(mid) == 3);
}

TEST_CASE("values inside a transform are those of the function") {
  const Array x = filled(2);
  Array kept;
  const auto f = [&](std::span<const Array> in) {
    kept = multiply(in[0], in[0]);
    Array s = sum(add(kept, 1.0f));
    CHECK(s.item<float>() == 5.0f * kMany);
    CHECK(last(kept) == 4);
    return std::vector<Array>{s};
  };
  const std::vector<Array> primals{x}, ct{Array(Scalar(1.0f), Dtype::float32)};
  const auto [out, grads] = vjp(f, primals, ct);
  CHECK(last(grads[0]) == 4);
  CHECK(last(kept) == 4);
}

TEST_CASE("memory that goes out to be written is not that of which a value is computed later") {
  Array x = filled(2);
  const Array mid = add(x, 1.0f);
  multiply(mid, mid).eval();
  CHECK_FALSE(is_done(mid));
  Array shared = x;
  dlpack::Export wanted;
  wanted.device = Device{};
  wanted.may_copy = true;
  dlpack::DLManagedTensorVersioned* out = dlpack::to_dlpack(shared, wanted);
  static_cast<float*>(out->tensor.data)[kMany - 1] = 100;
  CHECK(last(mid) == 3);
  CHECK(last(shared) == 100);
  // While somebody may write to an input, what is computed from it does not wait.
  const Array next = add(shared, 1.0f);
  multiply(next, next).eval();
  CHECK(is_done(next));
  out->deleter(out);
  wanted.may_copy = false;
  const Array third = add(x, 2.0f);
  multiply(third, third).eval();
  CHECK_THROWS_WITH_AS(dlpack::to_dlpack(x, wanted), doctest::Contains("are to be computed"),
                       ValueError);
}
