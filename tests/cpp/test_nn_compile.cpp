// Compiled functions of modules and training steps against the same without compile.
#include <doctest/doctest.h>

#include <string>

#include "legato/nn/nn.h"
#include "legato/ops/random/random.h"
#include "legato/ops/reduce/reduce.h"
#include "tests/cpp/arrays.h"
#include "tests/cpp/numerics.h"

using namespace legato;
using legato::numerics::check_close;
using legato::testing::floats;
using legato::testing::values;

namespace {

struct Model : nn::Module {
  nn::Linear in{3, 8}, out{8, 2};
  nn::BatchNorm norm{8};
  nn::Dropout dropout{0.3};
  LEGATO_MEMBERS(in, norm, dropout, out)
  Array operator()(const Array& x) { return out(dropout(nn::relu(norm(in(x))))); }
};

Array batch(int i, int64_t rows = 5) {
  return random::normal({rows, 3}, Dtype::float32, {}, {}, random::key(i));
}

}  // namespace

TEST_CASE("nn: a compiled step does what the step does, with dropout, batch norm and a schedule") {
  auto train = [](bool compiled, int& runs) {
    random::seed(3);
    Model model;
    optim::AdamW optimizer(optim::cosine_decay(0.05, 6), {.bias_correction = true});
    auto loss = [&](const Array& x) {
      ++runs;
      const Array y = model(x);
      return std::pair(mean(square(y - 1)), y);
    };
    auto eager = nn::value_and_grad(model, loss);
    auto step = optim::compile_step(model, optimizer, loss);
    NamedArrays out;
    for (int i = 0; i < 6; ++i) {
      const Array x = batch(i, i < 4 ? 5 : 7);
      std::pair<Array, Array> result;
      if (compiled) {
        result = step(x);
      } else {
        auto [results, gradients] = eager(x);
        optimizer.update(model, gradients);
        result = results;
      }
      nn::evaluate({model.parameters(), optimizer.state()});
      out.emplace_back("loss", result.first);
      out.emplace_back("y", result.second);
    }
    for (const auto& entry : model.parameters()) out.push_back(entry);
    for (const auto& entry : optimizer.state()) out.push_back(entry);
    out.emplace_back("next random numbers", random::uniform(0, 1, {3}));
    return out;
  };
  int runs = 0, compiled_runs = 0;
  const NamedArrays expected = train(false, runs), found = train(true, compiled_runs);
  CHECK(runs == 6);
  CHECK(compiled_runs == 2);  // two shapes
  REQUIRE(found.size() == expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    CAPTURE(found[i].first);
    check_close(found[i].second, expected[i].second, 1e-5);
  }
}

TEST_CASE("nn: a compiled function follows the module's parameters, mode and freezing") {
  random::seed(4);
  Model model;
  int runs = 0;
  auto f = nn::compile(model, [&](const Array& x) {
    ++runs;
    return model(x);
  });
  model.eval();
  const Array x = batch(0);
  check_close(f(x), model(x), 1e-6);
  model.update({{"out.bias", floats({5, 6})}});
  check_close(f(x), model(x), 1e-6);
  CHECK(runs == 1);
  model.train();
  const Array mean_before = model.norm.running_mean;
  f(x);
  CHECK(runs == 2);
  CHECK(values(model.norm.running_mean) != values(mean_before));
  model.eval();
  check_close(f(x), model(x), 1e-6);
  CHECK(runs == 2);
  model.freeze();
  f(x);
  CHECK(runs == 3);
}

TEST_CASE("nn: what fails while it is traced leaves module, optimizer and random state as before") {
  random::seed(5);
  Model model;
  optim::Adam optimizer(0.1);
  const Array weight = model.in.weight;
  const auto key = values(random::state());
  auto reads = optim::compile_step(model, optimizer, [&](const Array& x) {
    const Array loss = mean(model(x));
    loss.item<float>();
    return loss;
  });
  CHECK_THROWS_AS(reads(batch(0)), TransformError);
  CHECK(model.in.weight.same(weight));
  CHECK(optimizer.step().item<int>() == 0);
  CHECK(values(random::state()) == key);
  model.in.bias = Array();
  auto grows = nn::compile(model, [&](const Array& x) {
    model.in.bias = zeros({8});
    return model(x);
  });
  CHECK_THROWS_AS(grows(batch(0)), ValueError);
  check_close(mean(abs(model.in.weight)), mean(abs(weight)), 0);
}
