// Layers, activations, losses, initializers: closed forms and errors. The numbers of every layer
// are compared with Python's in tests/python/nn/test_cpp.py.
#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "legato/nn/nn.h"
#include "legato/ops/matmul/matmul.h"
#include "legato/ops/random/random.h"
#include "legato/ops/reduce/reduce.h"
#include "tests/cpp/arrays.h"
#include "tests/cpp/messages.h"
#include "tests/cpp/numerics.h"

using namespace legato;
using legato::numerics::check_close;
using legato::numerics::check_rules;
using legato::numerics::normals;
using legato::testing::contains;
using legato::testing::counted;
using legato::testing::floats;
using legato::testing::ints;
using legato::testing::message_of;
using legato::testing::Values;
using legato::testing::values;

TEST_CASE("nn: activations at points where their values are known") {
  const Array x = floats({-2, -0.5, 0, 0.5, 2});
  auto map = [&](double (*f)(double)) {
    Values out;
    for (double v : values(x)) out.push_back(f(v));
    return out;
  };
  check_close(nn::relu(x), Values{0, 0, 0, 0.5, 2}, 0);
  check_close(nn::relu2(x), Values{0, 0, 0, 0.25, 4}, 0);
  check_close(nn::relu6(x * 4), Values{0, 0, 0, 2, 6}, 0);
  check_close(nn::leaky_relu(x, 0.1), Values{-0.2, -0.05, 0, 0.5, 2}, 1e-6);
  check_close(nn::silu(x), map([](double v) { return v / (1 + std::exp(-v)); }), 1e-6);
  check_close(nn::softplus(x), map([](double v) { return std::log1p(std::exp(v)); }), 1e-6);
  check_close(nn::gelu(x), map([](double v) { return v * (1 + std::erf(v / std::sqrt(2))) / 2; }),
              1e-6);
  check_close(nn::elu(x), map([](double v) { return v > 0 ? v : std::expm1(v); }), 1e-6);
  check_close(nn::mish(x), map([](double v) { return v * std::tanh(std::log1p(std::exp(v))); }),
              1e-6);
  check_close(nn::softshrink(x), Values{-1.5, 0, 0, 0, 1.5}, 1e-6);
  check_close(nn::hard_shrink(x), Values{-2, 0, 0, 0, 2}, 0);
  check_close(nn::hard_tanh(x), Values{-1, -0.5, 0, 0.5, 1}, 0);
  check_close(nn::step(x, 0.5), Values{0, 0, 0, 1, 1}, 0);
  check_close(nn::Softmax()(floats({1, 1}, {1, 2})), Values{0.5, 0.5}, 1e-6);
  check_close(nn::Softmax(0)(floats({1, 1}, {2, 1})), Values{0.5, 0.5}, 1e-6);
  check_close(nn::GLU()(floats({3, 0})), Values{1.5}, 1e-6);
  check_close(nn::PReLU(1, 0.5)(x), Values{-1, -0.25, 0, 0.5, 2}, 1e-6);
  check_close(nn::LeakyReLU()(x), Values{-0.02, -0.005, 0, 0.5, 2}, 1e-6);
  CHECK(contains(message_of([] { nn::GELU("exact"); }), "approx is 'exact'; expected none"));
}

TEST_CASE("nn: layers say which sizes do not fit") {
  CHECK(contains(message_of([] { nn::Linear(0, 3); }), "Linear: input_dims is 0"));
  CHECK(contains(message_of([] { nn::Embedding(3, -1); }), "Embedding: dims is -1"));
  CHECK(contains(message_of([] { nn::Conv2d(3, 4, {3, 3, 3}); }),
                 "Conv2d: kernel_size is (3, 3, 3); expected one size or 2"));
  CHECK(contains(message_of([] { nn::Conv1d(3, 4, 3, {.groups = 2}); }),
                 "can't be divided into 2 groups"));
  CHECK(contains(message_of([] { nn::Conv2d(2, 2, 3, {.stride = 0}); }), "stride is (0,)"));
  CHECK(contains(message_of([] { nn::MaxPool2d(0); }), "MaxPool2d: kernel_size"));
  CHECK(contains(message_of([] { nn::Dropout(1.0); }), "in [0, 1)"));
  CHECK(contains(message_of([] { nn::GroupNorm(3, 4); }), "4 channels can't be divided into 3"));
  CHECK(contains(message_of([] { nn::LayerNorm(3)(ones({2, 4})); }),
                 "the input has shape (2, 4); expected 3 channels"));
  CHECK(contains(message_of([] { nn::BatchNorm(3)(ones({3})); }), "expected (N, ..., C)"));
  CHECK(contains(message_of([] { nn::MultiHeadAttention(6, 4); }), "among 4 heads"));
  CHECK(contains(message_of([] { nn::Bilinear(3, 4, 5)(ones({2, 3}), ones({3, 4})); }),
                 "(2, 3) and (3, 4), which must agree"));
  CHECK(contains(message_of([] { nn::LSTM(3, 4)(ones({0, 3})); }), "at least one step"));
  CHECK(contains(message_of([] { nn::Upsample(2)(ones({3, 4})); }), "expected (N, spatial..., C)"));
  CHECK(contains(message_of([] { nn::Upsample({2, 2})(ones({1, 3, 1})); }), "2 scales"));
  CHECK(contains(message_of([] { nn::Upsample(0.1)(ones({1, 3, 1})); }), "no positive"));
  CHECK(
      contains(message_of([] { nn::Dropout2d(0.5)(ones({3, 4})); }), "expected 3 or 4 dimensions"));
}

TEST_CASE("nn: batch norm uses the batch while training and its averages in evaluation mode") {
  nn::BatchNorm norm(2);
  const Array x = floats({1, 10, 3, 30}, {2, 2});
  check_close(norm(x), Values{-1, -1, 1, 1}, 1e-4);
  check_close(norm.running_mean, Values{0.2, 2}, 1e-6);
  check_close(norm.running_var, Values{0.9 + 0.1 * 2, 0.9 + 0.1 * 200}, 1e-5);
  norm.eval();
  const Array mean = norm.running_mean;
  check_close(norm(floats({0.2f, 2}, {1, 2})), Values{0, 0}, 1e-6);
  CHECK(norm.running_mean.same(mean));
  nn::BatchNorm stateless(2, {.affine = false, .track_running_stats = false});
  stateless.eval();
  check_close(stateless(x), Values{-1, -1, 1, 1}, 1e-4);
  CHECK(stateless.parameters().empty());
}

TEST_CASE("nn: dropout keeps the mean, and drops channels together") {
  random::seed(0);
  nn::Dropout dropout(0.25);
  const Array y = dropout(ones({200, 500}));
  CHECK(mean(y).item<double>() == doctest::Approx(1).epsilon(0.02));
  CHECK(max(y).item<double>() == doctest::Approx(1 / 0.75));
  nn::Dropout2d channels(0.5);
  const Array image = channels(ones({4, 3, 3, 8}));
  check_close(max(image, Dims{1, 2}), min(image, Dims{1, 2}), 0);
}

TEST_CASE("nn: losses against their formulas, and in every reduction") {
  using namespace nn::losses;
  using nn::Reduction;
  const Array logits = floats({0, 0, 1, 3}, {2, 2});
  const double second = std::log(1 + std::exp(2.0));  // logsumexp(1, 3) - 1
  const Array classes = ints({1, 0});
  check_close(nn::losses::cross_entropy(logits, classes), Values{std::log(2.0), second}, 1e-6);
  check_close(nn::losses::cross_entropy(logits, floats({0, 1, 1, 0}, {2, 2})),
              Values{std::log(2.0), second}, 1e-6);
  check_close(nn::losses::cross_entropy(logits, classes, {.reduction = Reduction::mean}),
              Values{(std::log(2.0) + second) / 2}, 1e-6);
  check_close(nn::losses::cross_entropy(logits, classes, {.weights = floats({2, 0})}),
              Values{2 * std::log(2.0), 0}, 1e-6);
  check_close(nn::losses::cross_entropy(transpose(logits), classes, {.axis = 0}),
              Values{std::log(2.0), second}, 1e-6);
  check_close(nn::losses::cross_entropy(logits, classes, {.label_smoothing = 0.5}),
              Values{std::log(2.0), 0.5 * second + 0.5 * (second - 1)}, 1e-6);
  const Array a = floats({0, 2}), b = floats({1, -1});
  check_close(mse_loss(a, b), Values{5}, 1e-6);
  check_close(mse_loss(a, b, Reduction::sum), Values{10}, 1e-6);
  check_close(l1_loss(a, b, Reduction::none), Values{1, 3}, 1e-6);
  check_close(smooth_l1_loss(a, b, 2.0, Reduction::none), Values{0.25, 2}, 1e-6);
  check_close(huber_loss(a, b, 2.0), Values{0.5, 4}, 1e-6);
  check_close(hinge_loss(a, b), Values{1, 3}, 1e-6);
  check_close(binary_cross_entropy(floats({0, 0}), floats({1, 0})), Values{std::log(2.0)}, 1e-6);
  check_close(binary_cross_entropy(floats({0, 1}), floats({1, 1}),
                                   {.with_logits = false, .reduction = Reduction::none}),
              Values{100, 0}, 1e-6);
  check_close(cosine_similarity_loss(floats({1, 0}, {1, 2}), floats({1, 1}, {1, 2})),
              Values{std::sqrt(0.5)}, 1e-6);
  check_close(triplet_loss(floats({0, 0}, {1, 2}), floats({3, 4}, {1, 2}), floats({0, 1}, {1, 2})),
              Values{5}, 1e-5);
  CHECK(contains(message_of([&] { mse_loss(a, floats({1})); }),
                 "predictions have shape (2,), but targets have shape (1,)"));
  CHECK(contains(message_of([&] { nn::losses::cross_entropy(logits, ints({1})); }),
                 "expected (2,), or the shape of the logits"));
  CHECK(contains(message_of([&] { nn::losses::cross_entropy(logits, floats({1, 1})); }),
                 "class indices must be integers"));
  CHECK(contains(
      message_of([&] { nn::losses::cross_entropy(logits, classes, {.weights = floats({1})}); }),
      "weights have shape (1,)"));
}

TEST_CASE("nn: initializers have the deviations they promise") {
  random::seed(0);
  auto deviation = [](const Array& a) { return stddev(a).item<double>(); };
  CHECK(deviation(nn::init::glorot_normal({200, 300})) ==
        doctest::Approx(std::sqrt(2.0 / 500)).epsilon(0.02));
  CHECK(deviation(nn::init::glorot_uniform({200, 3, 100})) ==
        doctest::Approx(std::sqrt(2.0 / 900)).epsilon(0.02));
  CHECK(deviation(nn::init::he_normal({200, 300}, nn::init::Fan::out, 2.0)) ==
        doctest::Approx(2 / std::sqrt(200.0)).epsilon(0.02));
  CHECK(deviation(nn::init::he_uniform({200, 300})) ==
        doctest::Approx(1 / std::sqrt(300.0)).epsilon(0.02));
  check_close(sum(equal(nn::init::sparse({50, 10}, 0.25), 0), Dims{1}), Values(50, 3), 0);
  check_close(nn::init::identity({2, 2}), Values{1, 0, 0, 1}, 0);
  const Array tall = nn::init::orthogonal({7, 4}, 2.0), wide = nn::init::orthogonal({3, 5});
  check_close(matmul(transpose(tall), tall), values(4 * eye(4)), 1e-6);
  check_close(matmul(wide, transpose(wide)), values(eye(3)), 1e-6);
  CHECK(contains(message_of([] { nn::init::orthogonal({2}); }), "(2,); expected a matrix"));
  CHECK(contains(message_of([] { nn::init::identity({2, 3}); }), "(2, 3); expected a square"));
  CHECK(contains(message_of([] { nn::init::he_normal({2}); }), "he_normal: the shape is (2,)"));
}

TEST_CASE("nn: gradients through layers are right") {
  random::seed(0);
  nn::MultiHeadAttention attention(4, 2);
  attention.set_dtype(Dtype::float64);
  check_rules(
      [&](std::span<const Array> in) {
        return std::vector<Array>{attention(in[0], in[0], in[0], "causal")};
      },
      {normals({2, 3, 4}, 1)});
  nn::LSTM lstm(3, 2);
  lstm.set_dtype(Dtype::float64);
  check_rules([&](std::span<const Array> in) { return std::vector<Array>{lstm(in[0]).first}; },
              {normals({4, 3}, 2)});
  nn::ConvTranspose1d conv(3, 2, 3, {.stride = 2});
  conv.set_dtype(Dtype::float64);
  check_rules([&](std::span<const Array> in) { return std::vector<Array>{conv(in[0])}; },
              {normals({1, 4, 3}, 3)});
}
