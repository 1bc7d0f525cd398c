// Kernels that compute the program in front of them as they read their input.
//
// Note [Read programs]: what a program makes need not touch memory if one kernel is all that reads
// it and computes the program itself, element by element, as it reads (Kernel::takes_input). Others
// may see the result too: then it is stored on the way. The two steps are joined when the plan is
// made, in the program's turn, since the kernel has no other input. Whether layouts allow it, and
// whether the kernel is there yet, is seen only when they run; where not, the steps run one after
// the other, with the same bits.
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

// The program's output that the kernel of step `reader` would read, or -1 if they are not joined.
int32_t read_by(const PlanGraph& g, const Step& program, const PlanNode& reader, Slot slot) {
  if (program.kernel >= 0 || program.reader >= 0) return -1;
  if (g.nodes[program.node].node->stream != reader.node->stream) return -1;
  const Slot* outputs = g.step_outputs.data() + program.first_output;
  const auto output =
      static_cast<int32_t>(std::find(outputs, outputs + program.n_outputs, slot) - outputs);
  const Kernel* kernel = backend_of(device_of_stream(reader.node->stream))
                             .find_kernel(*reader.node->op, reader.node->in[0].dtype());
  Prologue prologue;
  prologue.call.program = program.program.get();
  prologue.call.literals = {g.step_literals.data() + program.first_literal,
                            program.program->literals.size()};
  prologue.output = output;
  return kernel->takes_input(reader.node->attrs, prologue) ? output : -1;
}

}  // namespace

void join_prologues(PlanGraph& g) {
  std::vector<uint32_t> program_of;  // of a slot that a program makes: its step
  for (uint32_t s = 0; s < g.steps.size(); ++s) {
    const Step& step = g.steps[s];
    if (step.kind != NodeKind::kernel || step.joined) continue;
    const PlanNode& n = g.nodes[step.node];
    if (n.n_in != 1 || n.node->n_out != 1) continue;
    const Slot slot = g.in_slots[n.first_in];
    if (slot < 0 ||
        g.nodes[g.slots[static_cast<size_t>(slot)].producer].kind != NodeKind::pointwise)
      continue;
    const Kernel* kernel = backend_of(device_of_stream(n.node->stream))
                               .find_kernel(*n.node->op, n.node->in[0].dtype());
    if (!kernel || !kernel->takes_input || in_row_block(g, s)) continue;
    if (program_of.empty()) {
      program_of.resize(g.slots.size());
      for (uint32_t p = 0; p < g.steps.size(); ++p) {
        const Step& made = g.steps[p];
        if (made.kind != NodeKind::pointwise) continue;
        for (uint32_t o = 0; o < made.n_outputs; ++o)
          program_of[static_cast<size_t>(g.step_outputs[made.first_output + o])] = p;
      }
    }
    const uint32_t p = program_of[static_cast<size_t>(slot)];
    if (in_row_block(g, p)) continue;
    const int32_t output = read_by(g, g.steps[p], n, slot);
    if (output < 0) continue;
    g.steps[p].reader = static_cast<int32_t>(s);
    g.steps[p].read = output;
    g.steps[s].joined = true;
  }
}

bool Runner::is_stored(const Step& step, uint32_t output) const {
  if (step.reader < 0 || static_cast<int32_t>(output) != step.read) return true;
  const fuse::SlotInfo& slot = g_.slots[g_.step_outputs[step.first_output + output]];
  return slot.held || slot.uses > 1;
}

// Returns false, with nothing computed, if the kernel declines.
bool Runner::run_reader(const Step& step, const fuse::ProgramCall& call) {
  const PlanNode& n = g_.nodes[g_.steps[static_cast<size_t>(step.reader)].node];
  const Device device = device_of_stream(n.node->stream);
  const Value& read =
      *v_.slots[g_.step_outputs[step.first_output + static_cast<uint32_t>(step.read)]];
  const Kernel* kernel = backend_of(device).find_kernel(*n.node->op, read.dtype);
  LEGATO_CHECK(kernel && kernel->takes_input,
               "a kernel was joined with a program it can't compute");
  if (!accepts(kernel->accepts, read)) return false;
  Value& out = *v_.slots[n.first_slot];
  out.storage ? place_at_start(out) : allocate(out, device);
  const View in{nullptr, &read.shape, &read.layout.strides, read.size, read.dtype, read.row_major};
  const View result = view_of(out, device);
  Prologue prologue;
  prologue.call = call;
  prologue.output = step.read;

  KernelLaunch launch(device);
  launch.op = n.node->op;
  launch.raw_attrs = n.node->attrs;
  launch.allow_tf32 = n.node->allow_tf32;
  launch.prologue = &prologue;
  launch.in = {&in, 1};
  launch.out = {&result, 1};
  backend_of(device).run_kernel(device.index, *kernel, launch);
  if (launch.declined) return false;
  launch.rethrow();
  counts().kernels.fetch_add(1, std::memory_order_relaxed);
  counts().prologues.fetch_add(1, std::memory_order_relaxed);
  if (!backend_of(device).asynchronous()) return true;
  DeviceStorage& to = storage_of(out);
  to.computed_by(backend_of(device).work_given(device.index));
  for (uint32_t i = 0; i < step.n_inputs; ++i)
    to.inherit_checks(storage_of(value(g_.step_inputs[step.first_input + i].slot)));
  return true;
}

}  // namespace legato
