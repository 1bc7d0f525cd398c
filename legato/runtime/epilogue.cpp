// Kernels that apply the program behind them as they store their result.
//
// Note [Joined steps]: a kernel's output that only one program reads, and nobody holds, need not
// touch memory if the kernel can apply the program on the way (Kernel::takes). The two steps are
// joined when the plan is made: the kernel's step waits for its program's turn, since the program
// may read what is computed in between, and nothing in between reads the kernel's output. Whether
// layouts allow it is seen only when they run; where they don't, the steps run one after the other
// as if they had not been joined. The program may also read the result in two halves through
// views (a split), as gated activations do; the views' steps then wait with the kernel's.
#include <algorithm>
#include <optional>

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

// Whether `slot` is made by a kernel of one output for the program alone, `uses` reads of it.
bool is_for(const PlanGraph& g, Slot at, uint32_t uses, const Step& program_step) {
  const fuse::SlotInfo& slot = g.slots[static_cast<size_t>(at)];
  const PlanNode& n = g.nodes[slot.producer];
  return n.kind == NodeKind::kernel && n.node->n_out == 1 && !slot.held && slot.uses == uses &&
         !g.steps[n.step].joined && n.node->stream == g.nodes[program_step.node].node->stream;
}

// Whether the kernel of that node can apply the program to its result, or to two halves of it.
bool takes(const PlanGraph& g, const PlanNode& n, const Step& program_step, uint32_t input,
           int second) {
  const Dtype key = n.n_in ? n.node->in[0].dtype() : n.node->out[0].dtype;
  const Kernel* kernel = backend_of(device_of_stream(n.node->stream)).find_kernel(*n.node->op, key);
  if (!kernel || !kernel->takes) return false;
  Epilogue epilogue;
  epilogue.program = program_step.program.get();
  epilogue.input = static_cast<int>(input);
  epilogue.second = second;
  epilogue.literals = {g.step_literals.data() + program_step.first_literal,
                       program_step.program->literals.size()};
  return kernel->takes(n.node->attrs, epilogue);
}

const Value& output_of(const PlanGraph& g, const Step& program_step) {
  return g.value(g.step_outputs[program_step.first_output]);
}

// The step of the kernel behind input `i` of the program, if they can be joined; else -1.
int32_t joins(const PlanGraph& g, const Step& step, uint32_t i) {
  const fuse::StepInput& in = g.step_inputs[step.first_input + i];
  if (in.slot < 0 || !is_for(g, in.slot, in.edges, step)) return -1;
  if (g.value(in.slot).shape != output_of(g, step).shape) return -1;
  const PlanNode& n = g.nodes[g.slots[static_cast<size_t>(in.slot)].producer];
  return takes(g, n, step, i, -1) ? static_cast<int32_t>(n.step) : -1;
}

// A half of some slot's value, along its last axis.
struct Half {
  Slot of = -1;
  int which = 0;
  uint32_t view_step = 0;
};

// Whether input `i` of the program is a half of something, in a view that only the program reads.
std::optional<Half> half_of(const PlanGraph& g, const Step& step, uint32_t i) {
  const fuse::StepInput& in = g.step_inputs[step.first_input + i];
  if (in.slot < 0) return {};
  const fuse::SlotInfo& slot = g.slots[static_cast<size_t>(in.slot)];
  const PlanNode& view = g.nodes[slot.producer];
  if (view.kind != NodeKind::view || slot.held || slot.uses != in.edges) return {};
  const Slot of = g.in_slots[view.first_in];
  if (of < 0) return {};
  const Value &whole = g.value(of), &part = g.value(in.slot);
  const Shape& shape = output_of(g, step).shape;
  if (part.shape != shape || shape.empty() || shape.size() != whole.shape.size()) return {};
  for (size_t axis = 0; axis + 1 < shape.size(); ++axis)
    if (shape[axis] != whole.shape[axis]) return {};
  const int64_t n = shape.back();
  if (n == 0 || whole.shape.back() != 2 * n) return {};
  Layout dense, seen;
  dense.strides = row_major_strides(whole.shape);
  const auto output = static_cast<int>(static_cast<uint32_t>(in.slot) - view.first_slot);
  if (!view.node->op->view(view.node->attrs, whole.shape, dense, part.shape, output, seen))
    return {};
  for (size_t axis = 0; axis < shape.size(); ++axis)
    if (shape[axis] > 1 && seen.strides[axis] != dense.strides[axis]) return {};
  if (seen.offset != 0 && seen.offset != n) return {};
  return Half{of, seen.offset == n, view.step};
}

// Joins a kernel with the program if that reads its result in two halves.
bool join_halves(PlanGraph& g, Step& step) {
  for (uint32_t i = 0; i + 1 < step.n_inputs; ++i) {
    const auto one = half_of(g, step, i);
    if (!one) continue;
    for (uint32_t k = i + 1; k < step.n_inputs; ++k) {
      const auto two = half_of(g, step, k);
      if (!two || two->of != one->of || two->which == one->which) continue;
      const uint32_t uses = one->view_step == two->view_step ? 1 : 2;
      if (!is_for(g, one->of, uses, step) || in_row_block(g, one->view_step) ||
          in_row_block(g, two->view_step))
        continue;
      const PlanNode& n = g.nodes[g.slots[static_cast<size_t>(one->of)].producer];
      if (in_row_block(g, n.step)) continue;
      const uint32_t first = one->which == 0 ? i : k, second = one->which == 0 ? k : i;
      if (!takes(g, n, step, first, static_cast<int>(second))) continue;
      step.kernel = static_cast<int32_t>(n.step);
      step.through = static_cast<int32_t>(first);
      step.second = static_cast<int32_t>(second);
      step.views[0] = static_cast<int32_t>(one->view_step);
      step.views[1] = static_cast<int32_t>(two->view_step);
      g.steps[n.step].joined = true;
      for (int32_t view : step.views) g.steps[static_cast<size_t>(view)].joined = true;
      return true;
    }
  }
  return false;
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
    for (uint32_t i = 0; i < step.n_inputs && step.kernel < 0; ++i) {
      const int32_t kernel = joins(g, step, i);
      if (kernel < 0) continue;
      const auto at = static_cast<uint32_t>(kernel);
      if (in_row_block(g, at)) continue;
      g.steps[at].joined = true;
      step.kernel = kernel;
      step.through = static_cast<int32_t>(i);
    }
    if (step.kernel < 0) join_halves(g, step);
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
  const InUse in_use(device);

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
    if (static_cast<int32_t>(i) == step.through || static_cast<int32_t>(i) == step.second) continue;
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
  epilogue.second = step.second;
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
    if (static_cast<int32_t>(i) != step.through && static_cast<int32_t>(i) != step.second)
      to.inherit_checks(storage_of(value(g_.step_inputs[step.first_input + i].slot)));
  return true;
}

}  // namespace legato
