#include "legato/runtime/prepare.h"

#include "legato/runtime/stream.h"

namespace legato {

using fuse::NodeKind;
using fuse::Step;

namespace {

bool is_new(const Step& step) {
  return step.kind == NodeKind::pointwise && !step.joined && step.kernel < 0 && step.reader < 0 &&
         !step.program->compiled[fuse::kKernelsOfGpu].load(std::memory_order_relaxed);
}

void prepare(const fuse::PlanGraph& g, const RunValues& values, const Step& step) {
  const Device device = device_of_stream(g.nodes[step.node].node->stream);
  Backend& backend = backend_of(device);
  if (!backend.asynchronous()) return;
  auto value = [&](fuse::Slot s) -> const Value& {
    return s >= 0 ? *values.slots[s] : *values.leaves[~s];
  };
  // An address that stands for any, as well aligned as memory of the device is.
  auto address = [](int64_t offset) {
    return reinterpret_cast<void*>(uintptr_t{1} << 20 | static_cast<uintptr_t>(offset & 255));
  };
  const fuse::Slot* outputs = g.step_outputs.data() + step.first_output;
  const fuse::StepInput* inputs = g.step_inputs.data() + step.first_input;
  const Value& first = value(outputs[0]);
  std::vector<fuse::BoundInput> bound(step.n_inputs);
  std::vector<void*> out(step.n_outputs, address(0));
  bool flat = true;
  for (uint32_t i = 0; i < step.n_inputs; ++i) {
    const Value& v = value(inputs[i].slot);
    const bool dense = !v.storage || v.row_major;
    flat &= v.size == 1 || (dense && v.size == first.size);
  }
  for (uint32_t i = 0; i < step.n_inputs; ++i) {
    const Value& v = value(inputs[i].slot);
    bound[i].data = address(v.storage ? v.layout.offset * size_of(v.dtype) : 0);
    if (flat)
      bound[i].strides.push_back(v.size == 1 ? 0 : 1);
    else
      bound[i].strides = broadcast_strides(
          v.shape, v.storage ? v.layout.strides : row_major_strides(v.shape), first.shape);
  }
  fuse::ProgramCall call;
  call.program = step.program.get();
  call.shape = flat ? Shape{first.size} : first.shape;
  call.inputs = bound;
  call.outputs = out;
  backend.prepare_program(device.index, call);
}

}  // namespace

void prepare_programs(const fuse::PlanGraph& g, const RunValues& values) {
  int fresh = 0;
  for (const Step& step : g.steps) fresh += is_new(step);
  if (fresh < 2 || !any_asynchronous_backend()) return;  // one will be met soon enough
  auto block = g.row_blocks.begin();
  for (uint32_t s = 0; s < g.steps.size(); ++s) {
    if (block != g.row_blocks.end() && s == block->first_step) {  // one kernel, as a rule
      s += block++->n_steps - 1;
      continue;
    }
    if (is_new(g.steps[s])) prepare(g, values, g.steps[s]);
  }
}

}  // namespace legato
