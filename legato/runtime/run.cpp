// Running the steps of a plan: memory, layouts, reuse of dying buffers, kernels and programs.
#include <algorithm>
#include <cstring>
#include <new>

#include "legato/runtime/evaluator.h"
#include "legato/runtime/launch.h"
#include "legato/runtime/plan.h"
#include "legato/runtime/program_run.h"
#include "legato/runtime/row_blocks.h"
#include "legato/runtime/stream.h"
#include "legato/runtime/watch.h"

namespace legato {

using fuse::NodeKind;
using fuse::PlanNode;
using fuse::Slot;
using fuse::Step;

DeviceStorage& storage_of(const Value& v) {
  LEGATO_CHECK(v.storage, "a value is read before it is computed");
  return static_cast<DeviceStorage&>(*v.storage);
}

void* data_on(const Value& v, Device device) {
  return static_cast<std::byte*>(storage_of(v).on(device)) + v.layout.offset * size_of(v.dtype);
}

View view_of(const Value& v, Device device) {
  return {data_on(v, device), &v.shape, &v.layout.strides, v.size, v.dtype, v.row_major};
}

// As row_major_strides, in place: a fresh Dims that is copied at once costs more than all the rest.
static void make_row_major(Strides& strides, const Shape& shape) {
  strides = shape;
  int64_t step = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    strides[i] = step;
    step *= std::max<int64_t>(shape[i], 1);
  }
}

void place_at_start(Value& v) {
  make_row_major(v.layout.strides, v.shape);
  v.layout.offset = 0;
  v.row_major = true;
}

void allocate(Value& v, Device device) {
  v.storage = Ref<Storage>::adopt(new DeviceStorage(device, v.size * size_of(v.dtype)));
  place_at_start(v);
}

// Without gaps, axes before the last in the order in which those of `like` lie in memory.
void allocate_like(Value& v, const Value& like, Device device) {
  allocate(v, device);
  if (like.row_major || v.shape.size() < 3) return;
  const size_t last = v.shape.size() - 1;
  Dims order;  // outermost first
  for (size_t i = 0; i < last; ++i) order.push_back(static_cast<int64_t>(i));
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return std::abs(like.layout.strides[a]) > std::abs(like.layout.strides[b]);
  });
  int64_t step = v.shape[last];
  for (size_t i = last; i-- > 0;) {
    v.layout.strides[order[i]] = step;
    step *= v.shape[order[i]];
  }
  v.row_major = is_row_major(v.shape, v.layout.strides);
}

bool accepts(AcceptLayout need, const Value& v) {
  if (need == AcceptLayout::any || v.row_major) return true;
  if (need == AcceptLayout::row_major) return false;
  return v.shape.empty() || v.shape.back() <= 1 || v.layout.strides.back() == 1;
}

const Kernel* kernel_of(const Op& op, Dtype key, Device& device) {
  if (const Kernel* kernel = backend_of(device).find_kernel(op, key)) return kernel;
  device = Device{};
  return backend_of(device).find_kernel(op, key);
}

Value row_major_copy(const Value& from, Device device) {
  Value to;
  to.shape = from.shape;
  to.dtype = from.dtype;
  to.size = from.size;
  const InUse in_use(device);
  allocate(to, device);
  backend_of(device).copy_strided(device.index, view_of(to, device), view_of(from, device));
  storage_of(to).inherit_checks(storage_of(from));
  storage_of(to).computed_by(backend_of(device).work_given(device.index));
  counts().layout_copies.fetch_add(1, std::memory_order_relaxed);
  return to;
}

// The views through which a joined program reads its kernel's result.
template <class F>
void Runner::for_each_view(const Step& step, F f) const {
  if (step.second < 0) return;
  f(g_.steps[static_cast<size_t>(step.views[0])]);
  if (step.views[1] != step.views[0]) f(g_.steps[static_cast<size_t>(step.views[1])]);
}

bool Runner::inputs_failed(const Step& step) const {
  bool any = false;
  for_each_input(step, [&](Slot s, uint32_t) { any |= s >= 0 && failed_[static_cast<size_t>(s)]; });
  return any;
}

void Runner::fail_outputs(const Step& step) {
  failed_.resize(g_.slots.size());
  auto fail = [&](Slot s) {
    failed_[static_cast<size_t>(s)] = true;
    v_.slots[s]->storage = nullptr;
  };
  if (step.kind == NodeKind::pointwise) {
    for (uint32_t i = 0; i < step.n_outputs; ++i) fail(g_.step_outputs[step.first_output + i]);
  } else {
    const PlanNode& n = g_.nodes[step.node];
    for (int o = 0; o < n.node->n_out; ++o) fail(static_cast<Slot>(n.first_slot) + o);
  }
}

void Runner::run() {
  const bool watched = watch::active() != 0;
  EnteredQueue queue;
  const auto enter = [&](const Step& step) {
    if (several_queues.load(std::memory_order_relaxed)) [[unlikely]]
      queue.enter(place_of_stream(g_.nodes[step.node].node->stream));
  };
  auto block = g_.row_blocks.begin();
  auto batch = g_.batches.begin();
  for (uint32_t i = 0; i < g_.steps.size();) {
    if (block != g_.row_blocks.end() && block->first_step == i) {
      const fuse::RowBlock& rows = *block++;
      enter(g_.steps[i]);
      if (failed_.empty() && (watched ? run_rows_watched(rows) : run_rows(rows))) {
        i += rows.n_steps;
        continue;
      }
    }
    if (batch != g_.batches.end() && batch->first_step == i) {
      const fuse::Batch& steps = *batch++;
      if (failed_.empty() &&
          !(watch::active() & watch::kNan)) {  // which is looked for step by step
        enter(g_.steps[i]);
        watched ? run_batch_watched(steps) : run_batch(steps);
        i += steps.n_steps;
        continue;
      }
    }
    const Step& step = g_.steps[i++];
    if (step.joined) continue;  // runs with its program
    const Step* kernel = step.kernel >= 0 ? &g_.steps[static_cast<size_t>(step.kernel)] : nullptr;
    const Step* reader = step.reader >= 0 ? &g_.steps[static_cast<size_t>(step.reader)] : nullptr;
    bool skip = !failed_.empty() && (inputs_failed(step) || (kernel && inputs_failed(*kernel)));
    if (skip) {
      fail_outputs(step);
      if (reader) fail_outputs(*reader);
    } else {
      try {
        enter(step);
        watched ? run_step_watched(step) : run_step(step);
      } catch (...) {
        if (!error_) error_ = std::current_exception();
        fail_outputs(step);
        if (reader) fail_outputs(*reader);
      }
    }
    if (kernel) for_each_input(*kernel, [&](Slot s, uint32_t edges) { consumed(s, edges); });
    for_each_view(step, [&](const Step& view) {
      for_each_input(view, [&](Slot s, uint32_t edges) { consumed(s, edges); });
    });
    for_each_input(step, [&](Slot s, uint32_t edges) { consumed(s, edges); });
    if (reader) for_each_input(*reader, [&](Slot s, uint32_t edges) { consumed(s, edges); });
  }
}

// By rows. Returns false, having changed nothing, if the layouts do not allow it.
bool Runner::run_rows(const fuse::RowBlock& block) {
  const std::span<const Step> steps(g_.steps.data() + block.first_step, block.n_steps);
  try {
    if (!run_row_block(block)) return false;
  } catch (...) {
    if (!error_) error_ = std::current_exception();
    for (const Step& step : steps) fail_outputs(step);
  }
  for (const Step& step : steps)
    for_each_input(step, [&](Slot s, uint32_t edges) { consumed(s, edges); });
  return true;
}

void Runner::consumed(Slot s, uint32_t edges) {
  if (s < 0) return;
  v_.uses[static_cast<size_t>(s)] -= edges;
  if (v_.uses[static_cast<size_t>(s)] == 0 && !seen(s)) v_.slots[s]->storage = nullptr;
}

// Whether nobody can see the buffer of `s` on `device` after the running step: this is its last
// read, no view shares it, and no other queue has work on it.
bool Runner::may_overwrite(Slot s, uint32_t edges, Device device) const {
  const Value& v = value(s);
  if (!v.storage || !v.storage->sole_owner()) return false;
  const DeviceStorage& storage = storage_of(v);
  if (!(storage.home() == device) || storage.foreign() || !storage.is_of_this_queue()) return false;
  if (s >= 0) return !seen(s) && v_.uses[static_cast<size_t>(s)] == edges;
  // A leaf dies with this graph if one edge of ours is all that refers to it.
  const Node* n = v_.leaf_arrays[static_cast<size_t>(~s)]->node();
  return edges == 1 && !g_.keep_leaves && n->n_out == 1 &&
         n->refs.load(std::memory_order_acquire) == 1;
}

void Runner::run_step(const Step& step) {
  const PlanNode& n = g_.nodes[step.node];
  switch (step.kind) {
    case NodeKind::pointwise:
      if (step.kernel >= 0) {
        if (run_joined(step)) return;
        run_kernel(g_.nodes[g_.steps[static_cast<size_t>(step.kernel)].node]);
        for_each_view(step, [&](const Step& view) { run_view(g_.nodes[view.node]); });
      }
      return run_program(step);
    case NodeKind::literal:
      return run_literal(n);
    case NodeKind::view:
      return run_view(n);
    case NodeKind::kernel:
      return run_kernel(n);
    case NodeKind::alias:
      return run_alias(n);
    case NodeKind::compiled:
      return run_compiled(n);
  }
}

void Runner::run_literal(const PlanNode& n) {
  Value& v = *v_.slots[n.first_slot];
  if (v.storage) return;  // a compiled function keeps its numbers
  auto& attrs = *static_cast<const LiteralAttrs*>(n.node->attrs);
  allocate(v, Device{});
  store_scalar(attrs.value, attrs.dtype, static_cast<DeviceStorage&>(*v.storage).writable());
}

void Runner::run_alias(const PlanNode& n) {
  for (uint32_t i = 0; i < n.n_in; ++i) {
    const Value& from = value(g_.in_slots[n.first_in + i]);
    Value& to = *v_.slots[n.first_slot + i];
    LEGATO_CHECK(from.shape == to.shape && from.dtype == to.dtype,
                 "an op's expansion differs from its shape rule");
    to.layout = from.layout;
    to.row_major = from.row_major;
    to.storage = from.storage;
  }
}

void Runner::run_view(const PlanNode& n) {
  const Value* from = &value(g_.in_slots[n.first_in]);
  Value copy;
  for (uint32_t o = 0; o < n.node->n_out; ++o) {
    Value& to = *v_.slots[n.first_slot + o];
    const Op& op = *n.node->op;
    if (!op.view(n.node->attrs, from->shape, from->layout, to.shape, static_cast<int>(o),
                 to.layout)) {
      copy = row_major_copy(*from, storage_of(*from).home());
      from = &copy;
      LEGATO_CHECK(op.view(n.node->attrs, from->shape, from->layout, to.shape, static_cast<int>(o),
                           to.layout),
                   "a view refuses a row-major input");
    }
    to.row_major = is_row_major(to.shape, to.layout.strides);
    to.storage = from->storage;
  }
}

void Runner::run_kernel(const PlanNode& n) {
  const Op& op = *n.node->op;
  Device device = device_of_stream(n.node->stream);
  Dtype key = n.n_in ? value(g_.in_slots[n.first_in]).dtype : v_.slots[n.first_slot]->dtype;
  const Kernel* kernel = kernel_of(op, key, device);
  LEGATO_CHECK(kernel, "a kernel was planned that does not exist");
  const InUse in_use(device);
  constexpr size_t kFew = 6;
  View few_in[kFew], few_out[kFew];
  std::vector<View> many_in, many_out;
  std::vector<Value> copies;  // keeps row-major copies until the kernel has run
  size_t n_in = n.n_in, n_out = n.node->n_out;
  if (n_in > kFew) many_in.resize(n_in);
  if (n_out > kFew) many_out.resize(n_out);
  View* in = n_in > kFew ? many_in.data() : few_in;
  View* out = n_out > kFew ? many_out.data() : few_out;
  copies.reserve(kernel->accepts == AcceptLayout::any ? 0 : n_in);
  for (size_t i = 0; i < n_in; ++i) {
    const Value* v = &value(g_.in_slots[n.first_in + i]);
    if (!accepts(kernel->accepts, *v)) v = &copies.emplace_back(row_major_copy(*v, device));
    in[i] = view_of(*v, device);
  }
  for (size_t o = 0; o < n_out; ++o) {
    Value& v = *v_.slots[n.first_slot + o];
    if (v.storage) {  // chosen before the run
      place_at_start(v);
    } else if (o == 0 && kernel->reuses >= 0) {
      Slot s = g_.in_slots[n.first_in + static_cast<size_t>(kernel->reuses)];
      const Value& from = value(s);
      if (from.row_major && from.size * size_of(from.dtype) == v.size * size_of(v.dtype) &&
          may_overwrite(s, 1, device)) {
        v.storage = from.storage;
        storage_of(v).drop_copies();
        make_row_major(v.layout.strides, v.shape);
        v.layout.offset = from.layout.offset * size_of(from.dtype) / size_of(v.dtype);
        v.row_major = true;
        counts().reused_buffers.fetch_add(1, std::memory_order_relaxed);
      }
    }
    if (!v.storage && o == 0 && kernel->ordered_like >= 0)
      allocate_like(v, value(g_.in_slots[n.first_in + static_cast<size_t>(kernel->ordered_like)]),
                    device);
    else if (!v.storage)
      allocate(v, device);
    out[o] = view_of(v, device);
  }
  KernelLaunch launch(device);
  launch.op = &op;
  launch.raw_attrs = n.node->attrs;
  launch.allow_tf32 = n.node->allow_tf32;
  launch.in = {in, n_in};
  launch.out = {out, n_out};
  counts().kernels.fetch_add(1, std::memory_order_relaxed);
  backend_of(device).run_kernel(device.index, *kernel, launch);
  launch.rethrow();
  if (!backend_of(device).asynchronous()) return;
  for (size_t o = 0; o < n_out; ++o) {
    DeviceStorage& to = storage_of(*v_.slots[n.first_slot + o]);
    to.computed_by(backend_of(device).work_given(device.index));
    for (auto& check : launch.checks()) to.add_check(check);
    for (size_t i = 0; i < n_in; ++i)
      to.inherit_checks(storage_of(value(g_.in_slots[n.first_in + i])));
  }
}

namespace {

// The order of axes in which a dense but not row-major operand lies in memory, outermost first;
// empty if there is none.
Dims memory_order(const Value& v) {
  Dims order;
  for (size_t i = 0; i < v.shape.size(); ++i) order.push_back(static_cast<int64_t>(i));
  auto& strides = v.layout.strides;
  for (int64_t s : strides)
    if (s <= 0) return {};
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return strides[a] > strides[b]; });
  int64_t step = 1;
  for (size_t i = order.size(); i-- > 0;) {
    if (v.shape[order[i]] != 1 && strides[order[i]] != step) return {};
    step *= v.shape[order[i]];
  }
  return order;
}

Dims permuted(const Dims& d, const Dims& order) {
  Dims out;
  out.resize(order.size());
  for (size_t i = 0; i < order.size(); ++i) out[i] = d[order[i]];
  return out;
}

}  // namespace

// The order in which a program runs whose operands do not all lie as its outputs do: that of its
// first permuted operand, so that transposed arrays stay transposed.
struct Runner::Order {
  Dims axes;  // outermost first; empty: as they are
  Shape shape;
  Strides dense, result;  // of the outputs, in that order and as they are
};

Runner::Order Runner::order_of(const Step& step, const Shape& shape) const {
  const fuse::StepInput* inputs = g_.step_inputs.data() + step.first_input;
  Order order;
  for (uint32_t i = 0; i < step.n_inputs && order.axes.empty(); ++i) {
    const Value& v = value(inputs[i].slot);
    if (v.shape == shape && v.size > 1) {
      if (v.row_major) break;
      order.axes = memory_order(v);
    }
  }
  order.shape = order.axes.empty() ? shape : permuted(shape, order.axes);
  order.dense = row_major_strides(order.shape);
  order.result = row_major_strides(shape);
  for (size_t i = 0; i < order.axes.size(); ++i) order.result[order.axes[i]] = order.dense[i];
  return order;
}

void Runner::bind_program(const Step& step, ProgramRun& run) {
  const fuse::StepInput* inputs = g_.step_inputs.data() + step.first_input;
  const Slot* outputs = g_.step_outputs.data() + step.first_output;
  const Value& first = *v_.slots[outputs[0]];
  const Device device = device_of_stream(g_.nodes[step.node].node->stream);

  // With every operand row-major or a single element, the program runs over one long axis.
  bool flat = true;
  for (uint32_t i = 0; i < step.n_inputs; ++i) {
    const Value& v = value(inputs[i].slot);
    flat &= v.size == 1 || (v.row_major && v.size == first.size);
  }
  if (flat) return bind_operands(step, run, nullptr, device);
  const Order order = order_of(step, first.shape);
  bind_operands(step, run, &order, device);
}

// `order`: null where all operands are walked as one long axis.
void Runner::bind_operands(const Step& step, ProgramRun& run, const Order* order, Device device) {
  const fuse::StepInput* inputs = g_.step_inputs.data() + step.first_input;
  const Slot* outputs = g_.step_outputs.data() + step.first_output;
  const Value& first = *v_.slots[outputs[0]];
  const bool flat = !order;
  BoundInputs& bound = run.inputs;
  for (uint32_t i = 0; i < step.n_inputs; ++i) {
    const Value& v = value(inputs[i].slot);
    Strides& strides = bound.add(data_on(v, device)).strides;
    if (flat) {
      strides.push_back(v.size == 1 ? 0 : 1);
    } else {
      strides = broadcast_strides(v.shape, v.layout.strides, first.shape);
      if (!order->axes.empty()) strides = permuted(strides, order->axes);
    }
  }
  uint32_t taken = 0;  // inputs whose buffer has gone to an output
  for (uint32_t o = 0; o < step.n_outputs; ++o) {
    Value& v = *v_.slots[outputs[o]];
    int64_t bytes = v.size * size_of(v.dtype);
    if (v.storage) v.layout.offset = 0;  // chosen before the run
    if (flat)
      make_row_major(v.layout.strides, v.shape);
    else
      v.layout.strides = order->result;
    v.row_major = flat || order->axes.empty() || is_row_major(v.shape, v.layout.strides);
    if (first.size && !is_stored(step, o)) {  // until it turns out that it must be
      run.outputs[o] = nullptr;
      continue;
    }
    for (uint32_t i = 0; i < step.n_inputs && !v.storage; ++i) {
      const Value& from = value(inputs[i].slot);
      // Somewhere else than at such a multiple it would be read in other packs, and a sum of it
      // would have another order.
      bool same_places =
          from.layout.offset * size_of(from.dtype) % 64 == 0 && from.size == v.size &&
          size_of(from.dtype) == size_of(v.dtype) &&
          (flat ? from.row_major : from.shape == v.shape && bound[i].strides == order->dense);
      if (!(taken >> i & 1) && same_places && from.size > 1 &&
          may_overwrite(inputs[i].slot, inputs[i].edges, device)) {
        v.storage = from.storage;
        storage_of(v).drop_copies();
        v.layout.offset = from.layout.offset;
        taken |= 1u << i;
        counts().reused_buffers.fetch_add(1, std::memory_order_relaxed);
      }
    }
    if (!v.storage) {
      v.storage = Ref<Storage>::adopt(new DeviceStorage(device, bytes));
      v.layout.offset = 0;
    }
    run.outputs[o] = data_on(v, device);
  }
  fuse::ProgramCall& call = run.call;
  call.program = step.program.get();
  if (flat)
    call.shape.push_back(first.size);
  else
    call.shape = order->shape;
  call.inputs = bound.span();
  call.literals = {g_.step_literals.data() + step.first_literal, step.program->literals.size()};
  call.outputs = {run.outputs, step.n_outputs};
  run.device = device;
  run.empty = first.size == 0;
}

// What a device that works in the background has been given is to be waited for, and the checks of
// what it reads are those of what it writes.
void Runner::program_given(const Step& step, Device device) {
  if (!backend_of(device).asynchronous()) return;
  const int64_t work = backend_of(device).work_given(device.index);
  for (uint32_t o = 0; o < step.n_outputs; ++o) {
    if (!v_.slots[g_.step_outputs[step.first_output + o]]->storage) continue;
    DeviceStorage& to = storage_of(*v_.slots[g_.step_outputs[step.first_output + o]]);
    to.computed_by(work);
    for (uint32_t i = 0; i < step.n_inputs; ++i)
      to.inherit_checks(storage_of(value(g_.step_inputs[step.first_input + i].slot)));
  }
}

void Runner::run_program(const Step& step) {
  const InUse in_use(device_of_stream(g_.nodes[step.node].node->stream));
  ProgramRun run;
  bind_program(step, run);
  const PlanNode* reader =
      step.reader < 0 ? nullptr : &g_.nodes[g_.steps[static_cast<size_t>(step.reader)].node];
  if (reader && !run.empty && run_reader(step, run.call)) return program_given(step, run.device);
  for (uint32_t o = 0; o < step.n_outputs; ++o) {
    if (run.outputs[o]) continue;
    Value& v = *v_.slots[g_.step_outputs[step.first_output + o]];
    v.storage = Ref<Storage>::adopt(new DeviceStorage(run.device, v.size * size_of(v.dtype)));
    v.layout.offset = 0;
    run.outputs[o] = data_on(v, run.device);
  }
  counts().programs.fetch_add(1, std::memory_order_relaxed);
  if (!run.empty) {
    backend_of(run.device).run_program(run.device.index, run.call);
    program_given(step, run.device);
  }
  if (reader) run_kernel(*reader);
}

}  // namespace legato
