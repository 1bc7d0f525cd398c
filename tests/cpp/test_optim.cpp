// Optimizers: first steps by hand, states, schedules, and training that works.
#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "legato/nn/nn.h"
#include "legato/ops/arg_reduce/arg_reduce.h"
#include "legato/ops/random/random.h"
#include "legato/ops/reduce/reduce.h"
#include "tests/cpp/arrays.h"
#include "tests/cpp/messages.h"
#include "tests/cpp/numerics.h"

using namespace legato;
using legato::numerics::check_close;
using legato::testing::contains;
using legato::testing::floats;
using legato::testing::ints;
using legato::testing::message_of;
using legato::testing::Values;
using legato::testing::values;

namespace {

/// w after `steps` steps with the gradient g.
template <class O>
double after(O optimizer, int steps, double w = 1, double g = 0.5) {
  NamedArrays parameters{{"w", floats({static_cast<float>(w)})}};
  for (int i = 0; i < steps; ++i)
    parameters = optimizer.apply_gradients({{"w", floats({static_cast<float>(g)})}}, parameters);
  return values(parameters[0].second)[0];
}

double at(const optim::Schedule& schedule, int64_t step) {
  return schedule(Array(Scalar(step), Dtype::uint64)).item<double>();
}

}  // namespace

TEST_CASE("optim: first steps, computed by hand") {
  using doctest::Approx;
  CHECK(after(optim::SGD(0.1), 1) == Approx(0.95));
  CHECK(after(optim::SGD(0.1, {.momentum = 0.9}), 2) == Approx(1 - 0.05 - 0.1 * (0.45 + 0.5)));
  CHECK(after(optim::SGD(0.1, {.weight_decay = 1}), 1) == Approx(1 - 0.1 * 1.5));
  CHECK(after(optim::SGD(0.1, {.momentum = 0.9, .nesterov = true}), 1) == Approx(1 - 0.1 * 0.95));
  CHECK(after(optim::RMSprop(0.1), 1) == Approx(1 - 0.1 * 0.5 / std::sqrt(0.01 * 0.25)));
  CHECK(after(optim::Adagrad(0.1), 2) == Approx(1 - 0.1 - 0.1 / std::sqrt(2.0)));
  CHECK(after(optim::AdaDelta(1.0), 1) ==
        Approx(1 - 0.5 * std::sqrt(1e-6) / std::sqrt(0.1 * 0.25 + 1e-6)));
  CHECK(after(optim::Adam(0.1), 1) == Approx(1 - 0.1 * 0.05 / std::sqrt(0.001 * 0.25)));
  CHECK(after(optim::Adam(0.1, {.bias_correction = true}), 3) == Approx(0.7));
  CHECK(after(optim::AdamW(0.1, {.weight_decay = 0.5, .bias_correction = true}), 1) ==
        Approx(0.95 - 0.1));
  CHECK(after(optim::Adamax(0.1), 1) == Approx(1 - 0.1 * 0.05 / 0.5));
  CHECK(after(optim::Lion(0.1, {.weight_decay = 0.5}), 1) == Approx(0.95 - 0.1));
  CHECK(after(optim::Adafactor(), 1) == Approx(1 - 0.01));
  CHECK(after(optim::Muon(0.1, {.weight_decay = 0}), 1) ==
        Approx(1 - 0.1 * (0.05 * 0.5 + 0.95 * 0.025)));
}

TEST_CASE("optim: Muon makes singular values about 1") {
  random::seed(0);
  optim::Muon optimizer(1.0, {.momentum = 0, .weight_decay = 0, .nesterov = false});
  const Array g = random::normal({6, 4});
  const Array step = optimizer.apply_gradients({{"w", g}}, {{"w", zeros({6, 4})}})[0].second;
  // trace(s sᵀ) is the sum of squared singular values; tall matrices are scaled by √(6 / 4).
  const double squares = sum(square(step)).item<double>() / 1.5;
  CHECK(squares > 4 * 0.5);
  CHECK(squares < 4 * 1.5);
}

TEST_CASE("optim: the state is flat, named as in Python, and can be set again") {
  NamedArrays w{{"a", floats({1, 2})}, {"b.c", floats({3})}}, g = w;
  optim::Adam first(0.1);
  w = first.apply_gradients(g, w);
  std::vector<std::string> names;
  for (const auto& [name, array] : first.state()) names.push_back(name);
  CHECK(names == std::vector<std::string>{"step", "learning_rate", "a.m", "a.v", "b.c.m", "b.c.v"});
  CHECK(first.step().item<int>() == 1);
  CHECK(first.step().dtype() == Dtype::uint64);

  optim::Adam second(0.7);
  second.set_state(first.state());
  const NamedArrays x = first.apply_gradients(g, w), y = second.apply_gradients(g, w);
  for (size_t i = 0; i < x.size(); ++i) CHECK(values(x[i].second) == values(y[i].second));
  CHECK(contains(message_of([&] { second.set_state({{"a.m", w[0].second}}); }), "no 'step'"));
  CHECK(contains(message_of([&] { second.set_state({{"momentum", w[0].second}}); }),
                 "'momentum' is neither step, learning_rate nor"));
  optim::Adafactor factor;
  factor.set_state(first.state());
  CHECK(contains(message_of([&] { factor.apply_gradients(g, w); }),
                 "has no 'exp_avg_sq' but m, v; was it that of another optimizer?"));
  second.set_state({{"step", first.step()}});
  CHECK(contains(message_of([&] { second.apply_gradients(g, w); }), "none of its own"));
  optim::Adam copy = first;  // a value: the copy goes its own way
  first.apply_gradients(g, w);
  CHECK(copy.step().item<int>() == 2);
}

TEST_CASE("optim: wrong arguments and gradients are named") {
  CHECK(contains(message_of([] { optim::Adam(0.1, {.beta1 = 1}); }), "Adam: beta1 is 1"));
  CHECK(contains(message_of([] { optim::AdamW(0.1, {.beta2 = -1}); }), "AdamW: beta2 is -1"));
  CHECK(contains(message_of([] { optim::SGD(0.1, {.nesterov = true}); }), "Nesterov"));
  CHECK(contains(message_of([] { optim::Adafactor({}, {.relative_step = false}); }),
                 "give a learning rate"));
  CHECK(contains(message_of([] { optim::Adafactor().learning_rate(); }), "none of its own"));
  optim::SGD sgd(0.1);
  CHECK(contains(message_of([&] { sgd.apply_gradients({{"w", floats({1})}}, {}); }),
                 "a gradient of 'w', which is not among"));
  CHECK(contains(
      message_of([&] { sgd.apply_gradients({{"w", floats({1})}}, {{"w", floats({1, 2})}}); }),
      "'w' has shape (2,), but its gradient has (1,)"));
}

TEST_CASE("optim: schedules") {
  using doctest::Approx;
  CHECK(at(optim::exponential_decay(0.1, 0.5), 2) == Approx(0.025));
  CHECK(at(optim::step_decay(0.1, 0.5, 10), 25) == Approx(0.025));
  CHECK(at(optim::cosine_decay(0.1, 100), 50) == Approx(0.05));
  CHECK(at(optim::cosine_decay(0.1, 100, 0.01), 1000) == Approx(0.01));
  CHECK(at(optim::linear_schedule(0, 1, 4), 3) == Approx(0.75));
  const auto joined = optim::join_schedules(
      {optim::linear_schedule(0, 0.1, 10), optim::cosine_decay(0.1, 100)}, {10});
  CHECK(at(joined, 5) == Approx(0.05));
  CHECK(at(joined, 60) == Approx(0.05));
  CHECK(contains(message_of([] { optim::step_decay(1, 1, 0); }), "step_size is 0"));
  CHECK(contains(message_of([] { optim::join_schedules({}, {}); }), "one boundary less"));
  optim::SGD sgd(optim::linear_schedule(1, 0, 4));
  CHECK(sgd.learning_rate().item<double>() == 1);
  NamedArrays w{{"w", floats({0})}};
  for (int i = 0; i < 3; ++i) w = sgd.apply_gradients({{"w", floats({1})}}, w);
  CHECK(values(w[0].second)[0] == Approx(-(1 + 0.75 + 0.5)));
  CHECK(sgd.learning_rate().item<double>() == Approx(0.5));
}

TEST_CASE("optim: MultiOptimizer divides by filters and keeps the order") {
  optim::MultiOptimizer optimizer;
  CHECK(contains(message_of([&] { optimizer.init({}); }), "no optimizers"));
  optimizer.add(optim::SGD(0.5), [](const std::string& name, const Array&) { return name == "b"; })
      .add(optim::SGD(0.1, {.momentum = 0.9}));
  CHECK(contains(message_of([&] { optimizer.add(optim::SGD(1)); }), "takes all"));
  const NamedArrays ones{{"a", floats({1})}, {"b", floats({1})}, {"c", floats({1})}};
  const NamedArrays w = optimizer.apply_gradients(ones, ones);
  CHECK(w[0].first == "a");
  CHECK(values(w[0].second)[0] == doctest::Approx(0.9));
  CHECK(values(w[1].second)[0] == doctest::Approx(0.5));
  CHECK(optimizer.step().item<int>() == 1);
  const NamedArrays state = optimizer.state();
  CHECK(values(nn::array_named(state, "states.1.c.v"))[0] == 1);
  optim::MultiOptimizer other;
  other.add(optim::SGD(0.5), [](const std::string& name, const Array&) { return name == "b"; })
      .add(optim::SGD(0.1, {.momentum = 0.9}));
  other.set_state(state);
  const NamedArrays again = optimizer.apply_gradients(ones, w),
                    too = other.apply_gradients(ones, w);
  for (size_t i = 0; i < 3; ++i) CHECK(values(again[i].second) == values(too[i].second));
  CHECK(contains(message_of([&] { other.set_state({{"states.7.step", floats({1})}}); }),
                 "belongs to none of the 2"));
}

TEST_CASE("optim: clip_grad_norm") {
  const auto [clipped, norm] = optim::clip_grad_norm({{"a", floats({3})}, {"b", floats({4})}}, 1.0);
  CHECK(norm.item<double>() == doctest::Approx(5));
  CHECK(values(clipped[1].second)[0] == doctest::Approx(0.8));
  CHECK(values(optim::clip_grad_norm({{"a", floats({3})}}, 10).first[0].second)[0] == 3);
}

TEST_CASE("optim: optimizers train a classifier of points inside and outside a circle") {
  random::seed(0);
  const Array x = random::uniform(-1, 1, {400, 2});
  const Array y = astype(sum(square(x), Dims{1}) < 0.5, Dtype::int32);
  auto accuracy_with = [&](optim::Optimizer& optimizer) {
    random::seed(1);
    nn::Sequential model{nn::Linear(2, 32), nn::Tanh(), nn::Linear(32, 2)};
    auto step = nn::value_and_grad(model, [&] {
      return nn::losses::cross_entropy(model(x), y, {.reduction = nn::Reduction::mean});
    });
    double first = 0, last = 0;
    for (int i = 0; i < 200; ++i) {
      auto [loss, gradients] = step();
      optimizer.update(model, gradients);
      nn::evaluate({model.parameters(), optimizer.state()});
      last = loss.item<double>();
      if (i == 0) first = last;
    }
    CHECK(last < 0.5 * first);
    return mean(equal(argmax(model(x), 1), y)).item<double>();
  };
  optim::SGD sgd(0.5, {.momentum = 0.9});
  CHECK(accuracy_with(sgd) > 0.95);
  optim::Adam adam(0.02);
  CHECK(accuracy_with(adam) > 0.95);
  optim::AdamW adamw(optim::cosine_decay(0.05, 200), {.bias_correction = true});
  CHECK(accuracy_with(adamw) > 0.95);
  optim::RMSprop rmsprop(0.01);
  CHECK(accuracy_with(rmsprop) > 0.95);
  optim::Lion lion(0.01);
  CHECK(accuracy_with(lion) > 0.95);
  optim::MultiOptimizer muon;
  muon.add(optim::Muon(0.05, {.weight_decay = 0}),
           [](const std::string&, const Array& w) { return w.ndim() == 2; });
  muon.add(optim::Adam(0.02));
  CHECK(accuracy_with(muon) > 0.95);
}
