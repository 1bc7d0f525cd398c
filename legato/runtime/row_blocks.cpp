#include "legato/runtime/row_blocks.h"

#include <algorithm>
#include <optional>

#include "legato/base/error.h"
#include "legato/base/thread_pool.h"
#include "legato/runtime/launch.h"
#include "legato/runtime/plan.h"
#include "legato/runtime/row_program.h"
#include "legato/runtime/rows.h"

namespace legato {

using fuse::NodeKind;
using fuse::PlanGraph;
using fuse::PlanNode;
using fuse::RowBlock;
using fuse::Slot;
using fuse::Step;

namespace {

constexpr int64_t kMinBytes = 128 << 10;    // smaller values stay in the cache anyhow
constexpr int64_t kBlockBytes = 192 << 10;  // of all values of a block together: some of L2
constexpr uint32_t kMaxSteps = 32;
constexpr int64_t kMinRows = 8;  // fewer cannot be shared out evenly

// A value that a part reads or writes.
struct Operand {
  uint32_t value = 0;      // index into Binding::values
  int64_t row_stride = 0;  // elements from a row to the next; 0: every row reads the same
  Shape shape;             // kernels: its own, with 1 along the axes of rows
  Strides strides;         // programs: along the axes of a row; kernels: along those of `shape`
  int rows_axis = -1;      // kernels: where `shape` takes the number of rows; -1: nowhere
};

// A step, made ready to run on any of the rows.
struct Part {
  const Step* step = nullptr;
  const Kernel* kernel = nullptr;
  std::vector<Operand> in, out;
  Shape row_shape;    // of a program
  bool flat = false;  // a program all of whose operands are rows without gaps, or single elements
};

struct BlockValue {
  Slot slot = 0;
  Value* value = nullptr;     // its shape and dtype; where it lies, if the block does not make it
  bool made = false;          // by a step of the block
  bool stored = false;        // made, and somebody outside the block reads it
  uint32_t uses = 0;          // by steps of the block
  int32_t view_of = -1;       // shows that value, which the block makes
  Strides strides;            // along its own shape
  int64_t row_bytes = 0;      // memory that one row takes, if made
  int64_t scratch = 0;        // in a thread's scratch, if made and not stored
  std::byte* data = nullptr;  // element (0, ..., 0), if not scratch
};

// The steps of a block in terms of rows. Bound twice: when the plan is made, with inputs taken for
// row-major, and when it runs, with the layouts they have.
class Binding {
 public:
  Binding(const PlanGraph& g, const RunValues* run, Device device)
      : g_(g), run_(run), device_(device) {}

  bool bind(const RowBlock& block) {
    rows_ = block.rows;
    for (uint32_t s = block.first_step; s < block.first_step + block.n_steps; ++s)
      if (!bind_step(g_.steps[s])) return false;
    for (size_t i = values.size(); i-- > 0;) {
      BlockValue& v = values[i];
      if (!v.made) continue;
      const fuse::SlotInfo& info = g_.slots[static_cast<size_t>(v.slot)];
      v.stored |= info.held || info.uses > v.uses;
      if (v.stored && v.view_of >= 0) values[static_cast<size_t>(v.view_of)].stored = true;
    }
    return true;
  }

  // Whether much passes from one step of the block to another.
  bool pays() const {
    int64_t shared = 0;
    for (const BlockValue& v : values)
      if (v.view_of < 0 && v.uses > (v.made ? 0u : 1u))
        shared = std::max(shared, v.value->size * size_of(v.value->dtype));
    return parts.size() > 1 && shared >= kMinBytes;
  }

  std::vector<BlockValue> values;
  std::vector<Part> parts;
  std::vector<const PlanNode*> views;  // of values from outside the block: shown before it runs

 private:
  Value& describe(Slot s) const {
    if (!run_) return s >= 0 ? g_.value(s) : g_.leaves[static_cast<size_t>(~s)]->value();
    return s >= 0 ? *run_->slots[s] : const_cast<Value&>(*run_->leaves[~s]);
  }

  uint32_t value_of(Slot s) {
    for (uint32_t i = 0; i < values.size(); ++i)
      if (values[i].slot == s) return i;
    BlockValue v;
    v.slot = s;
    v.value = &describe(s);
    v.strides = run_ ? v.value->layout.strides : row_major_strides(v.value->shape);
    values.push_back(std::move(v));
    return static_cast<uint32_t>(values.size() - 1);
  }

  bool bind_step(const Step& step) {
    const PlanNode& n = g_.nodes[step.node];
    if (!(device_of_stream(n.node->stream) == device_)) return false;
    if (step.kind == NodeKind::view) return bind_view(n);
    Part part;
    part.step = &step;
    bool bound = step.kind == NodeKind::pointwise ? bind_program(step, part)
                 : step.kind == NodeKind::kernel  ? bind_kernel(n, part)
                                                  : false;
    if (bound) parts.push_back(std::move(part));
    return bound;
  }

  // An output: row-major, the same number of elements in each row.
  bool make(Slot s, Part& part) {
    Operand o;
    o.value = value_of(s);
    BlockValue& v = values[o.value];
    const int lead = leading_axes(v.value->shape, rows_);
    if (lead < 0) return false;
    v.made = true;
    v.strides = row_major_strides(v.value->shape);
    o.row_stride = v.value->size / rows_;
    v.row_bytes = o.row_stride * size_of(v.value->dtype);
    if (part.kernel) cut(o, v, lead);
    part.out.push_back(std::move(o));
    return true;
  }

  bool bind_program(const Step& step, Part& part) {
    const Slot* outputs = g_.step_outputs.data() + step.first_output;
    const Shape& shape = describe(outputs[0]).shape;
    const int lead = leading_axes(shape, rows_);
    if (lead < 0) return false;
    part.row_shape = tail(shape, lead);
    const int64_t width = element_count(part.row_shape);
    part.flat = true;
    for (uint32_t i = 0; i < step.n_inputs; ++i) {
      const fuse::StepInput& in = g_.step_inputs[step.first_input + i];
      Operand o;
      o.value = value_of(in.slot);
      BlockValue& v = values[o.value];
      v.uses += in.edges;
      const Strides all = broadcast_strides(v.value->shape, v.strides, shape);
      const auto stride = row_stride(shape, all, lead);
      if (!stride || (v.made && *stride == 0)) return false;
      o.row_stride = *stride;
      o.strides = tail(all, lead);
      // Along a transposed operand, memory is better walked in its own order.
      if (!part.row_shape.empty() && part.row_shape.back() > 1 && o.strides.back() > 1)
        return false;
      part.flat &=
          v.value->size == 1 || (*stride == width && is_row_major(part.row_shape, o.strides));
      part.in.push_back(std::move(o));
    }
    for (uint32_t i = 0; i < step.n_outputs; ++i)
      if (!make(outputs[i], part)) return false;
    return true;
  }

  bool bind_kernel(const PlanNode& n, Part& part) {
    if (n.n_in == 0) return false;
    const Slot* in = g_.in_slots.data() + n.first_in;
    const Shape& first = describe(in[0]).shape;
    part.kernel = backend_of(device_).find_kernel(*n.node->op, describe(in[0]).dtype);
    if (!part.kernel || !part.kernel->row_axes) return false;
    const int row_axes = part.kernel->row_axes(n.node->attrs, first.size());
    const int lead = static_cast<int>(first.size()) - row_axes;
    if (row_axes <= 0 || lead <= 0 || count_leading(first, lead) != rows_) return false;
    for (uint32_t i = 0; i < n.n_in; ++i) {
      Operand o;
      o.value = value_of(in[i]);
      BlockValue& v = values[o.value];
      ++v.uses;
      const Shape& shape = v.value->shape;
      if (shape.size() == first.size() &&
          std::equal(shape.begin(), shape.begin() + lead, first.begin())) {
        const auto stride = row_stride(shape, v.strides, lead);
        if (!stride || (v.made && *stride == 0)) return false;
        o.row_stride = *stride;
        cut(o, v, lead);
      } else if (v.made) {
        return false;  // the kernel needs all of it
      } else {
        o.shape = shape;
        o.strides = v.strides;
      }
      if (!accepts(part.kernel->accepts, o, v, lead)) return false;
      part.in.push_back(std::move(o));
    }
    for (int o = 0; o < n.node->n_out; ++o)
      if (!make(static_cast<Slot>(n.first_slot) + o, part)) return false;
    return true;
  }

  // Views that keep rows together: of the same memory, starting where it starts.
  bool bind_view(const PlanNode& n) {
    const Slot from = g_.in_slots[n.first_in];
    const uint32_t source = value_of(from);
    ++values[source].uses;
    if (!values[source].made) views.push_back(&n);
    for (int o = 0; o < n.node->n_out; ++o) {
      const uint32_t i = value_of(static_cast<Slot>(n.first_slot) + o);
      BlockValue& v = values[i];
      const BlockValue& s = values[source];
      const Shape& shape = v.value->shape;
      Layout in, out;
      in.strides = s.strides;
      if (!n.node->op->view(n.node->attrs, s.value->shape, in, shape, o, out)) return false;
      v.strides = out.strides;
      if (!s.made) continue;
      const int lead = leading_axes(shape, rows_);
      if (lead < 0 || out.offset != 0) return false;
      const auto stride = row_stride(shape, out.strides, lead);
      if (!stride || *stride != s.value->size / rows_) return false;
      v.made = true;
      v.view_of = static_cast<int32_t>(source);
    }
    return true;
  }

  // Makes the axes of rows of a kernel's operand one.
  static void cut(Operand& o, const BlockValue& v, int lead) {
    o.shape = v.value->shape;
    o.strides = v.strides;
    for (int i = 0; i < lead; ++i) {
      o.shape[static_cast<size_t>(i)] = 1;
      o.strides[static_cast<size_t>(i)] = o.row_stride;
    }
    o.rows_axis = lead - 1;
  }

  bool accepts(AcceptLayout need, const Operand& o, const BlockValue& v, int lead) const {
    if (need == AcceptLayout::any) return true;
    if (need == AcceptLayout::inner_dense)
      return o.shape.empty() || o.shape.back() <= 1 || o.strides.back() == 1;
    if (o.rows_axis < 0) return is_row_major(v.value->shape, v.strides);
    const Shape row = tail(o.shape, lead);
    return o.row_stride == element_count(row) && is_row_major(row, tail(o.strides, lead));
  }

  const PlanGraph& g_;
  const RunValues* run_;
  Device device_;
  int64_t rows_ = 0;
};

bool binds(const PlanGraph& g, const RowBlock& block, Device device) {
  return Binding(g, nullptr, device).bind(block);
}

// A block around a kernel that works by rows; of one step if its neighbours do not fit.
RowBlock block_around(const PlanGraph& g, uint32_t kernel_step, int64_t rows, uint32_t first_free,
                      Device device) {
  RowBlock block{kernel_step, 1, rows};
  if (!binds(g, block, device)) return block;
  while (block.n_steps < kMaxSteps && block.first_step > first_free) {
    const RowBlock wider{block.first_step - 1, block.n_steps + 1, rows};
    if (!binds(g, wider, device)) break;
    block = wider;
  }
  while (block.n_steps < kMaxSteps && block.first_step + block.n_steps < g.steps.size()) {
    const RowBlock wider{block.first_step, block.n_steps + 1, rows};
    if (!binds(g, wider, device)) break;
    block = wider;
  }
  return block;
}

// Runs the parts on ranges of rows, with scratch of its own.
class RowRunner {
 public:
  RowRunner(const PlanGraph& g, const Binding& binding, Device device, int64_t scratch_bytes)
      : g_(g), binding_(binding), device_(device), scratch_bytes_(scratch_bytes) {
    if (scratch_bytes) scratch_ = static_cast<std::byte*>(allocate_memory(device, scratch_bytes));
    calls_.resize(binding.parts.size());
    for (size_t p = 0; p < calls_.size(); ++p) prepare(binding.parts[p], calls_[p]);
  }
  ~RowRunner() {
    if (scratch_) free_memory(device_, scratch_, scratch_bytes_);
  }
  RowRunner(const RowRunner&) = delete;
  RowRunner& operator=(const RowRunner&) = delete;

  void run(int64_t first_row, int64_t n) {
    for (size_t p = 0; p < calls_.size(); ++p) {
      const Part& part = binding_.parts[p];
      if (part.kernel)
        run_kernel(part, calls_[p], first_row, n);
      else
        run_program(part, calls_[p], first_row, n);
    }
  }

 private:
  struct Call {
    std::vector<fuse::BoundInput> bound;
    std::vector<void*> outputs;
    fuse::ProgramCall program;
    std::vector<Operand> operands;  // of a kernel, inputs first; their shapes are filled in
    std::vector<View> views;
  };

  void prepare(const Part& part, Call& call) {
    if (part.kernel) {
      call.operands = part.in;
      call.operands.insert(call.operands.end(), part.out.begin(), part.out.end());
      call.views.resize(call.operands.size());
      return;
    }
    const Step& step = *part.step;
    for (const Operand& o : part.in) {
      fuse::BoundInput& in = call.bound.emplace_back();
      if (part.flat) {
        in.strides.push_back(binding_.values[o.value].value->size == 1 ? 0 : 1);
      } else {
        in.strides.push_back(o.row_stride);
        for (int64_t s : o.strides) in.strides.push_back(s);
      }
    }
    call.outputs.resize(part.out.size());
    call.program.program = step.program.get();
    call.program.shape.push_back(0);
    if (!part.flat)
      for (int64_t size : part.row_shape) call.program.shape.push_back(size);
    call.program.inputs = call.bound;
    call.program.literals = {g_.step_literals.data() + step.first_literal,
                             step.program->literals.size()};
    call.program.outputs = call.outputs;
  }

  // Where the rows from `row` on begin. Scratch holds the rows of one call.
  void* address(const Operand& o, int64_t row) const {
    const BlockValue* v = &binding_.values[o.value];
    const int64_t size = size_of(v->value->dtype);
    while (v->view_of >= 0) v = &binding_.values[static_cast<size_t>(v->view_of)];
    if (v->made && !v->stored) return scratch_ + v->scratch;
    return v->data + row * o.row_stride * size;
  }

  void run_program(const Part& part, Call& call, int64_t row, int64_t n) {
    for (size_t i = 0; i < part.in.size(); ++i) call.bound[i].data = address(part.in[i], row);
    for (size_t i = 0; i < part.out.size(); ++i) call.outputs[i] = address(part.out[i], row);
    call.program.shape[0] = part.flat ? n * element_count(part.row_shape) : n;
    backend_of(device_).run_program(device_.index, call.program);
  }

  void run_kernel(const Part& part, Call& call, int64_t row, int64_t n) {
    for (size_t i = 0; i < call.operands.size(); ++i) {
      Operand& o = call.operands[i];
      if (o.rows_axis >= 0) o.shape[static_cast<size_t>(o.rows_axis)] = n;
      call.views[i] = {address(o, row),
                       &o.shape,
                       &o.strides,
                       element_count(o.shape),
                       binding_.values[o.value].value->dtype,
                       is_row_major(o.shape, o.strides)};
    }
    const Node& node = *g_.nodes[part.step->node].node;
    KernelLaunch launch(device_);
    launch.op = node.op;
    launch.raw_attrs = node.attrs;
    launch.allow_tf32 = node.allow_tf32;
    launch.in = std::span(call.views).first(part.in.size());
    launch.out = std::span(call.views).subspan(part.in.size());
    backend_of(device_).run_kernel(device_.index, *part.kernel, launch);
    launch.rethrow();
  }

  const PlanGraph& g_;
  const Binding& binding_;
  Device device_;
  std::byte* scratch_ = nullptr;
  int64_t scratch_bytes_;
  std::vector<Call> calls_;
};

}  // namespace

bool in_row_block(const PlanGraph& g, uint32_t step) {
  return std::any_of(g.row_blocks.begin(), g.row_blocks.end(), [&](const fuse::RowBlock& b) {
    return step >= b.first_step && step < b.first_step + b.n_steps;
  });
}

void find_row_blocks(PlanGraph& g) {
  if (g.steps.size() < 2) return;
  uint32_t first_free = 0;
  for (uint32_t s = 0; s < g.steps.size(); ++s) {
    const Step& step = g.steps[s];
    if (step.kind != NodeKind::kernel) continue;
    const PlanNode& n = g.nodes[step.node];
    if (n.n_in == 0) continue;
    const Slot in = g.in_slots[n.first_in];
    const Value& first = in >= 0 ? g.value(in) : g.leaves[static_cast<size_t>(~in)]->value();
    const Device device = device_of_stream(n.node->stream);
    const Backend& backend = backend_of(device);
    // What is small stays in the cache anyhow, and is not worth being bound.
    if (backend.runs_by_rows() && first.size * size_of(first.dtype) < kMinBytes) continue;
    if (backend.fuses_rows()) {
      const RowBlock block = row_program_around(g, s, first_free);
      if (block.n_steps >= 2) {
        g.row_blocks.push_back(block);
        first_free = block.first_step + block.n_steps;
        s = first_free - 1;
        continue;
      }
    }
    if (!backend.runs_by_rows()) continue;
    const Kernel* kernel = backend.find_kernel(*n.node->op, first.dtype);
    if (!kernel || !kernel->row_axes) continue;
    const int row_axes = kernel->row_axes(n.node->attrs, first.shape.size());
    if (row_axes <= 0) continue;
    const int64_t rows =
        count_leading(first.shape, static_cast<int>(first.shape.size()) - row_axes);
    if (rows < kMinRows || first.size / rows * size_of(first.dtype) > kBlockBytes) continue;
    const RowBlock block = block_around(g, s, rows, first_free, device);
    if (block.n_steps < 2) continue;
    Binding binding(g, nullptr, device);
    if (!binding.bind(block) || !binding.pays()) continue;
    g.row_blocks.push_back(block);
    first_free = block.first_step + block.n_steps;
    s = first_free - 1;
  }
}

bool Runner::run_row_block(const RowBlock& block) {
  const Device device = device_of_stream(g_.nodes[g_.steps[block.first_step].node].node->stream);
  if (backend_of(device).fuses_rows() && run_row_program(block)) return true;
  if (!backend_of(device).runs_by_rows()) return false;
  Binding binding(g_, &v_, device);
  if (!binding.bind(block)) return false;
  for (const PlanNode* n : binding.views) run_view(*n);

  int64_t row_bytes = 0;
  for (BlockValue& v : binding.values) {
    if (v.view_of >= 0) continue;
    if (!v.made) {
      v.data = static_cast<std::byte*>(data_on(*v.value, device));
      row_bytes += v.value->size / block.rows * size_of(v.value->dtype);
    } else {
      row_bytes += v.row_bytes;
    }
  }
  const int64_t rows = block.rows;
  const int64_t at_once =
      std::clamp<int64_t>(kBlockBytes / std::max<int64_t>(row_bytes, 1), 1, rows);
  int64_t scratch_bytes = 0;
  for (BlockValue& v : binding.values) {
    if (!v.made || v.view_of >= 0) continue;
    if (v.stored) {
      v.value->storage ? place_at_start(*v.value) : allocate(*v.value, device);
      v.data = static_cast<std::byte*>(data_on(*v.value, device));
    } else {
      v.scratch = scratch_bytes;
      scratch_bytes += (v.row_bytes * at_once + 63) / 64 * 64;
    }
  }
  for (const Part& part : binding.parts)
    (part.kernel ? counts().kernels : counts().programs).fetch_add(1, std::memory_order_relaxed);

  const int64_t blocks = (rows + at_once - 1) / at_once;
  const int64_t tasks = std::min<int64_t>(blocks, 4 * num_threads());
  parallel_for(tasks, [&](int64_t task) {
    RowRunner runner(g_, binding, device, scratch_bytes);
    const int64_t begin = blocks * task / tasks, end = blocks * (task + 1) / tasks;
    for (int64_t b = begin; b < end; ++b)
      runner.run(b * at_once, std::min(at_once, rows - b * at_once));
  });
  // What others see of the block's values through views.
  for (const BlockValue& v : binding.values)
    if (v.view_of >= 0 && v.stored)
      run_view(g_.nodes[g_.slots[static_cast<size_t>(v.slot)].producer]);
  return true;
}

}  // namespace legato
