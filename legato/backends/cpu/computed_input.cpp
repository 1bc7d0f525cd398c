#include "legato/backends/cpu/computed_input.h"

#include <algorithm>

namespace legato::cpu {

namespace {

// A program over a part of its shape: the axes from some axis on, with operands at their place.
struct PartCall {
  const fuse::ProgramCall& whole;
  fuse::BoundInput inputs[fuse::kMaxInputs];
  void* outputs[fuse::kMaxOutputs];

  void advance(size_t axis, int64_t by) {
    for (size_t i = 0; i < whole.inputs.size(); ++i)
      inputs[i].data = static_cast<const char*>(inputs[i].data) +
                       by * whole.inputs[i].strides[axis] * size_of(whole.program->inputs[i]);
  }
  void written(int64_t n) {
    for (size_t o = 0; o < whole.outputs.size(); ++o)
      outputs[o] = static_cast<char*>(outputs[o]) +
                   n * size_of(whole.program->dtype_of_value(whole.program->outputs[o]));
  }

  // Elements [begin, begin + n) of the axes from `axis` on.
  void run(size_t axis, int64_t begin, int64_t n) {
    int64_t inner = 1;
    for (size_t i = axis + 1; i < whole.shape.size(); ++i) inner *= whole.shape[i];
    const void* at[fuse::kMaxInputs];
    for (size_t i = 0; i < whole.inputs.size(); ++i) at[i] = inputs[i].data;
    while (n > 0) {
      const int64_t index = begin / inner, within = begin % inner;
      int64_t count = n / inner * inner;  // whole indices of `axis`
      advance(axis, index);
      if (within == 0 && count > 0) {
        run_whole(axis, count / inner);
        written(count);
      } else {
        count = std::min(n, inner - within);
        run(axis + 1, within, count);
      }
      for (size_t i = 0; i < whole.inputs.size(); ++i) inputs[i].data = at[i];
      begin += count;
      n -= count;
    }
  }

  void run_whole(size_t axis, int64_t count) {
    fuse::ProgramCall call;
    call.program = whole.program;
    call.literals = whole.literals;
    call.shape.push_back(count);
    for (size_t i = axis + 1; i < whole.shape.size(); ++i) call.shape.push_back(whole.shape[i]);
    for (size_t i = 0; i < whole.inputs.size(); ++i) {
      Strides& strides = inputs[i].strides;
      strides.clear();
      for (size_t k = axis; k < whole.shape.size(); ++k)
        strides.push_back(whole.inputs[i].strides[k]);
    }
    call.inputs = {inputs, whole.inputs.size()};
    call.outputs = {outputs, whole.outputs.size()};
    backend_of(Device{}).run_program(0, call);
  }
};

}  // namespace

const void* ComputedInput::range(int64_t begin, int64_t n, void* room) const {
  PartCall part{prologue_.call, {}, {}};
  const auto& call = prologue_.call;
  for (size_t i = 0; i < call.inputs.size(); ++i) part.inputs[i].data = call.inputs[i].data;
  const void* result = nullptr;
  for (size_t o = 0; o < call.outputs.size(); ++o) {
    const int64_t size = size_of(call.program->dtype_of_value(call.program->outputs[o]));
    part.outputs[o] = call.outputs[o] ? static_cast<char*>(call.outputs[o]) + begin * size : room;
    if (static_cast<int>(o) == prologue_.output) result = part.outputs[o];
  }
  part.run(0, begin, n);
  return result;
}

}  // namespace legato::cpu
