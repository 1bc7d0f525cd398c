// Modules: names, copies, freezing, files, gradients.
#include <doctest/doctest.h>

#include <cstdio>
#include <string>

#include "legato/nn/nn.h"
#include "legato/ops/matmul/matmul.h"
#include "legato/ops/random/random.h"
#include "legato/ops/reduce/reduce.h"
#include "tests/cpp/arrays.h"
#include "tests/cpp/messages.h"

using namespace legato;
using legato::testing::contains;
using legato::testing::counted;
using legato::testing::floats;
using legato::testing::ints;
using legato::testing::message_of;
using legato::testing::Values;
using legato::testing::values;

namespace {

struct Block : nn::Module {
  nn::Linear inner{3, 3, false};
  std::vector<nn::Linear> stack;
  std::optional<nn::Dropout> dropout;
  std::unique_ptr<nn::LayerNorm> norm;
  Array scale = floats({2}), absent;
  std::vector<Array> shifts{floats({0, 1, 2}), floats({1, 1, 1})};

  explicit Block(bool with_norm) {
    for (int i = 0; i < 2; ++i) stack.emplace_back(3, 3);
    if (with_norm) norm = std::make_unique<nn::LayerNorm>(3);
  }
  LEGATO_MEMBERS(inner, stack, dropout, norm, scale, absent, shifts)
};

struct Mlp : nn::Module {
  nn::Linear in{2, 8}, out{8, 1};
  LEGATO_MEMBERS(in, out)
  Array operator()(const Array& x) const { return out(nn::tanh(in(x))); }
};

std::vector<std::string> names(const NamedArrays& arrays) {
  std::vector<std::string> out;
  for (const auto& [name, array] : arrays) out.push_back(name);
  return out;
}

std::string temporary(const char* name) {
  const char* folder = std::getenv("TMPDIR");
  return std::string(folder ? folder : "/tmp") + "/legato_test_nn_" + name;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("nn: members of every kind have dotted names, in order, and empty ones are left out") {
  Block block(true);
  CHECK(names(block.parameters()) == Names{"inner.weight", "stack.0.weight", "stack.0.bias",
                                           "stack.1.weight", "stack.1.bias", "norm.weight",
                                           "norm.bias", "scale", "shifts.0", "shifts.1"});
  CHECK(block.num_parameters() == 9 + 2 * 12 + 6 + 1 + 6);
  block.norm.reset();
  block.dropout.emplace(0.5);
  block.absent = floats({1});
  CHECK(names(block.parameters()) == Names{"inner.weight", "stack.0.weight", "stack.0.bias",
                                           "stack.1.weight", "stack.1.bias", "scale", "absent",
                                           "shifts.0", "shifts.1"});
  Names paths;
  for (auto& [path, module] : block.named_modules()) paths.push_back(path);
  CHECK(paths == Names{"", "inner", "stack.0", "stack.1", "dropout"});
}

TEST_CASE("nn: a copy of a module is a model of its own, and a moved one keeps working") {
  random::seed(1);
  Mlp model;
  const Array x = floats({1, 2, 3, 4}, {2, 2});
  const Values before = values(model(x));
  Mlp copy = model;
  copy.apply([](const Array& a) { return a * 2; });
  CHECK(values(model(x)) == before);
  CHECK(values(copy(x)) != before);

  std::vector<Mlp> models;
  models.push_back(std::move(model));
  for (int i = 0; i < 20; ++i) models.push_back(copy);  // moves the first one around
  CHECK(values(models[0](x)) == before);
  models[0].update({{"in.bias", zeros({8})}});
  CHECK(values(models[0].in.bias) == Values(8, 0));
  models[1] = models[0];
  models[0].update({{"in.bias", ones({8})}});
  CHECK(values(models[1].in.bias) == Values(8, 0));
}

TEST_CASE("nn: Sequential copies its layers, and gives them back by type") {
  random::seed(2);
  nn::Sequential model{nn::Linear(2, 4), nn::ReLU(), [](const Array& x) { return x * 2; },
                       nn::Linear(4, 1)};
  CHECK(names(model.parameters()) ==
        Names{"layers.0.weight", "layers.0.bias", "layers.3.weight", "layers.3.bias"});
  const Array x = floats({1, -2}, {1, 2});
  const Values before = values(model(x));
  nn::Sequential copy = model;
  copy.at<nn::Linear>(3).bias = floats({100});
  CHECK(values(model(x)) == before);
  CHECK(values(copy(x))[0] != before[0]);
  CHECK(contains(message_of([&] { model.at<nn::Linear>(1); }),
                 "no layer of the type asked for at 1"));
  CHECK(contains(message_of([&] { model.at<nn::ReLU>(9); }), "4 layers"));
  nn::Sequential outer(model, nn::Identity());
  CHECK(names(outer.parameters())[0] == "layers.0.layers.0.weight");
  CHECK(values(outer(x)) == before);
}

TEST_CASE("nn: update names what the module lacks, and then changes nothing") {
  Mlp model;
  const Values before = values(model.in.bias);
  const NamedArrays wrong{{"in.bias", zeros({8})}, {"in.biass", zeros({8})}, {"x", zeros({1})}};
  CHECK(contains(message_of([&] { model.update(wrong); }), "no parameters in.biass, x"));
  CHECK(values(model.in.bias) == before);
  model.update(wrong, false);
  CHECK(values(model.in.bias) == Values(8, 0));
}

TEST_CASE("nn: freezing by module, by key and by list, and buffers are never trained") {
  Block block(true);
  block.freeze({"bias"});
  CHECK(names(block.trainable_parameters()) == Names{"inner.weight", "stack.0.weight",
                                                     "stack.1.weight", "norm.weight", "scale",
                                                     "shifts.0", "shifts.1"});
  block.freeze({"shifts", "stack"}, false);
  CHECK(names(block.trainable_parameters()) == Names{"inner.weight", "norm.weight", "scale"});
  block.unfreeze();
  CHECK(block.trainable_parameters().size() == block.parameters().size());
  block.freeze();
  CHECK(block.trainable_parameters().empty());
  block.inner.unfreeze();
  block.unfreeze({"shifts.1"}, false);
  CHECK(names(block.trainable_parameters()) == Names{"inner.weight", "shifts.1"});
  CHECK(contains(message_of([&] { block.freeze({"weights"}, true, true); }),
                 "no module has a member 'weights'; this one has inner, stack.0, stack.1"));
  CHECK_NOTHROW(block.freeze({"weights"}));

  nn::BatchNorm norm(3);
  CHECK(names(norm.parameters()) == Names{"weight", "bias", "running_mean", "running_var"});
  norm.unfreeze();
  CHECK(names(norm.trainable_parameters()) == Names{"weight", "bias"});
  CHECK(contains(norm.summary(), "running_mean (3,) float32 frozen"));
  CHECK(contains(norm.summary(), "12 parameters, 6 trainable"));
}

TEST_CASE("nn: train and eval reach all modules") {
  Block block(false);
  block.dropout.emplace(0.9);
  block.eval();
  CHECK(!block.dropout->training());
  CHECK(!block.stack[1].training());
  const Array x = ones({100});
  CHECK(values((*block.dropout)(x)) == Values(100, 1));
  block.train();
  CHECK(block.dropout->training());
  CHECK(values((*block.dropout)(x)) != Values(100, 1));
}

TEST_CASE("nn: set_dtype casts floating parameters only") {
  Block block(false);
  block.absent = ints({1, 2});
  block.set_dtype(Dtype::bfloat16);
  CHECK(block.inner.weight.dtype() == Dtype::bfloat16);
  CHECK(block.absent.dtype() == Dtype::int32);
}

TEST_CASE("nn: weights go through files, and load_weights says all that does not fit") {
  random::seed(3);
  Mlp model, other;
  const Array x = floats({1, 2}, {1, 2});
  for (const char* name : {"w.safetensors", "w.npz"}) {
    const std::string path = temporary(name);
    model.save_weights(path);
    other.load_weights(path);
    CHECK(values(other(x)) == values(model(x)));
    std::remove(path.c_str());
  }
  CHECK(contains(message_of([&] { model.save_weights("w.txt"); }), ".safetensors nor .npz"));
  CHECK(contains(message_of([&] { model.load_weights("w.txt"); }), ".safetensors nor .npz"));

  NamedArrays weights = model.parameters();
  weights[1].first = "in.b";          // in.bias
  weights[2].second = zeros({1, 9});  // out.weight
  const Values before = values(other(x));
  const std::string message = message_of([&] { other.load_weights(weights); });
  CHECK(contains(message, "Missing: in.bias."));
  CHECK(contains(message, "Not in the module: in.b."));
  CHECK(contains(message, "out.weight (expected (1, 8), found (1, 9))"));
  CHECK(values(other(x)) == before);
  other.load_weights({{"in.bias", ones({8})}, {"unknown", ones({1})}}, false);
  CHECK(values(other.in.bias) == Values(8, 1));
}

TEST_CASE("nn: value_and_grad gives named gradients, more results, and the parameters back") {
  random::seed(4);
  Mlp model;
  const Array x = floats({1, 2, 3, 4}, {2, 2}), y = floats({1, 0}, {2, 1});
  const NamedArrays before = model.parameters();
  auto step = nn::value_and_grad(model, [&](const Array& a, const Array& b) {
    const Array predicted = model(a);
    return std::pair(nn::losses::mse_loss(predicted, b), predicted);
  });
  auto [results, gradients] = step(x, y);
  CHECK(names(gradients) == names(before));
  CHECK(values(results.second) == values(model(x)));
  for (size_t i = 0; i < before.size(); ++i)
    CHECK(before[i].second.same(model.parameters()[i].second));

  // Against a difference quotient in one weight.
  auto loss_at = [&](double h) {
    Mlp moved = model;
    moved.in.weight = moved.in.weight + h * astype(equal(counted({8, 2}), 5), Dtype::float32);
    return nn::losses::mse_loss(moved(x), y).item<double>();
  };
  const double expected = (loss_at(1e-2) - loss_at(-1e-2)) / 2e-2;
  CHECK(values(nn::array_named(gradients, "in.weight"))[5] ==
        doctest::Approx(expected).epsilon(0.01));

  model.freeze({"weight"});
  CHECK(names(step(x, y).second) == Names{"in.bias", "out.bias"});
}

TEST_CASE("nn: value_and_grad restores the module when the function throws, and wants a scalar") {
  Mlp model;
  const Array weight = model.in.weight;
  auto fails = nn::value_and_grad(model, [&](const Array& x) -> Array {
    model(x);
    throw ValueError("no");
  });
  CHECK(message_of([&] { fails(ones({1, 2})); }) == "no");
  CHECK(model.in.weight.same(weight));
  auto vector = nn::value_and_grad(model, [&](const Array& x) { return model(x); });
  CHECK(contains(message_of([&] { vector(ones({1, 2})); }), "has shape (1, 1) and dtype float32"));
  auto nothing = nn::value_and_grad(model, [] { return std::vector<Array>(); });
  CHECK(contains(message_of([&] { nothing(); }), "returned no array"));
  CHECK(model.in.weight.same(weight));
}

TEST_CASE("nn: gradients through checkpoint are those without it") {
  random::seed(5);
  Mlp model;
  const Array x = floats({1, 2, 3, 4}, {2, 2});
  auto plain = nn::value_and_grad(model, [&] { return sum(square(model(x))); });
  auto again = nn::checkpoint(model, [&](const Array& a) { return model(a); });
  auto saved = nn::value_and_grad(model, [&] { return sum(square(again(x))); });
  const auto [loss, expected] = plain();
  const auto [loss_again, found] = saved();
  CHECK(loss.item<float>() == loss_again.item<float>());
  for (size_t i = 0; i < found.size(); ++i)
    CHECK(values(found[i].second) == values(expected[i].second));
  CHECK(names(model.parameters()) == names(expected));
}

TEST_CASE("nn: evaluate computes lists of arrays, and array_named says which there are") {
  Mlp model;
  nn::evaluate({model.parameters(), {}});
  CHECK(model.in.weight.node()->is_done());
  CHECK(contains(message_of([&] { nn::array_named(model.parameters(), "w"); }),
                 "no 'w' among in.weight, in.bias, out.weight, out.bias"));
  CHECK(nn::arrays_of(model.parameters()).size() == 4);
}
