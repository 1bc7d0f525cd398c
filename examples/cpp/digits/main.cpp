// Trains a small convolutional network on 1,500 real handwritten digits, in C++ only, and judges it
// on the 297 that it has not seen.
//
//   digits [--epochs N] [--seed N] [--data digits.npz] [--weights FILE.safetensors]
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "legato/legato.h"

using namespace legato;

namespace {

constexpr int64_t kTraining = 1500, kBatch = 50;

struct Classifier : nn::Module {
  nn::Conv2d conv1{1, 16, 3, {.padding = 1}}, conv2{16, 32, 3, {.padding = 1}};
  nn::BatchNorm norm1{16}, norm2{32};
  nn::MaxPool2d pool{2};
  nn::Dropout dropout{0.3};
  nn::Linear out{32 * 4 * 4, 10};
  LEGATO_MEMBERS(conv1, conv2, norm1, norm2, pool, dropout, out)

  Array operator()(const Array& images) {  // (N, 8, 8, 1) -> logits (N, 10)
    Array x = nn::relu(norm1(conv1(images)));
    x = pool(nn::relu(norm2(conv2(x))));
    return out(dropout(flatten(x, 1)));
  }
};

struct Data {
  Array images, labels;  // (N, 8, 8, 1) from 0 to 1, (N,)
};

Data rows(const Data& data, const Array& indices) {
  return {take(data.images, indices, 0), take(data.labels, indices, 0)};
}

/// Images moved by up to one pixel, so that there are more of them to learn from.
Array jittered(const Array& images) {
  const Array padded = pad(images, {{0, 0}, {1, 1}, {1, 1}, {0, 0}});
  const Array start = random::randint(0, 3, {2});
  return dynamic_slice(padded, start, {1, 2}, {8, 8});
}

double accuracy(Classifier& model, const Data& data) {
  model.eval();
  const Array right = equal(argmax(model(data.images), -1), data.labels);
  const double share = mean(right).item<double>();
  model.train();
  return share;
}

void train(Classifier& model, const Data& data, int epochs) {
  const int64_t steps = kTraining / kBatch;
  optim::AdamW optimizer(optim::cosine_decay(4e-3, epochs * steps), {.bias_correction = true});
  // Compiled: the function is run once for its graph, and the graph then step by step.
  auto step = optim::compile_step(model, optimizer, [&](const Array& images, const Array& labels) {
    const Array logits = model(jittered(images));
    return nn::losses::cross_entropy(logits, labels, {.reduction = nn::Reduction::mean});
  });
  for (int epoch = 1; epoch <= epochs; ++epoch) {
    const std::vector<Array> batches =
        unstack(reshape(random::permutation(kTraining), {steps, kBatch}));
    double total = 0;
    for (const Array& indices : batches) {
      const Data batch = rows(data, indices);
      const Array loss = step(batch.images, batch.labels);
      nn::evaluate({model.parameters(), optimizer.state()});
      total += loss.item<double>();
    }
    std::printf("epoch %2d of %d: loss %.4f\n", epoch, epochs, total / static_cast<double>(steps));
    std::fflush(stdout);
  }
}

void run(std::map<std::string, std::string>& options) {
  random::seed(std::atoll(options["--seed"].c_str()));
  const NamedArrays file = load_npz(options["--data"]);
  const Array pixels = astype(nn::array_named(file, "images"), Dtype::float32) / 16;
  const Data all{expand_dims(pixels, {-1}), nn::array_named(file, "labels")};
  const std::vector<Array> parts = split_at(random::permutation(pixels.shape(0)), {kTraining});
  const Data training = rows(all, parts[0]), held_out = rows(all, parts[1]);

  Classifier model;
  std::printf("%s\n", model.summary().c_str());
  const auto start = std::chrono::steady_clock::now();
  train(model, training, std::atoi(options["--epochs"].c_str()));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::printf("trained in %.1f s\n", seconds.count());
  std::printf("accuracy on %lld held-out digits: %.1f %%\n",
              static_cast<long long>(held_out.labels.size()), 100 * accuracy(model, held_out));

  model.save_weights(options["--weights"]);
  Classifier again;
  again.load_weights(options["--weights"]);
  std::printf("accuracy with the weights read back from %s: %.1f %%\n",
              options["--weights"].c_str(), 100 * accuracy(again, held_out));
}

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::string> options = {{"--epochs", "20"},
                                                {"--seed", "0"},
                                                {"--data", DIGITS_FILE},
                                                {"--weights", "digits.safetensors"}};
  for (int i = 1; i < argc; i += 2) {
    if (!options.count(argv[i]) || i + 1 == argc) {
      std::fprintf(stderr, "usage: %s [--epochs N] [--seed N] [--data FILE] [--weights FILE]\n",
                   argv[0]);
      return 2;
    }
    options[argv[i]] = argv[i + 1];
  }
  try {
    run(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "digits: %s\n", error.what());
    return 1;
  }
}
