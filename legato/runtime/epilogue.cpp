// Kernels that apply the program behind them as they store their result.
//
// Note [Joined steps]: a kernel's output that only one program reads, and nobody holds, need not
// touch memory if the kernel can apply the program on the way (Kernel::takes). The two steps are
// joined when the plan is made: the kernel's step waits for its program's turn, since the program
// may read what is computed in between, and nothing in between reads the kernel's output. Whether
// layouts allow it is seen only when they run; where they don't, the steps run one after the other
// as if they had not been joined.
#include <algorithm>

#include "legato/base/error.h"
#include "legato/runtime/launch.h"
#include "legato/runtime/plan.h"

namespace legato {

using fuse::NodeKind;
using fuse::PlanGraph;
using fuse::PlanNode;
using fuse::Slot;
using fuse::Step;

namespace {

// Whether the kernel behind input `through` of the program can apply it.
bool joins(const PlanGraph& g, const Step& program_step, uint32_t through) {
  const fuse::StepInput& in = g.step_inputs[program_step.first_input + through];
  if (in.slot < 0) return false;
  const fuse::SlotInfo& slot = g.slots[static_cast<size_t>(in.slot)];
  const PlanNode& n = g.nodes[slot.producer];
  if (n.kind != NodeKind::kernel || n.node->n_out != 1) return false;
  if (slot.held || slot.uses != in.edges || g.steps[n.step].joined) return false;
  const Value& result = g.value(in.slot);
  const Value& out = g.value(g.step_outputs[program_step.first_output]);
  if (n.node->stream != g.nodes[program_step.node].node->stream || result.shape != out.shape)
    return false;
  Device device = device_of_stream(n.node->stream);
  const Dtype key = n.n_in ? n.node->in[0].dtype() : result.dtype;
  const Kernel* kernel = backend_of(device).find_kernel(*n.node->op, key);
  if (!kernel || !kernel->takes) return false;
  Epilogue epilogue;
  epilogue.program = program_step.program.get();
  epilogue.input = static_cast<int>(through);
  epilogue.literals = {g.step_literals.data() + program_step.first_literal,
                       program_step.program->literals.size()};
  return kernel->takes(n.node->attrs, epilogue);
}

}  // namespace

void join_epilogues(PlanGraph& g) {
  auto block = g.row_blocks.begin();
  for (uint32_t s = 0; s < g.steps.size(); ++s) {
    if (block != g.row_blocks.end() && s == block->first_step) {
      s += block->n_steps - 1;
      ++block;
      continue;
    }
    Step& step = g.steps[s];
    if (step.kind != NodeKind::pointwise || step.n_outputs != 1) continue;
    for (uint32_t i = 0; i < step.n_inputs; ++i) {
      if (!joins(g, step, i)) continue;
      const PlanNode& n = g.nodes[g.slots[g.step_inputs[step.first_input + i].slot].producer];
      const bool in_rows = std::any_of(g.row_blocks.begin(), g.row_blocks.end(), [&](auto& b) {
        return n.step >= b.first_step && n.step < b.first_step + b.n_steps;
      });
      if (in_rows) continue;
      g.steps[n.step].joined = true;
      step.kernel = static_cast<int32_t>(n.step);
      step.through = static_cast<int32_t>(i);
      break;
    }
  }
}

// Returns false, having changed nothing, if the kernel declines.
bool Runner::run_joined(const Step& step) {
  const PlanNode& n = g_.nodes[g_.steps[static_cast<size_t>(step.kernel)].node];
  const Op& op = *n.node->op;
  Value& out = *v_.slots[g_.step_outputs[step.first_output]];
  Device device = device_of_stream(n.node->stream);
  const Dtype key = n.n_in ? value(g_.in_slots[n.first_in]).dtype : out.dtype;
  const Kernel* kernel = kernel_of(op, key, device);
  LEGATO_CHECK(kernel && kernel->takes, "a kernel was joined with a program that it can't apply");

  std::vector<View> in;
  std::vector<Value> copies;  // keeps row-major copies until the kernel has run
  in.reserve(n.n_in);
  copies.reserve(n.n_in);
  for (uint32_t i = 0; i < n.n_in; ++i) {
    const Value* v = &value(g_.in_slots[n.first_in + i]);
    if (!accepts(kernel->accepts, *v)) v = &copies.emplace_back(row_major_copy(*v, device));
    in.push_back(view_of(*v, device));
  }
  std::vector<fuse::BoundInput> bound(step.n_inputs);
  for (uint32_t i = 0; i < step.n_inputs; ++i) {
    if (static_cast<int32_t>(i) == step.through) continue;
    const Value& v = value(g_.step_inputs[step.first_input + i].slot);
    bound[i].data = data_on(v, device);
    bound[i].strides = broadcast_strides(v.shape, v.layout.strides, out.shape);
  }
  const bool placed = static_cast<bool>(out.storage);
  placed ? place_at_start(out) : allocate(out, device);
  const View result = view_of(out, device);
  Epilogue epilogue;
  epilogue.program = step.program.get();
  epilogue.input = step.through;
  epilogue.literals = {g_.step_literals.data() + step.first_literal, step.program->literals.size()};
  epilogue.inputs = bound;

  KernelLaunch launch(device);
  launch.op = &op;
  launch.raw_attrs = n.node->attrs;
  launch.allow_tf32 = n.node->allow_tf32;
  launch.epilogue = &epilogue;
  launch.in = in;
  launch.out = {&result, 1};
  backend_of(device).run_kernel(device.index, *kernel, launch);
  if (launch.declined) {
    if (!placed) out.storage = nullptr;
    return false;
  }
  launch.rethrow();
  counts().kernels.fetch_add(1, std::memory_order_relaxed);
  counts().epilogues.fetch_add(1, std::memory_order_relaxed);
  if (!backend_of(device).asynchronous()) return true;
  DeviceStorage& to = storage_of(out);
  to.computed_by(backend_of(device).work_given(device.index));
  for (auto& check : launch.checks()) to.add_check(check);
  for (uint32_t i = 0; i < n.n_in; ++i)
    to.inherit_checks(storage_of(value(g_.in_slots[n.first_in + i])));
  for (uint32_t i = 0; i < step.n_inputs; ++i)
    if (static_cast<int32_t>(i) != step.through)
      to.inherit_checks(storage_of(value(g_.step_inputs[step.first_input + i].slot)));
  return true;
}

}  // namespace legato
