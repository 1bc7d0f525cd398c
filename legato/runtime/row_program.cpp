#include "legato/runtime/row_program.h"

#include <algorithm>
#include <optional>

#include "legato/base/error.h"
#include "legato/runtime/launch.h"
#include "legato/runtime/plan.h"
#include "legato/runtime/row_call.h"
#include "legato/runtime/rows.h"

namespace legato {

using fuse::NodeKind;
using fuse::PlanGraph;
using fuse::PlanNode;
using fuse::RowBlock;
using fuse::Slot;
using fuse::Step;

namespace {

constexpr uint32_t kMaxSteps = 24;
constexpr size_t kMaxValues = 40;

// The steps of a block in terms of rows. Bound twice: when the plan is made, with inputs taken for
// row-major, and when it runs, with the layouts they have.
class RowBinding {
 public:
  RowBinding(const PlanGraph& g, const RunValues* run) : g_(g), run_(run) {}

  bool bind(const RowBlock& block, int64_t n) {
    call.rows = block.rows;
    call.n = n;
    device_ = device_of_stream(g_.nodes[g_.steps[block.first_step].node].node->stream);
    for (uint32_t s = block.first_step; s < block.first_step + block.n_steps; ++s)
      if (!bind_step(g_.steps[s])) return false;
    for (size_t i = seen.size(); i-- > 0;) {
      const Seen& v = seen[i];
      if (v.made < 0) continue;
      const fuse::SlotInfo& info = g_.slots[static_cast<size_t>(v.slot)];
      if (info.held || info.uses > v.uses) call.values[static_cast<size_t>(v.made)].stored = true;
    }
    return call.values.size() <= kMaxValues;
  }

  /// Whether memory is read or written less often than by the steps alone, or joined in pairs.
  bool pays() const {
    int saved = 0;
    bool pair = false;  // what is saved is saved by a reduction that computes a program, too
    for (size_t v = 0; v < call.values.size(); ++v) {
      if (!call.values[v].wide) continue;
      int readers = 0;
      bool reduction = false;
      for (const RowStep& step : call.steps)
        if (std::find(step.in.begin(), step.in.end(), v) != step.in.end()) {
          ++readers;
          reduction |= step.kernel != nullptr;
        }
      saved += call.values[v].made ? readers : std::max(readers - 1, 0);
      pair |= call.values[v].made && readers == 1 && reduction;
    }
    return saved > (pair ? 1 : 0);
  }

  struct Seen {
    Slot slot = 0;
    const Value* value = nullptr;
    Strides strides;
    int32_t made = -1;     // the value of `call` that it is, or shows
    bool is_view = false;  // of a made value
    uint32_t uses = 0;     // by steps of the block
  };
  std::vector<Seen> seen;
  std::vector<Slot> slots;             // of each value of `call`: that it is read from or stored to
  std::vector<const PlanNode*> views;  // of values from outside: shown before the block runs
  RowCall call;

 private:
  const Value& describe(Slot s) const {
    if (!run_) return s >= 0 ? g_.value(s) : g_.leaves[static_cast<size_t>(~s)]->value();
    return s >= 0 ? *run_->slots[s] : *run_->leaves[~s];
  }
  size_t seen_of(Slot s) {
    for (size_t i = 0; i < seen.size(); ++i)
      if (seen[i].slot == s) return i;
    Seen v;
    v.slot = s;
    v.value = &describe(s);
    // What a step outside makes has a layout only once it has run.
    v.strides =
        run_ && v.value->storage ? v.value->layout.strides : row_major_strides(v.value->shape);
    seen.push_back(std::move(v));
    return seen.size() - 1;
  }

  bool bind_step(const Step& step) {
    const PlanNode& n = g_.nodes[step.node];
    if (!(device_of_stream(n.node->stream) == device_)) return false;
    if (step.joined || step.kernel >= 0 || step.reader >= 0) return false;
    switch (step.kind) {
      case NodeKind::view:
        return bind_view(n);
      case NodeKind::pointwise:
        return bind_program(step);
      case NodeKind::kernel:
        return bind_kernel(n);
      default:
        return false;
    }
  }

  // What a step over `shape` reads; how many elements a row of it has is `width`.
  bool read(Slot s, uint32_t edges, const Shape& shape, int lead, int64_t width, RowStep& step) {
    Seen& v = seen[seen_of(s)];
    v.uses += edges;
    const Strides all = broadcast_strides(v.value->shape, v.strides, shape);
    const auto stride = row_stride(shape, all, lead);
    if (!stride) return false;
    const Shape row = tail(shape, lead);
    const Strides inner = tail(all, lead);
    bool one = true;
    for (size_t i = 0; i < row.size(); ++i) one &= row[i] == 1 || inner[i] == 0;
    if (!one && (width != call.n || !is_row_major(row, inner))) return false;
    if (v.made >= 0) {
      const RowValue& made = call.values[static_cast<size_t>(v.made)];
      if (made.wide == one || (call.rows > 1 && *stride != (one ? 1 : call.n))) return false;
      step.in.push_back(static_cast<uint32_t>(v.made));
      return true;
    }
    for (size_t i = 0; i < call.values.size(); ++i) {
      const RowValue& known = call.values[i];
      if (slots[i] != s || known.made || known.wide == one || known.row_stride != *stride) continue;
      step.in.push_back(static_cast<uint32_t>(i));
      return true;
    }
    step.in.push_back(static_cast<uint32_t>(call.values.size()));
    call.values.push_back({v.value->dtype, !one, false, false, *stride, nullptr});
    slots.push_back(s);
    return true;
  }

  bool make(Slot s, bool wide, RowStep& step) {
    Seen& v = seen[seen_of(s)];
    if (v.made >= 0 || v.uses) return false;
    v.strides = row_major_strides(v.value->shape);
    v.made = static_cast<int32_t>(call.values.size());
    step.out.push_back(static_cast<uint32_t>(v.made));
    call.values.push_back({v.value->dtype, wide, true, false, wide ? call.n : 1, nullptr});
    slots.push_back(s);
    return true;
  }

  bool bind_program(const Step& step) {
    const Slot* outputs = g_.step_outputs.data() + step.first_output;
    const Shape shape = describe(outputs[0]).shape;
    const int lead = leading_axes(shape, call.rows);
    if (lead < 0) return false;
    const int64_t width = element_count(tail(shape, lead));
    if (width != call.n && width != 1) return false;
    RowStep made;
    made.program = step.program.get();
    made.literals = {g_.step_literals.data() + step.first_literal, step.program->literals.size()};
    made.wide = width == call.n;
    for (uint32_t i = 0; i < step.n_inputs; ++i) {
      const fuse::StepInput& in = g_.step_inputs[step.first_input + i];
      if (!read(in.slot, in.edges, shape, lead, width, made)) return false;
    }
    for (uint32_t o = 0; o < step.n_outputs; ++o)
      if (!make(outputs[o], made.wide, made)) return false;
    call.steps.push_back(std::move(made));
    return true;
  }

  bool bind_kernel(const PlanNode& n) {
    if (n.n_in == 0 || n.node->n_out != 1) return false;
    const Slot in = g_.in_slots[n.first_in];
    const Shape shape = describe(in).shape;
    RowStep made;
    made.kernel = backend_of(device_).find_kernel(*n.node->op, describe(in).dtype);
    made.attrs = n.node->attrs;
    if (!made.kernel || !made.kernel->own || !made.kernel->row_axes) return false;
    if (n.n_in != (made.picks() ? 2 : 1)) return false;
    const int lead =
        static_cast<int>(shape.size()) - made.kernel->row_axes(made.attrs, shape.size());
    if (lead < 0 || lead == static_cast<int>(shape.size())) return false;
    if (count_leading(shape, lead) != call.rows || element_count(tail(shape, lead)) != call.n)
      return false;
    if (!read(in, 1, shape, lead, call.n, made) || !call.values[made.in[0]].wide) return false;
    if (made.picks() && !bind_index(g_.in_slots[n.first_in + 1], lead, made)) return false;
    if (!make(static_cast<Slot>(n.first_slot), false, made)) return false;
    call.steps.push_back(std::move(made));
    return true;
  }

  // What a step that picks reads: an index for each row.
  bool bind_index(Slot in, int lead, RowStep& step) {
    const Shape shape = describe(in).shape;
    if (static_cast<int>(shape.size()) < lead || count_leading(shape, lead) != call.rows ||
        element_count(tail(shape, lead)) != 1)
      return false;
    return read(in, 1, shape, lead, 1, step) && !call.values[step.in[1]].wide;
  }

  // Views show the same memory, from where it begins.
  bool bind_view(const PlanNode& n) {
    const size_t source = seen_of(g_.in_slots[n.first_in]);
    ++seen[source].uses;
    if (seen[source].made < 0) views.push_back(&n);
    for (int o = 0; o < n.node->n_out; ++o) {
      const size_t i = seen_of(static_cast<Slot>(n.first_slot) + o);
      const Seen& from = seen[source];
      Layout in, out;
      in.strides = from.strides;
      if (!n.node->op->view(n.node->attrs, from.value->shape, in, seen[i].value->shape, o, out))
        return false;
      seen[i].strides = out.strides;
      if (from.made < 0) continue;
      if (out.offset != 0) return false;
      seen[i].made = from.made;
      seen[i].is_view = true;
    }
    return true;
  }

  const PlanGraph& g_;
  const RunValues* run_;
  Device device_;
};

std::optional<int64_t> row_length(const PlanGraph& g, const PlanNode& n, int64_t& rows) {
  const Slot in = g.in_slots[n.first_in];
  const Value& v = in >= 0 ? g.value(in) : g.leaves[static_cast<size_t>(~in)]->value();
  const Kernel* kernel =
      backend_of(device_of_stream(n.node->stream)).find_kernel(*n.node->op, v.dtype);
  if (!kernel || !kernel->own || !kernel->row_axes) return {};
  const int lead =
      static_cast<int>(v.shape.size()) - kernel->row_axes(n.node->attrs, v.shape.size());
  if (lead < 0 || lead == static_cast<int>(v.shape.size()) || v.size == 0) return {};
  rows = count_leading(v.shape, lead);
  return v.size / rows;
}

// Whether step `s` has to do with the block: reads what it makes or reads, or makes what it reads.
bool belongs(const PlanGraph& g, const RowBinding& block, uint32_t s) {
  const Step& step = g.steps[s];
  auto known = [&](Slot slot) {
    return std::any_of(block.seen.begin(), block.seen.end(),
                       [&](const auto& v) { return v.slot == slot; });
  };
  if (step.kind == NodeKind::pointwise) {
    for (uint32_t i = 0; i < step.n_inputs; ++i)
      if (known(g.step_inputs[step.first_input + i].slot)) return true;
    for (uint32_t o = 0; o < step.n_outputs; ++o)
      if (known(g.step_outputs[step.first_output + o])) return true;
    return false;
  }
  const PlanNode& n = g.nodes[step.node];
  for (uint32_t i = 0; i < n.n_in; ++i)
    if (known(g.in_slots[n.first_in + i])) return true;
  for (int o = 0; o < n.node->n_out; ++o)
    if (known(static_cast<Slot>(n.first_slot) + o)) return true;
  return false;
}

// Ties the check of each step that picks to the storages of all that comes of it.
template <class StorageOf>
void add_checks(const RowCall& call, std::span<const Ref<DeviceCheck>> checks, StorageOf storage) {
  size_t pick = 0;
  for (size_t s = 0; s < call.steps.size(); ++s) {
    if (!call.steps[s].picks()) continue;
    const Ref<DeviceCheck>& check = checks[pick++];
    if (!check) continue;  // the launch is recorded
    std::vector<bool> affected(call.values.size(), false);
    affected[call.steps[s].out[0]] = true;
    for (size_t later = s + 1; later < call.steps.size(); ++later) {
      const RowStep& step = call.steps[later];
      if (std::any_of(step.in.begin(), step.in.end(), [&](uint32_t v) { return affected[v]; }))
        for (uint32_t v : step.out) affected[v] = true;
    }
    for (size_t v = 0; v < call.values.size(); ++v)
      if (affected[v] && call.values[v].stored) storage(v).add_check(check);
  }
}

}  // namespace

RowBlock row_program_around(const PlanGraph& g, uint32_t step, uint32_t first_free) {
  const PlanNode& n = g.nodes[g.steps[step].node];
  RowBlock block{step, 1, 0};
  const auto length = row_length(g, n, block.rows);
  if (!length) return block;
  const Device device = device_of_stream(n.node->stream);
  Backend& backend = backend_of(device);
  std::optional<RowBinding> bound;
  auto binds = [&](const RowBlock& b) {
    RowBinding binding(g, nullptr);
    if (!binding.bind(b, *length)) return false;
    binding.call.asked = true;
    if (!backend.run_rows(device.index, binding.call)) return false;
    bound.emplace(std::move(binding));
    return true;
  };
  if (!binds(block)) return block;
  while (block.n_steps < kMaxSteps && block.first_step > first_free) {
    const RowBlock wider{block.first_step - 1, block.n_steps + 1, block.rows};
    if (!belongs(g, *bound, wider.first_step) || !binds(wider)) break;
    block = wider;
  }
  while (block.n_steps < kMaxSteps && block.first_step + block.n_steps < g.steps.size()) {
    const RowBlock wider{block.first_step, block.n_steps + 1, block.rows};
    if (!belongs(g, *bound, wider.first_step + block.n_steps) || !binds(wider)) break;
    block = wider;
  }
  if (!bound->pays()) block.n_steps = 1;
  return block;
}

bool Runner::run_row_program(const RowBlock& block) {
  uint32_t first = block.first_step;
  int64_t rows = 0;
  std::optional<int64_t> length;
  for (uint32_t s = first; !length && s < first + block.n_steps; ++s)
    if (g_.steps[s].kind == NodeKind::kernel)
      length = row_length(g_, g_.nodes[g_.steps[s].node], rows);
  if (!length) return false;
  std::optional<RowBinding> bound;
  bound.emplace(g_, &v_);
  if (!bound->bind(block, *length)) return false;
  if (!bound->views.empty()) {
    // Layouts of these views are known once they are shown.
    for (const PlanNode* n : bound->views) run_view(*n);
    bound.emplace(g_, &v_);
    if (!bound->bind(block, *length)) return false;
  }
  RowBinding& binding = *bound;
  RowCall& call = binding.call;
  const Device device = device_of_stream(g_.nodes[g_.steps[first].node].node->stream);
  Backend& backend = backend_of(device);
  const InUse in_use(device);
  for (size_t i = 0; i < call.values.size(); ++i) {
    RowValue& v = call.values[i];
    const Slot slot = binding.slots[i];
    if (!v.made) {
      v.data = data_on(value(slot), device);
    } else if (v.stored) {
      Value& to = *v_.slots[slot];
      to.storage ? place_at_start(to) : allocate(to, device);
      v.data = data_on(to, device);
    }
  }
  std::vector<Ref<DeviceCheck>> checks;
  call.checks = &checks;
  if (!backend.run_rows(device.index, call)) return false;
  counts().kernels.fetch_add(1, std::memory_order_relaxed);
  counts().row_programs.fetch_add(1, std::memory_order_relaxed);
  if (backend.asynchronous()) {
    const int64_t work = backend.work_given(device.index);
    for (size_t o = 0; o < call.values.size(); ++o) {
      if (!call.values[o].stored) continue;
      DeviceStorage& to = storage_of(*v_.slots[binding.slots[o]]);
      to.computed_by(work);
      for (size_t i = 0; i < call.values.size(); ++i)
        if (!call.values[i].made) to.inherit_checks(storage_of(value(binding.slots[i])));
    }
    add_checks(call, checks,
               [&](size_t v) -> DeviceStorage& { return storage_of(*v_.slots[binding.slots[v]]); });
  }
  // What others see of the block's values through views.
  for (const auto& v : binding.seen)
    if (v.is_view && call.values[static_cast<size_t>(v.made)].stored)
      run_view(g_.nodes[g_.slots[static_cast<size_t>(v.slot)].producer]);
  return true;
}

}  // namespace legato
