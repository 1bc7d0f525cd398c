// The other half of tests/python/nn/test_cpp.py: layers and optimizers on weights, inputs and
// gradients that Python wrote. Runs only when LEGATO_EXCHANGE names the folder of the files.
#include <doctest/doctest.h>

#include <cstdlib>
#include <functional>
#include <string>

#include "legato/nn/nn.h"
#include "legato/ops/random/random.h"
#include "legato/ops/reduce/reduce.h"
#include "tests/cpp/arrays.h"

using namespace legato;

namespace {

using In = std::vector<Array>;
std::string folder;

/// Makes the layer from seed 7 and saves it; loads Python's weights; saves what it computes, and
/// the gradients of the sum of the squares.
template <class Make, class Call>
void layer(const std::string& name, Make make, Call call) {
  CAPTURE(name);
  const std::string path = folder + "/" + name;
  random::seed(7);
  auto module = make();
  module.save_weights(path + ".first.npz");
  module.load_weights(path + ".safetensors");
  In in = nn::arrays_of(load_npz(path + ".in.npz"));
  auto step = nn::value_and_grad(module, [&] {
    In out = call(module, in);
    Array loss = sum(square(out[0]));
    for (size_t i = 1; i < out.size(); ++i) loss += sum(square(out[i]));
    out.insert(out.begin(), loss);
    return out;
  });
  const auto [results, gradients] = step();
  NamedArrays out;
  for (size_t i = 1; i < results.size(); ++i) out.emplace_back(cat("out", i - 1), results[i]);
  for (const auto& [key, gradient] : gradients) out.emplace_back("grad." + key, gradient);
  save_npz(path + ".out.npz", out);
  module.save_weights(path + ".back.safetensors");
}

template <class Make>
void layer(const std::string& name, Make make) {
  layer(name, make, [](auto& module, const In& in) { return In{module(in[0])}; });
}

void optimizer(const std::string& name, optim::Optimizer&& rule) {
  CAPTURE(name);
  const std::string path = folder + "/" + name;
  NamedArrays parameters = load_npz(folder + "/parameters.npz");
  rule.init(parameters);
  for (int i = 0; i < 3; ++i) {
    const NamedArrays gradients = load_npz(cat(folder, "/gradients", i, ".npz"));
    for (auto& [key, value] : rule.apply_gradients(gradients, parameters))
      for (auto& [other, slot] : parameters)
        if (other == key) slot = value;
  }
  save_npz(path + ".out.npz", parameters);
  save_npz(path + ".state.npz", rule.state());
  // Python's state after three steps can be set, and a fourth step made.
  rule.set_state(load_npz(path + ".python.npz"));
  const NamedArrays gradients = load_npz(folder + "/gradients0.npz");
  save_npz(path + ".fourth.npz", rule.apply_gradients(gradients, parameters));
}

}  // namespace

TEST_CASE("nn: exchange with Python") {
  const char* given = std::getenv("LEGATO_EXCHANGE");
  if (!given) return;
  folder = given;
  using namespace nn;

  layer("Linear", [] { return nn::Linear(4, 3); });
  layer("LinearNoBias", [] { return nn::Linear(4, 3, false); });
  layer(
      "Bilinear", [] { return Bilinear(3, 4, 5); },
      [](auto& m, const In& in) { return In{m(in[0], in[1])}; });
  layer("Embedding", [] { return Embedding(6, 4); });
  layer(
      "EmbeddingAsLinear", [] { return Embedding(6, 4); },
      [](auto& m, const In& in) { return In{m.as_linear(in[0])}; });
  layer("Conv1d",
        [] { return Conv1d(4, 6, 3, {.stride = 2, .padding = 1, .dilation = 2, .groups = 2}); });
  layer("Conv2d", [] { return Conv2d(3, 4, {3, 2}, {.stride = {2, 1}, .padding = 1}); });
  layer("Conv3d", [] { return Conv3d(2, 3, 2, {.bias = false}); });
  layer("ConvTranspose1d",
        [] { return ConvTranspose1d(3, 2, 4, {.stride = 2, .padding = 1, .output_padding = 1}); });
  layer("ConvTranspose2d", [] { return ConvTranspose2d(3, 2, 3, {.stride = 2}); });
  layer("ConvTranspose3d", [] { return ConvTranspose3d(2, 2, 2); });
  layer("LayerNorm", [] { return LayerNorm(4); });
  layer("LayerNormNoBias", [] { return LayerNorm(4, {.eps = 1e-3, .bias = false}); });
  layer("RMSNorm", [] { return RMSNorm(4); });
  layer("GroupNorm", [] { return GroupNorm(2, 4); });
  layer("GroupNormTorch", [] { return GroupNorm(2, 4, {.pytorch_compatible = true}); });
  layer("InstanceNorm", [] { return InstanceNorm(4, {.affine = true}); });
  layer("BatchNorm", [] { return BatchNorm(4); });
  layer("BatchNormEval", [] {
    BatchNorm norm(4);
    norm.eval();
    return norm;
  });
  layer("MaxPool2d", [] { return MaxPool2d(2, {.stride = 1, .padding = 1}); });
  layer("AvgPool2d", [] { return AvgPool2d({2, 3}); });
  layer("MaxPool1d", [] { return MaxPool1d(2); });
  layer("AvgPool3d", [] { return AvgPool3d(2); });
  using Mode = UpsampleOptions::Mode;
  layer("UpsampleNearest", [] { return Upsample(2); });
  layer("UpsampleNearestBy", [] { return Upsample({1.5, 0.6}); });
  layer("UpsampleLinear", [] { return Upsample({1.5, 2.5}, {.mode = Mode::linear}); });
  layer("UpsampleAligned",
        [] { return Upsample(1.7, {.mode = Mode::linear, .align_corners = true}); });
  layer("UpsampleCubic", [] { return Upsample(2, {.mode = Mode::cubic}); });
  layer("UpsampleSmaller", [] { return Upsample(0.6, {.mode = Mode::cubic, .antialias = true}); });
  layer(
      "RoPE", [] { return RoPE(4, {.traditional = true}); },
      [](auto& m, const In& in) { return In{m(in[0], 3)}; });
  layer("Sinusoidal",
        [] { return SinusoidalPositionalEncoding(6, {.cos_first = true, .full_turns = true}); });
  layer("ALiBi", [] { return ALiBi(); }, [](auto& m, const In& in) { return In{m(in[0], 2)}; });
  layer("RNN", [] { return RNN(3, 4); });
  layer(
      "RNNFrom", [] { return RNN(3, 4, false); },
      [](auto& m, const In& in) { return In{m(in[0], in[1])}; });
  layer("GRU", [] { return GRU(3, 4); });
  layer(
      "GRUFrom", [] { return GRU(3, 4, false); },
      [](auto& m, const In& in) { return In{m(in[0], in[1])}; });
  layer(
      "LSTM", [] { return LSTM(3, 4); },
      [](auto& m, const In& in) {
        auto [h, c] = m(in[0]);
        return In{h, c};
      });
  layer("PReLU", [] { return PReLU(4); });
  layer("GELU", [] { return GELU("tanh"); });
  layer(
      "Attention",
      [] { return MultiHeadAttention(4, 2, {.key_input_dims = 3, .value_dims = 6, .bias = true}); },
      [](auto& m, const In& in) { return In{m(in[0], in[1], in[1])}; });
  layer(
      "Encoder", [] { return TransformerEncoder(2, 4, 2, {.mlp_dims = 5}); },
      [](auto& m, const In& in) { return In{m(in[0], "causal")}; });
  layer(
      "EncoderLast",
      [] {
        return TransformerEncoder(1, 4, 2,
                                  {.activation = gelu, .norm_first = false, .checkpoint = true});
      },
      [](auto& m, const In& in) { return In{m(in[0])}; });
  layer(
      "Transformer", [] { return Transformer(4, 2, 1, 2); },
      [](auto& m, const In& in) {
        return In{m(in[0], in[1], {}, MultiHeadAttention::create_additive_causal_mask(3))};
      });
  layer("Sequential", [] {
    return Sequential{Conv2d(3, 4, 3), ReLU(), MaxPool2d(2),
                      [](const Array& x) { return flatten(x, 1); }, nn::Linear(16, 2)};
  });

  using namespace optim;
  optimizer("SGD", SGD(0.1, {.momentum = 0.9, .weight_decay = 0.01, .nesterov = true}));
  optimizer("RMSprop", RMSprop(0.1));
  optimizer("Adagrad", Adagrad(0.1));
  optimizer("AdaDelta", AdaDelta(0.1));
  optimizer("Adam", Adam(0.1));
  optimizer("AdamCorrected", Adam(cosine_decay(0.1, 10), {.bias_correction = true}));
  optimizer("AdamW", AdamW(0.1));
  optimizer("Adamax", Adamax(0.1));
  optimizer("Lion", Lion(0.1, {.weight_decay = 0.1}));
  optimizer("Adafactor", Adafactor());
  optimizer("AdafactorRate",
            Adafactor(0.1, {.beta1 = 0.9, .weight_decay = 0.1, .relative_step = false}));
  optimizer("Muon", Muon(0.1));
  MultiOptimizer both;
  both.add(Muon(0.1), [](const std::string& path, const Array&) { return path == "a.weight"; });
  both.add(AdamW(0.1));
  optimizer("Multi", std::move(both));
}
