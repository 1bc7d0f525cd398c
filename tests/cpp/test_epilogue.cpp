// Programs that a kernel applies as it stores its result: which are joined, and that values are
// those of the steps run one after the other. On the simulated device, with a kernel that takes
// programs.
#include <doctest/doctest.h>

#include <vector>

#include "arrays.h"
#include "legato/array/precision.h"
#include "legato/base/error.h"
#include "legato/op/registry.h"
#include "legato/ops/concat/concat.h"
#include "legato/ops/create/create.h"
#include "legato/ops/index/slice.h"
#include "legato/ops/matmul/matmul.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/reduce/reduce.h"
#include "legato/ops/shape/shape.h"
#include "legato/runtime/evaluator.h"
#include "legato/runtime/stream.h"
#include "legato/transform/transform.h"
#include "simulated_device.h"

using namespace legato;

namespace {

bool decline = false, saw_tf32 = false;

// Twice its input; takes programs of up to two instructions.
void run_double(Launch& l) {
  saw_tf32 = l.allow_tf32;
  if (l.epilogue && decline) {
    l.declined = true;
    return;
  }
  const View& in = l.in[0];
  float* result = static_cast<float*>(l.epilogue ? l.workspace(in.size * 4) : l.out[0].data);
  for (int64_t i = 0; i < in.size; ++i) result[i] = 2 * in.as<float>()[i];
  if (!l.epilogue) return;
  fuse::ProgramCall call;
  call.program = l.epilogue->program;
  call.shape = *l.out[0].shape;
  std::vector<fuse::BoundInput> inputs(l.epilogue->inputs.begin(), l.epilogue->inputs.end());
  auto& own = inputs[static_cast<size_t>(l.epilogue->input)];
  CHECK(own.data == nullptr);
  own = {result, row_major_strides(*in.shape)};
  if (l.epilogue->second >= 0) {
    auto& second = inputs[static_cast<size_t>(l.epilogue->second)];
    CHECK(second.data == nullptr);
    second = {result + call.shape.back(), own.strides};
  }
  call.inputs = inputs;
  call.literals = l.epilogue->literals;
  void* to[] = {l.out[0].data};
  call.outputs = to;
  backend_of(Device{}).run_program(0, call);
}

constinit const Op double_op{
    .name = "test_double",
    .infer = [](Inference& in) { in.result(in.shape(), in.dtype()); },
    .expand = [](const Call& c, std::span<Array> out) { out[0] = multiply(c.in(0), 2.0); },
    .derive = ThroughExpand(),
};
constinit const Op failing_op{
    .name = "test_failing",
    .infer = [](Inference& in) { in.result(in.shape(), in.dtype()); },
    .expand = [](const Call& c, std::span<Array> out) { out[0] = c.in(0); },
    .derive = ThroughExpand(),
};

struct Setting {
  Setting() {
    static bool once = [] {
      auto& device = legato::testing::simulated();
      registry().add(double_op);
      registry().add(failing_op);
      device.kernels.add(failing_op, Dtype::float32, {.run = [](Launch& l) {
                           l.fail(std::make_exception_ptr(ValueError("this kernel fails")));
                         }});
      device.kernels.add(double_op, Dtype::float32,
                         {.run = run_double, .takes = [](const void*, const Epilogue& e) {
                            CHECK(e.inputs.empty());
                            return e.program->instrs.size() <= 2;
                          }});
      return true;
    }();
    (void)once;
    decline = false;
  }
  StreamScope scope{[] {
    legato::testing::simulated();
    return default_stream({DeviceType::simulated, 0});
  }()};
};

Array twice(const Array& x) { return bind(double_op, {x}); }
std::vector<float> values(const Array& a) {
  const float* p = a.data<float>();
  return {p, p + a.size()};
}
using Floats = std::vector<float>;
Array vec(Floats v) { return Array::from<float>(v, {static_cast<int64_t>(v.size())}); }

struct Counted {
  EvalCounts before = eval_counts();
  int64_t epilogues() const { return eval_counts().epilogues - before.epilogues; }
  int64_t programs() const { return eval_counts().programs - before.programs; }
  int64_t kernels() const { return eval_counts().kernels - before.kernels; }
};

}  // namespace

TEST_CASE("a kernel applies the program behind it") {
  Setting s;
  Array x = vec({1, 2, 3}), y = vec({10, 20, 30});
  Counted c;
  Array z = add(multiply(twice(x), 3.0), y);
  CHECK(values(z) == Floats{16, 32, 48});
  CHECK(c.epilogues() == 1);
  CHECK(c.programs() == 0);
  CHECK(c.kernels() == 1);
}

TEST_CASE("an operand that is computed after the kernel would have run") {
  Setting s;
  Array x = vec({1, 2, 3});
  Counted c;
  Array z = add(twice(x), twice(exp(multiply(x, 0.0))));
  CHECK(values(z) == Floats{4, 6, 8});
  CHECK(c.epilogues() == 1);  // one of the two kernels
  CHECK(c.kernels() == 2);
  CHECK(c.programs() == 1);
}

TEST_CASE("what somebody else sees is stored, and the program runs by itself") {
  Setting s;
  Array x = vec({1, 2, 3});
  SUBCASE("held by the caller") {
    Array held = twice(x);
    Counted c;
    CHECK(values(add(held, 1.0)) == Floats{3, 5, 7});
    CHECK(c.epilogues() == 0);
    CHECK(values(held) == Floats{2, 4, 6});
  }
  SUBCASE("read by another step") {
    Array shared = twice(x);
    Array sum_too = add(add(shared, 1.0), sum(shared));
    shared = Array();
    Counted c;
    CHECK(values(sum_too) == Floats{15, 17, 19});
    CHECK(c.epilogues() == 0);
  }
  SUBCASE("a program that the kernel refuses") {
    Counted c;
    Array z = add(multiply(add(twice(x), 1.0), 2.0), 1.0);
    CHECK(values(z) == Floats{7, 11, 15});
    CHECK(c.epilogues() == 0);
    CHECK(c.programs() == 1);
  }
  SUBCASE("a result that is broadcast") {
    Counted c;
    Array z = add(twice(vec({1})), x);
    CHECK(values(z) == Floats{3, 4, 5});
    CHECK(c.epilogues() == 0);
  }
  SUBCASE("with fusion off") {
    set_fusion(false);
    Counted c;
    Array z = add(twice(x), 1.0);
    CHECK(values(z) == Floats{3, 5, 7});
    CHECK(c.epilogues() == 0);
    set_fusion(true);
  }
}

TEST_CASE("a program that reads a result in two halves") {
  Setting s;
  const Array x = Array::from<float>(Floats{1, 2, 3, 4, 5, 6, 7, 8}, {2, 4});
  const Floats wanted{12, 32, 140, 192};  // 2a * 2b
  auto first = [](const Array& a) { return slice(a, {0, 0}, {2, 2}, {1, 1}); };
  auto second = [](const Array& a) { return slice(a, {0, 2}, {2, 4}, {1, 1}); };
  Counted c;
  SUBCASE("by a split") {
    auto halves = split(twice(x), 2, -1);
    Array z = multiply(halves[0], halves[1]);
    halves.clear();
    CHECK(values(z) == wanted);
    CHECK(c.epilogues() == 1);
    CHECK(c.programs() == 0);
  }
  SUBCASE("by two slices, and another operand") {
    Array whole = twice(x);
    Array z = add(multiply(second(whole), first(whole)), 1.0);
    whole = Array();
    CHECK(values(z) == Floats{13, 33, 141, 193});
    CHECK(c.epilogues() == 1);
  }
  SUBCASE("and the kernel declines") {
    decline = true;
    auto halves = split(twice(x), 2, -1);
    Array z = multiply(halves[0], halves[1]);
    halves.clear();
    CHECK(values(z) == wanted);
    CHECK(c.epilogues() == 0);
    CHECK(c.programs() == 1);
  }
  SUBCASE("and somebody holds a half") {
    auto halves = split(twice(x), 2, -1);
    CHECK(values(multiply(halves[0], halves[1])) == wanted);
    CHECK(c.epilogues() == 0);
    CHECK(values(contiguous(halves[1])) == Floats{6, 8, 14, 16});
  }
  SUBCASE("and somebody holds the whole") {
    Array whole = twice(x);
    CHECK(values(multiply(first(whole), second(whole))) == wanted);
    CHECK(c.epilogues() == 0);
  }
  SUBCASE("the same half twice is no gate") {
    Array whole = twice(x);
    Array z = multiply(first(whole), exp(multiply(first(whole), 0.0)));
    whole = Array();
    CHECK(values(z) == Floats{2, 4, 10, 12});
    CHECK(c.epilogues() == 0);
  }
  SUBCASE("every other column is no half") {
    Array whole = twice(x);
    Array z = multiply(slice(whole, {0, 0}, {2, 4}, {1, 2}), slice(whole, {0, 1}, {2, 4}, {1, 2}));
    whole = Array();
    CHECK(values(z) == Floats{8, 48, 120, 224});
    CHECK(c.epilogues() == 0);
  }
  SUBCASE("halves of rows are none") {
    auto halves = split(twice(x), 2, 0);
    Array z = multiply(halves[0], halves[1]);
    halves.clear();
    CHECK(values(z) == Floats{20, 48, 84, 128});
    CHECK(c.epilogues() == 0);
  }
  SUBCASE("in a compiled function") {
    auto f = [](std::span<const Array> in) {
      auto halves = split(twice(in[0]), 2, -1);
      return std::vector<Array>{multiply(halves[0], halves[1])};
    };
    const Array in[] = {x};
    auto compiled = trace(f, in, false);
    for (int i = 0; i < 2; ++i) CHECK(values(call_compiled(compiled, in)[0]) == wanted);
    CHECK(c.epilogues() == 2);
  }
}

TEST_CASE("a failure before a joined step that reads halves reaches the reader") {
  Setting s;
  auto halves = split(twice(bind(failing_op, {vec({1, 2, 3, 4})})), 2, -1);
  Array z = multiply(halves[0], halves[1]);
  halves.clear();
  CHECK_THROWS_WITH(z.eval(), "this kernel fails");
}

TEST_CASE("a kernel that declines when it runs") {
  Setting s;
  decline = true;
  Counted c;
  Array z = add(twice(vec({1, 2, 3})), 1.0);
  CHECK(values(z) == Floats{3, 5, 7});
  CHECK(c.epilogues() == 0);
  CHECK(c.programs() == 1);
  CHECK(c.kernels() == 1);
}

TEST_CASE("compiled functions join too, and derivatives see what they need") {
  Setting s;
  Array x = vec({1, 2, 3});
  auto f = [](std::span<const Array> in) { return std::vector<Array>{add(twice(in[0]), in[1])}; };
  const Array in[] = {x, vec({1, 1, 1})};
  auto compiled = trace(f, in, false);
  Counted c;
  for (int i = 0; i < 2; ++i) CHECK(values(call_compiled(compiled, in)[0]) == Floats{3, 5, 7});
  CHECK(c.epilogues() == 2);
}

TEST_CASE("a failure before or in a joined step reaches the reader") {
  Setting s;
  Array bad = twice(vec({1, 2}));
  Array y = add(twice(bind(failing_op, {vec({1, 2})})), 1.0);
  CHECK_THROWS_WITH(y.eval(), "this kernel fails");
  Array z = add(twice(vec({1, 2})), bind(failing_op, {vec({1, 2})}));
  CHECK_THROWS_WITH(z.eval(), "this kernel fails");
  CHECK(values(add(bad, 1.0)) == Floats{3, 5});
}

TEST_CASE("TF32 belongs to the call, whenever it is evaluated") {
  Setting s;
  Array strict = twice(vec({1})), loose;
  {
    Tf32Scope scope(true);
    loose = twice(vec({1}));
    strict.eval();
    CHECK_FALSE(saw_tf32);
  }
  CHECK_FALSE(tf32_allowed());
  loose.eval();
  CHECK(saw_tf32);
}
