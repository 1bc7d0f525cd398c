// Recurrent layers, which run over a sequence (L, features) or (N, L, features) step by step.
#pragma once

#include "legato/nn/activations.h"
#include "legato/nn/module.h"

namespace legato::nn {

// States begin at `hidden`, (H,) or (N, H), or at zero. Results hold the states after all steps,
// (L, H) or (N, L, H). Parameters are at first uniform in ±1/√H. An input without steps throws
// ValueError.

/// h' = tanh(Wxh x + Whh h + b), or another function in place of tanh. Parameters: `Wxh` (H,
/// input_size), `Whh` (H, H), `bias` (H,).
struct LEGATO_API RNN : Module {
  Array Wxh, Whh, bias;
  Array (*nonlinearity)(const Array&);
  RNN(int64_t input_size, int64_t hidden_size, bool bias = true,
      Array (*nonlinearity)(const Array&) = &legato::tanh);
  LEGATO_MEMBERS(Wxh, Whh, bias)
  Array operator()(const Array& x, Array hidden = {}) const;
};

/// r, z = σ(...), n = tanh(Wn x + bn + r (Un h + bhn)), h' = (1 - z) n + z h (Cho et al., 2014).
/// Parameters: `Wx` (3H, input_size) and `Wh` (3H, H) for r, z and n in this order, `b` (3H,),
/// `bhn` (H,).
struct LEGATO_API GRU : Module {
  Array Wx, Wh, b, bhn;
  GRU(int64_t input_size, int64_t hidden_size, bool bias = true);
  LEGATO_MEMBERS(Wx, Wh, b, bhn)
  Array operator()(const Array& x, Array hidden = {}) const;
};

/// c' = σ(f) c + σ(i) tanh(g), h' = σ(o) tanh(c') (Hochreiter and Schmidhuber, 1997). Parameters:
/// `Wx` (4H, input_size) and `Wh` (4H, H) for i, f, g and o in this order, `bias` (4H,).
struct LEGATO_API LSTM : Module {
  Array Wx, Wh, bias;
  LSTM(int64_t input_size, int64_t hidden_size, bool bias = true);
  LEGATO_MEMBERS(Wx, Wh, bias)
  /// The states h and c after all steps.
  std::pair<Array, Array> operator()(const Array& x, Array hidden = {}, Array cell = {}) const;
};

}  // namespace legato::nn
