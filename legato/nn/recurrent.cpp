#include "legato/nn/recurrent.h"

#include "legato/nn/check.h"
#include "legato/ops/concat/concat.h"
#include "legato/ops/index/slice.h"
#include "legato/ops/matmul/matmul.h"
#include "legato/ops/shape/shape.h"

namespace legato::nn {
namespace {

/// x Wᵀ + b for all steps at once, divided into the steps.
std::vector<Array> project(const char* layer, const Array& x, const Array& weight,
                           const Array& bias) {
  if ((x.ndim() != 2 && x.ndim() != 3) || x.shape(-2) == 0 || x.shape(-1) != weight.shape(1))
    throw ValueError(cat(layer, ": the input has shape ", x.shape(), "; expected (L, ",
                         weight.shape(1), ") or (N, L, ", weight.shape(1),
                         ") with at least one step."));
  return unstack(linear(x, weight, bias), -2);
}

/// The part [start, stop) of the last axis.
Array part(const Array& a, int64_t start, int64_t stop) {
  SliceAttrs s = full_slice(a.ndim());
  s.start[a.ndim() - 1] = start;
  s.stop[a.ndim() - 1] = stop;
  return slice(a, s);
}

}  // namespace

RNN::RNN(int64_t input_size, int64_t hidden_size, bool with_bias, Array (*function)(const Array&))
    : nonlinearity(function) {
  check_sizes("RNN", {{"input_size", input_size}, {"hidden_size", hidden_size}});
  const double fan = static_cast<double>(hidden_size);
  Wxh = uniform_weight({hidden_size, input_size}, fan);
  Whh = uniform_weight({hidden_size, hidden_size}, fan);
  if (with_bias) bias = uniform_weight({hidden_size}, fan);
}

Array RNN::operator()(const Array& x, Array hidden) const {
  const Array recurrent = transpose(Whh);
  std::vector<Array> states;
  for (const Array& gate : project("RNN", x, Wxh, bias)) {
    hidden = nonlinearity(hidden ? gate + matmul(hidden, recurrent) : gate);
    states.push_back(hidden);
  }
  return stack(states, -2);
}

GRU::GRU(int64_t input_size, int64_t hidden_size, bool with_bias) {
  check_sizes("GRU", {{"input_size", input_size}, {"hidden_size", hidden_size}});
  const double fan = static_cast<double>(hidden_size);
  Wx = uniform_weight({3 * hidden_size, input_size}, fan);
  Wh = uniform_weight({3 * hidden_size, hidden_size}, fan);
  if (!with_bias) return;
  b = uniform_weight({3 * hidden_size}, fan);
  bhn = uniform_weight({hidden_size}, fan);
}

Array GRU::operator()(const Array& x, Array hidden) const {
  const int64_t size = Wh.shape(1);
  const Array recurrent = transpose(Wh);
  std::vector<Array> states;
  for (const Array& input : project("GRU", x, Wx, b)) {
    Array gates = part(input, 0, 2 * size), candidate = part(input, 2 * size, 3 * size);
    Array from_state;  // what the state adds to the candidate, if anything
    if (hidden) {
      const Array all = matmul(hidden, recurrent);
      gates += part(all, 0, 2 * size);
      from_state = part(all, 2 * size, 3 * size);
    }
    if (bhn) from_state = from_state ? from_state + bhn : bhn;
    const std::vector<Array> reset_update = split(sigmoid(gates), 2, -1);
    const Array& update = reset_update[1];
    if (from_state) candidate += reset_update[0] * from_state;
    const Array fresh = (1 - update) * tanh(candidate);
    hidden = hidden ? fresh + update * hidden : fresh;
    states.push_back(hidden);
  }
  return stack(states, -2);
}

LSTM::LSTM(int64_t input_size, int64_t hidden_size, bool with_bias) {
  check_sizes("LSTM", {{"input_size", input_size}, {"hidden_size", hidden_size}});
  const double fan = static_cast<double>(hidden_size);
  Wx = uniform_weight({4 * hidden_size, input_size}, fan);
  Wh = uniform_weight({4 * hidden_size, hidden_size}, fan);
  if (with_bias) bias = uniform_weight({4 * hidden_size}, fan);
}

std::pair<Array, Array> LSTM::operator()(const Array& x, Array hidden, Array cell) const {
  const Array recurrent = transpose(Wh);
  std::vector<Array> hiddens, cells;
  for (Array& gates : project("LSTM", x, Wx, bias)) {
    if (hidden) gates += matmul(hidden, recurrent);
    const std::vector<Array> g = split(gates, 4, -1);  // i, f, g, o
    const Array fresh = sigmoid(g[0]) * tanh(g[2]);
    cell = cell ? sigmoid(g[1]) * cell + fresh : fresh;
    hidden = sigmoid(g[3]) * tanh(cell);
    hiddens.push_back(hidden);
    cells.push_back(cell);
  }
  return {stack(hiddens, -2), stack(cells, -2)};
}

}  // namespace legato::nn
