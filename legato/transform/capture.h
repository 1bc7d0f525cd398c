// Capture: run a function once on fresh inputs, and get the nodes that depend on them in
// topological order.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "legato/array/array.h"
#include "legato/op/op.h"
#include "legato/transform/transform.h"

namespace legato {

/// A node of a captured graph and where its inputs come from.
struct TapeNode {
  Node* node;
  uint32_t first_in;     // into Tape::in_values, one entry an input
  uint32_t first_value;  // its outputs are values first_value, first_value + 1, ...
};

/// The captured graph. Values are numbered: the inputs first, then the outputs of each node. The
/// capture stays open while the tape lives, so that nodes evaluated meanwhile keep their inputs.
class Tape {
 public:
  static constexpr int32_t kIndependent = -1;  // a value that does not depend on the inputs

  std::vector<Array> inputs;   // the fresh inputs
  std::vector<Array> outputs;  // what f returned
  std::vector<TapeNode> nodes;
  std::vector<int32_t> in_values;
  std::vector<int32_t> out_values;  // value of each output
  // What f saw the sizes of (note [Sizes read by the caller] in op/composed.h) and its values; and
  // whether it saw sizes of what a transform inside f made up, which no values of this tape tell.
  std::vector<Array> sized;
  std::vector<int32_t> sized_values;
  bool saw_foreign_sizes = false;
  uint32_t n_values = 0;
  Ref<CaptureMark> mark;

  Tape() = default;
  Tape(Tape&&) = default;
  Tape& operator=(Tape&&) = delete;
  ~Tape();

  std::span<const int32_t> in_values_of(const TapeNode& n) const {
    return {in_values.data() + n.first_in, n.node->n_in};
  }
};

enum class Binding {
  to_primals,  // fresh inputs are identities of the given arrays: values can be read inside f
  unbound,     // fresh inputs have a shape and a dtype only: reading a value raises and names the
               // transform
};

/// Runs f on fresh inputs made like `like`. Exceptions of f pass through; nothing of the capture
/// stays behind. `note_sizes`: fills in what f saw the sizes of.
Tape capture(const ArrayFn& f, std::span<const Array> like, const char* transform, Binding binding,
             bool note_sizes = false);

/// A fresh unbound array of this shape and dtype, made under the current capture.
Array unbound_like(const Shape& shape, Dtype dtype);

}  // namespace legato
