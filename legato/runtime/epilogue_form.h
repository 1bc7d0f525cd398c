// Epilogues in the form that libraries of matrix products and convolutions know.
#pragma once

#include <optional>

#include "legato/runtime/backend.h"

namespace legato {

/// out = act(scale * result + sum of coef * operand + constant), rounded once, to `out`. Gated:
/// out = half * act(other half), where the result is read in two halves, and nothing is added.
struct EpilogueForm {
  enum class Act : uint8_t {
    none,
    relu,       // max(x, 0)
    gelu_tanh,  // x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
    gelu_erf,   // x / 2 (1 + erf(x / sqrt 2))
    silu,       // x sigmoid(x)
    sigmoid,
    tanh,
  };
  struct Addend {
    int input = 0;  // of the program
    double coef = 1;
  };
  static constexpr int kMaxAddends = 3;

  double scale = 1, constant = 0;
  Addend addends[kMaxAddends];
  int n_addends = 0;
  Act act = Act::none;
  bool gated = false, first_is_gate = false;  // the gate is the half that act is applied to
  Dtype out = Dtype::float32;
};

/// The form of a program on float16, bfloat16, float32 or float64; nothing if it has another one. A
/// result in a half type is taken for unrounded until it is stored, and constants may differ from
/// those above by what their rounding to the program's dtype makes of them. Gated if and only if
/// the program reads the result in halves.
LEGATO_API std::optional<EpilogueForm> read_epilogue(const Epilogue& epilogue);

}  // namespace legato
