// The evaluator: fusion, held values, reuse of buffers, replicas, failures. Uses ops of its own, so
// that it depends on no family, only on functions of the scalar language.
#include <doctest/doctest.h>

#include <thread>
#include <vector>

#include "legato/backends/cpu/jit/variants.h"
#include "legato/base/error.h"
#include "legato/op/op.h"
#include "legato/runtime/evaluator.h"
#include "legato/runtime/memory.h"
#include "legato/runtime/stream.h"
#include "simulated_device.h"

using namespace legato;

namespace {

void common_dtype(const char*, std::span<const Dtype> in, std::span<Dtype> operands, Dtype& out) {
  out = in[0];
  for (Dtype t : in) out = promote(out, t);
  for (Dtype& t : operands) t = out;
}

constinit const Op plus_op{.name = "test_plus",
                           .infer = infer_pointwise,
                           .pointwise = {.fn = "add", .dtypes = common_dtype},
                           .derive = ZeroDerivative(),
                           .batch = batch_pointwise};
constinit const Op times_op{.name = "test_times",
                            .infer = infer_pointwise,
                            .pointwise = {.fn = "multiply", .dtypes = common_dtype},
                            .derive = ZeroDerivative(),
                            .batch = batch_pointwise};
Array plus(const Operand& a, const Operand& b) { return bind_pointwise(plus_op, {a, b}); }
Array times(const Operand& a, const Operand& b) { return bind_pointwise(times_op, {a, b}); }

// The last two axes swapped: a view.
constinit const Op swap_op{
    .name = "test_swap",
    .infer =
        [](Inference& in) {
          Shape s = in.shape();
          std::swap(s[s.size() - 1], s[s.size() - 2]);
          in.result(s, in.dtype());
        },
    .view =
        [](const void*, const Shape&, const Layout& in, const Shape&, int, Layout& out) {
          out = in;
          std::swap(out.strides[out.strides.size() - 1], out.strides[out.strides.size() - 2]);
          return true;
        },
    .derive = ZeroDerivative(),
};
Array swapped(const Array& a) { return bind(swap_op, {a}); }

// The two halves of a vector: a view with two outputs.
constinit const Op halves_op{
    .name = "test_halves",
    .n_out = 2,
    .infer =
        [](Inference& in) {
          for (int o = 0; o < 2; ++o) in.result({in.shape()[0] / 2}, in.dtype(), o);
        },
    .view =
        [](const void*, const Shape&, const Layout& in, const Shape& out_shape, int index,
           Layout& out) {
          out = in;
          out.offset += index * out_shape[0] * in.strides[0];
          return true;
        },
    .derive = ZeroDerivative(),
};

// An op whose meaning is an error: stands for a kernel that fails.
constinit const Op broken_view_op{
    .name = "test_broken",
    .infer = [](Inference& in) { in.result(in.shape(), in.dtype()); },
    .view = [](const void*, const Shape&, const Layout&, const Shape&, int, Layout&) -> bool {
      throw ValueError("the values are at fault");
    },
    .derive = ZeroDerivative(),
};

Array vec(std::vector<float> v) { return Array::from<float>(v, {static_cast<int64_t>(v.size())}); }

std::vector<float> values(const Array& a) {
  const float* p = a.data<float>();
  return {p, p + a.size()};
}

using Floats = std::vector<float>;

}  // namespace

TEST_CASE("a chain nobody holds runs as one program and leaves no intermediate in memory") {
  Array x = vec(Floats(1000, 2.0f));
  int64_t before = memory_stats(Device{}).active;
  EvalCounts c0 = eval_counts();
  Array y = plus(times(plus(x, 1.0), x), 0.5);
  y.eval();
  EvalCounts c1 = eval_counts();
  CHECK(values(y)[999] == 6.5f);
  CHECK(c1.programs - c0.programs == 1);
  CHECK(memory_stats(Device{}).active - before == 4096 * 1);  // 4,000 bytes in their size class
}

TEST_CASE("a held intermediate is written out by the same program") {
  Array x = vec({1, 2, 3});
  Array mid = plus(x, 1.0);
  Array y = times(mid, mid);
  EvalCounts c0 = eval_counts();
  y.eval();
  CHECK(eval_counts().programs - c0.programs == 1);
  CHECK(mid.node()->is_done());
  CHECK(values(mid) == Floats{2, 3, 4});
  CHECK(values(y) == Floats{4, 9, 16});
}

TEST_CASE("a value with users before and after a barrier is computed once") {
  Array x = Array::from<float>(Floats{1, 2, 3, 4}, {2, 2});
  Array a = plus(x, 1.0);
  Array y = plus(swapped(a), a);  // the view is a barrier between a and its other user
  a = Array();
  EvalCounts c0 = eval_counts();
  CHECK(values(y) == Floats{4, 7, 7, 10});
  CHECK(eval_counts().programs - c0.programs == 2);
}

TEST_CASE("long and wide graphs split into programs within the limits") {
  Array x = vec({1, 1});
  Array y = x;
  for (int i = 0; i < 1000; ++i) y = plus(y, 1.0);
  CHECK(values(y) == Floats{1001, 1001});
  std::vector<Array> inputs;
  for (int i = 0; i < 100; ++i) inputs.push_back(vec({static_cast<float>(i), 0}));
  Array sum = inputs[0];
  for (int i = 1; i < 100; ++i) sum = plus(sum, inputs[static_cast<size_t>(i)]);
  CHECK(values(sum) == Floats{4950, 0});
  // Many outputs of one group.
  std::vector<Array> held;
  Array z = x;
  for (int i = 0; i < 50; ++i) held.push_back(z = times(z, 2.0));
  z.eval();
  for (int i = 0; i < 50; ++i)
    CHECK(values(held[static_cast<size_t>(i)])[0] == std::ldexp(1.0f, i + 1));
}

TEST_CASE("fusion off gives the same answer, one program a node") {
  Array x = vec({1, 2, 3});
  auto f = [&] { return plus(times(plus(x, 1.0), x), 0.5); };
  Floats fused = values(f());
  bool was = set_fusion(false);
  EvalCounts c0 = eval_counts();
  Floats plain = values(f());
  CHECK(eval_counts().programs - c0.programs == 3);
  set_fusion(was);
  CHECK(fused == plain);
}

TEST_CASE("a dying input is overwritten, a held one is not") {
  Array x = vec(Floats(4096, 1.0f));
  Array y = plus(x, 1.0);
  y.eval();
  EvalCounts c0 = eval_counts();
  const void* place = y.host_data();
  y = plus(y, 1.0);
  y.eval();
  CHECK(eval_counts().reused_buffers - c0.reused_buffers == 1);
  CHECK(y.host_data() == place);
  Array z = plus(x, 1.0);
  z.eval();
  CHECK(values(x)[0] == 1.0f);
  CHECK(values(z)[0] == 2.0f);
}

TEST_CASE("one output of several is read while the others are dropped") {
  // What a user saw: gradients of norm weights were wrong when evaluated together with those of the
  // input, because the node was thought incomplete and computed again from inputs that had been
  // overwritten.
  Array x = vec({1, 2, 3, 4}), first, last;
  {
    Array base = plus(x, 1.0);
    auto halves = bind_all(halves_op, std::span(&base, 1));
    first = plus(halves[0], 10.0);
    last = halves[1];
  }
  std::vector<Array> roots{first, last};
  eval(roots);
  CHECK(last.node()->is_done());
  CHECK(values(first) == Floats{12, 13});
  CHECK(values(last) == Floats{4, 5});
}

TEST_CASE("transposed operands keep their memory order: no copy is made") {
  Floats data(64 * 32);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<float>(i);
  Array x = Array::from<float>(data, {64, 32});
  EvalCounts c0 = eval_counts();
  Array y = plus(swapped(x), swapped(x));
  y.eval();
  CHECK(eval_counts().layout_copies == c0.layout_copies);
  CHECK(y.shape() == Shape{32, 64});
  CHECK(values(swapped(y))[65] == 2 * data[65]);
}

TEST_CASE("broadcasting happens inside the program") {
  Array x = Array::from<float>(Floats{1, 2, 3, 4, 5, 6}, {2, 3});
  Array row = vec({10, 20, 30});
  Array column = Array::from<float>(Floats{100, 200}, {2, 1});
  CHECK(values(plus(plus(x, row), column)) == Floats{111, 122, 133, 214, 225, 236});
}

TEST_CASE("a chain of a million nodes neither overflows the stack nor stalls") {
  Array x = vec({0});
  Array y = x;
  for (int i = 0; i < 1'000'000; ++i) y = plus(y, 1.0);
  CHECK(values(y)[0] == 1'000'000.0f);
  Array z = x;
  for (int i = 0; i < 1'000'000; ++i) z = plus(z, 1.0);
  z = Array();  // destroyed without being computed
}

TEST_CASE("a failure is kept for every reader and spares the rest") {
  Array x = vec({1, 2});
  Array bad = bind(broken_view_op, {plus(x, 1.0)});
  Array worse = plus(bad, 1.0);
  Array good = plus(x, 5.0);
  std::vector<Array> roots{good, worse};
  CHECK_THROWS_AS(eval(roots), ValueError);
  CHECK(values(good) == Floats{6, 7});
  CHECK_THROWS_WITH_AS(bad.eval(), "the values are at fault", ValueError);
  CHECK_THROWS_AS(worse.eval(), ValueError);
  CHECK_THROWS_AS(plus(worse, 1.0).eval(), ValueError);
}

TEST_CASE("running out of memory raises, and the same arrays can be computed when there is room") {
  Array x = vec(Floats(1 << 20, 1.0f));
  clear_memory_cache();
  int64_t limit = set_memory_limit(memory_stats(Device{}).active + (1 << 20));
  Array y = plus(x, 1.0);
  CHECK_THROWS_AS(y.eval(), MemoryError);
  CHECK_THROWS_AS(y.eval(), MemoryError);
  set_memory_limit(limit);
  CHECK(values(y)[0] == 2.0f);
}

TEST_CASE("asynchronous evaluation returns at once; readers wait for it") {
  Array x = vec(Floats(1 << 16, 1.0f));
  Array y = x;
  for (int i = 0; i < 50; ++i) y = plus(y, 1.0);
  std::vector<Array> roots{y};
  async_eval(roots);
  Array z = plus(y, 1.0);  // built on a value that another thread is computing
  CHECK(values(z)[0] == 52.0f);
  CHECK(values(y)[7] == 51.0f);
  Array bad = bind(broken_view_op, {x});
  roots = {bad};
  async_eval(roots);
  synchronize(default_stream(Device{}));
  CHECK_THROWS_AS(bad.eval(), ValueError);
}

TEST_CASE("several threads evaluate overlapping graphs") {
  Array x = vec(Floats(256, 1.0f));
  for (int round = 0; round < 50; ++round) {
    Array shared = times(plus(x, 1.0), 3.0);
    std::vector<std::thread> threads;
    std::vector<float> seen(4);
    for (size_t t = 0; t < 4; ++t)
      threads.emplace_back([&, t] { seen[t] = values(plus(shared, static_cast<float>(t)))[3]; });
    for (auto& t : threads) t.join();
    CHECK(seen == Floats{6, 7, 8, 9});
  }
}

TEST_CASE("a second device gets copies when it reads and only then") {
  auto& device = legato::testing::simulated();
  Stream there = default_stream({DeviceType::simulated, 0});
  Array x = vec({1, 2, 3});
  int in0 = device.copies_in, out0 = device.copies_out;
  Array y, z;
  {
    StreamScope scope(there);
    y = plus(x, 1.0);
    z = times(y, x);
  }
  z.eval();
  y.eval();
  CHECK(device.copies_in - in0 == 1);  // x, once
  CHECK(device.copies_out == out0);    // nothing has been read here
  Array w = plus(z, y);                // on the host: both come back
  CHECK(values(w) == Floats{4, 9, 16});
  CHECK(device.copies_out - out0 == 2);
  CHECK(values(w) == Floats{4, 9, 16});
  {
    StreamScope scope(there);
    CHECK(values(plus(y, y)) == Floats{4, 6, 8});  // y never left the device
  }
  CHECK(device.copies_in - in0 == 1);
  // From one device to another, through the host.
  {
    StreamScope scope(default_stream({DeviceType::simulated, 1}));
    CHECK(values(plus(z, 1.0)) == Floats{3, 7, 13});
  }
}

TEST_CASE("a buffer that is written again forgets its copies on other devices") {
  legato::testing::simulated();
  StreamScope scope(default_stream({DeviceType::simulated, 0}));
  Array x = plus(vec({1, 2, 3}), 1.0);
  CHECK(values(x) == Floats{2, 3, 4});  // the host has a copy now
  int64_t reused = eval_counts().reused_buffers;
  Array y = times(x, 2.0);
  x = Array();
  y.eval();
  CHECK(eval_counts().reused_buffers == reused + 1);
  CHECK(values(y) == Floats{4, 6, 8});
}

TEST_CASE("a storage hands on what its device has yet to check") {
  struct Check final : DeviceCheck {
    explicit Check(bool ok) : holds(ok) {}
    std::exception_ptr error() override {
      ++asked;
      return holds ? nullptr : std::make_exception_ptr(IndexError("index 7"));
    }
    bool holds;
    int asked = 0;
  };
  auto storage = [] { return Ref<DeviceStorage>::adopt(new DeviceStorage(Device{}, 64)); };
  auto* holds = new Check(true);
  auto good = Ref<DeviceCheck>::adopt(holds), bad = Ref<DeviceCheck>::adopt(new Check(false));
  auto a = storage(), b = storage(), c = storage();
  a->add_check(good);
  b->add_check(bad);
  c->inherit_checks(*a);
  c->inherit_checks(*b);
  c->inherit_checks(*b);
  CHECK_NOTHROW(a->verify());
  CHECK_NOTHROW(a->verify());
  CHECK(holds->asked == 1);  // what holds is not asked again
  CHECK_THROWS_AS(c->verify(), IndexError);
  CHECK_THROWS_AS(c->verify(), IndexError);  // every reader is told
  CHECK_THROWS_AS(b->verify(), IndexError);
}

TEST_CASE("a graph with nodes on two devices") {
  legato::testing::simulated();
  Array x = vec({1, 2, 3}), y;
  {
    StreamScope scope(default_stream({DeviceType::simulated, 0}));
    y = plus(x, 1.0);
  }
  Array z = times(y, 2.0), w;
  {
    StreamScope scope(default_stream({DeviceType::simulated, 1}));
    w = plus(z, y);
  }
  CHECK(values(w) == Floats{6, 9, 12});
}

TEST_CASE("the null backend plans everything and computes nothing") {
  StreamScope scope(default_stream({DeviceType::null, 0}));
  EvalCounts c0 = eval_counts();
  Array y = times(plus(vec({1, 2}), 1.0), 2.0);
  y.eval();
  CHECK(eval_counts().programs - c0.programs == 1);
  CHECK(y.shape() == Shape{2});
}

TEST_CASE("graphs of equal structure share one program and its code") {
  const cpu::jit::Mode before = cpu::jit::mode();
  cpu::jit::set_mode(cpu::jit::Mode::always);
  auto compute = [](std::vector<float> x, float factor) {
    Array a = vec(x);
    return plus(times(a, factor), a).eval().data<float>()[0];
  };
  CHECK(compute({2, 3}, 0.5f) == 3);
  const int64_t compiled = cpu::jit::compiled_count();
  CHECK(compute({4, 5, 6}, 3.0f) == 16);  // another shape, another literal
  CHECK(cpu::jit::compiled_count() == compiled);
  cpu::jit::set_mode(before);
}
