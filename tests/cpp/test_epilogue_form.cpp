// What read_epilogue() makes of programs: the forms that libraries know, however they are spelled,
// and nothing of what only looks like them.
#include <doctest/doctest.h>

#include <cstring>
#include <optional>
#include <vector>

#include "arrays.h"
#include "legato/nn/activations.h"
#include "legato/op/registry.h"
#include "legato/ops/concat/concat.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/runtime/epilogue_form.h"
#include "legato/runtime/evaluator.h"
#include "legato/runtime/stream.h"
#include "simulated_device.h"

using namespace legato;
using Act = EpilogueForm::Act;

namespace {

std::optional<EpilogueForm> seen;

// Gives its input, and is asked about the program behind it.
constinit const Op source_op{
    .name = "test_source",
    .infer = [](Inference& in) { in.result(in.shape(), in.dtype()); },
    .expand = [](const Call& c, std::span<Array> out) { out[0] = c.in(0); },
    .derive = ThroughExpand(),
};

bool look(const void*, const Epilogue& e) {
  seen = read_epilogue(e);
  return false;
}

void prepare() {
  auto& device = legato::testing::simulated();
  static const bool once = [&] {
    registry().add(source_op);
    add_kernels(device.kernels, source_op, FloatTypes{}, [](auto) {
      return Kernel{.run =
                        [](Launch& l) {
                          std::memcpy(l.out[0].data, l.in[0].data,
                                      static_cast<size_t>(l.in[0].size * size_of(l.in[0].dtype)));
                        },
                    .takes = look};
    });
    return true;
  }();
  (void)once;
}

// The form of `f` of a kernel's result.
template <class F>
std::optional<EpilogueForm> form_of(F f, Dtype dtype = Dtype::float32) {
  prepare();
  StreamScope scope(default_stream({DeviceType::simulated, 0}));
  Array x = astype(legato::testing::floats({1, 2, 3, 4}, {2, 2}), dtype);
  x.eval();
  seen.reset();
  Array y = f(bind(source_op, {x}));
  y.eval();
  return seen;
}

Array row(Dtype dtype = Dtype::float32) {
  Array r = astype(legato::testing::floats({1, 2}), dtype);
  r.eval();
  return r;
}

}  // namespace

TEST_CASE("sums of multiples") {
  const Array b = row();
  auto f = form_of([&](Array y) { return (y * 3.0 - b) / 2.0 + 1.0; });
  REQUIRE(f);
  CHECK(f->act == Act::none);
  CHECK(f->scale == 1.5);
  CHECK(f->constant == 1);
  REQUIRE(f->n_addends == 1);
  CHECK(f->addends[0].coef == -0.5);
  auto twice = form_of([&](Array y) { return y + b + b; });
  REQUIRE(twice);
  CHECK(twice->addends[0].coef == 2);
  CHECK(form_of([&](Array y) { return negative(y); })->scale == -1);
  CHECK_FALSE(form_of([&](Array y) { return y * b; }));
  CHECK_FALSE(form_of([&](Array y) { return y * y; }));
  CHECK_FALSE(form_of([&](Array y) { return exp(y); }));
  CHECK_FALSE(form_of([&](Array y) { return b / y; }));
  CHECK_FALSE(form_of([&](Array y) { return y - y + b; }));
}

TEST_CASE("activations, in every float type") {
  for (Dtype t : {Dtype::float16, Dtype::bfloat16, Dtype::float32, Dtype::float64}) {
    const Array b = row(t);
    const auto act = [&](auto g) {
      auto f = form_of([&](Array y) { return g(y + b); }, t);
      REQUIRE(f);
      CHECK(f->scale == 1);
      CHECK(f->n_addends == 1);
      CHECK(f->addends[0].coef == 1);
      CHECK(f->constant == 0);
      CHECK(f->out == t);
      return f->act;
    };
    CHECK(act([](Array x) { return maximum(x, 0.0); }) == Act::relu);
    CHECK(act([](Array x) { return maximum(0, x); }) == Act::relu);
    CHECK(act([](Array x) { return nn::silu(x); }) == Act::silu);
    CHECK(act([](Array x) { return sigmoid(x) * x; }) == Act::silu);
    CHECK(act([](Array x) { return nn::gelu(x); }) == Act::gelu_erf);
    CHECK(act([](Array x) { return nn::gelu_approx(x); }) == Act::gelu_tanh);
    CHECK(act([](Array x) {
            return 0.5 * x * (1.0 + tanh(0.7978845608 * x * (1.0 + 0.044715 * x * x)));
          }) == Act::gelu_tanh);
  }
}

TEST_CASE("an activation by itself") {
  CHECK(form_of([](Array y) { return sigmoid(y + row()); })->act == Act::sigmoid);
  CHECK(form_of([](Array y) { return tanh(y); })->act == Act::tanh);
  CHECK(form_of([](Array y) { return tanh(2.0 * y); })->scale == 2);
  CHECK_FALSE(form_of([](Array y) { return tanh(y * y); }));
  CHECK_FALSE(form_of([](Array y) { return 2.0 * sigmoid(y); }));
}

TEST_CASE("gates: a half of the result times an activation of the other") {
  for (Dtype t : {Dtype::float16, Dtype::bfloat16, Dtype::float32}) {
    const auto gate = [&](auto g) {
      return form_of(
          [&](Array y) {
            auto halves = split(y, 2, -1);
            y = Array();
            return g(halves[0], halves[1]);
          },
          t);
    };
    struct Known {
      Array (*act)(const Array&);
      Act form;
    };
    for (const Known& k : {Known{nn::gelu, Act::gelu_erf}, Known{nn::gelu_approx, Act::gelu_tanh},
                           Known{nn::silu, Act::silu}, Known{nn::relu, Act::relu}}) {
      auto f = gate([&](Array a, Array b) { return a * k.act(b); });
      REQUIRE(f);
      CHECK(f->gated);
      CHECK_FALSE(f->first_is_gate);
      CHECK(f->act == k.form);
      CHECK(f->out == t);
      auto turned = gate([&](Array a, Array b) { return k.act(a) * b; });
      REQUIRE(turned);
      CHECK(turned->first_is_gate);
      CHECK(turned->act == k.form);
    }
    CHECK(gate([](Array a, Array b) { return a * sigmoid(b); })->act == Act::sigmoid);
    CHECK(gate([](Array a, Array b) { return tanh(a) * b; })->act == Act::tanh);
    CHECK_FALSE(gate([](Array a, Array b) { return a * b; }));
    CHECK_FALSE(gate([](Array a, Array b) { return a + nn::silu(b); }));
    CHECK_FALSE(gate([](Array a, Array b) { return 2.0 * a * nn::silu(b); }));
    CHECK_FALSE(gate([](Array a, Array b) { return a * nn::silu(b) + 1.0; }));
    CHECK_FALSE(gate([](Array a, Array b) { return a * nn::silu(b + 1.0); }));
  }
}

TEST_CASE("what only looks like an activation") {
  auto none = [](auto g) { return !form_of(g); };
  CHECK(none([](Array x) { return nn::gelu_fast_approx(x); }));
  CHECK(none([](Array x) { return maximum(x, 1.0); }));
  CHECK(none([](Array x) { return minimum(x, 0.0); }));
  CHECK(none([](Array x) { return maximum(x, 0.0) + 1.0; }));
  CHECK(none([](Array x) { return 2.0 * nn::silu(x); }));
  CHECK(none([](Array x) { return x * (1.0 + erf(x)) / 2.0; }));
  CHECK(none([](Array x) { return x * (1.0 + erf(x / 1.4142135)); }));
  CHECK(none([](Array x) { return 0.5 * x * (1.0 + tanh(0.79788456 * (x + 0.05 * x * x * x))); }));
  CHECK(none([](Array x) { return (x + 1.0) * sigmoid(x); }));
}

TEST_CASE("casts: a half is rounded when it is stored, a float32 where the program says") {
  auto wide = form_of([](Array y) { return astype(y, Dtype::float32) + 1.0; }, Dtype::bfloat16);
  REQUIRE(wide);
  CHECK(wide->out == Dtype::float32);
  auto narrow = form_of([](Array y) { return astype(y + 1.0, Dtype::float16); });
  REQUIRE(narrow);
  CHECK(narrow->out == Dtype::float16);
  CHECK_FALSE(
      form_of([](Array y) { return astype(astype(y, Dtype::float16), Dtype::float32) + 1.0; }));
  CHECK_FALSE(form_of([](Array y) { return astype(y, Dtype::int32); }));
  CHECK_FALSE(form_of([](Array y) { return astype(y, Dtype::float64); }));
}
