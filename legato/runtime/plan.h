// What evaluator.cpp and run.cpp share: collecting a graph, and running its steps.
#pragma once

#include <exception>
#include <memory>
#include <mutex>
#include <vector>

#include "legato/fuse/graph.h"
#include "legato/runtime/backend.h"
#include "legato/runtime/memory.h"

namespace legato {

struct StepRecord;
struct ProgramRun;

/// Serialises traversals of the lazy graph and changes of node states. Never held while anything is
/// computed.
std::mutex& graph_lock();

/// Adds to `g` everything that `roots` need and that is not computed yet, inputs first; `inputs`
/// are its first leaves, whatever their state. The slots of the roots are left in g.step_outputs.
/// Call with the graph lock held. Throws TransformError for unbound values, rethrows the error of a
/// failed one.
void collect(fuse::PlanGraph& g, std::span<const Array> roots, std::span<const Array> inputs);

/// Tells those who wait for claimed nodes that some have got their states.
void claims_ended();

/// Lets those of the values at `candidates` (slots that are `held`, in order) wait that need not be
/// written out yet: see Note [Values that wait]. With the graph lock held, between claim and plan.
void let_wait(fuse::PlanGraph& g, std::span<const fuse::Slot> candidates);
/// Whether a value is worth asking let_wait() about.
bool may_wait(const fuse::PlanNode& p);

/// The values of a run: where each slot's value is (to be) described. A slot of a program or kernel
/// that has a storage before the run gets its value there.
struct RunValues {
  std::span<Value* const> slots;
  std::span<const Value* const> leaves;
  std::span<const Array* const>
      leaf_arrays;  // for reuse: a leaf whose only holder is the running graph may be overwritten
  std::span<uint32_t> uses;  // remaining reads of each slot; consumed
};

/// Runs the steps. Values of slots that nobody outside sees are dropped after their last read.
/// Errors are kept per slot.
class Runner {
 public:
  Runner(const fuse::PlanGraph& g, const RunValues& values) : g_(g), v_(values) {}
  void run();
  bool failed(fuse::Slot s) const { return !failed_.empty() && failed_[static_cast<size_t>(s)]; }
  const std::exception_ptr& error() const { return error_; }  // the first

 private:
  const Value& value(fuse::Slot s) const { return s >= 0 ? *v_.slots[s] : *v_.leaves[~s]; }
  bool run_rows(const fuse::RowBlock& block);
  bool run_row_block(const fuse::RowBlock& block);
  bool run_row_program(const fuse::RowBlock& block);
  void run_step(const fuse::Step& step);
  void run_batch(const fuse::Batch& batch);
  size_t run_together(std::span<const fuse::Step> steps);
  bool run_joined(const fuse::Step& step);
  // Of a program: whether an output gets memory.
  bool is_stored(const fuse::Step& step, uint32_t output) const;
  bool run_reader(const fuse::Step& step, const fuse::ProgramCall& call);
  // As run_rows and run_step, and tells those who watch (watch.h).
  bool run_rows_watched(const fuse::RowBlock& block);
  void run_step_watched(const fuse::Step& step);
  void run_batch_watched(const fuse::Batch& batch);
  StepRecord describe(const fuse::Step& step) const;
  void search_nan(const fuse::Step& step, const StepRecord& record) const;
  struct Order;
  Order order_of(const fuse::Step& step, const Shape& shape) const;
  void run_program(const fuse::Step& step);
  void bind_program(const fuse::Step& step, ProgramRun& run);
  void bind_operands(const fuse::Step& step, ProgramRun& run, const Order* order, Device device);
  void program_given(const fuse::Step& step, Device device);
  void run_view(const fuse::PlanNode& n);
  void run_literal(const fuse::PlanNode& n);
  void run_kernel(const fuse::PlanNode& n);
  void run_alias(const fuse::PlanNode& n);
  void run_compiled(const fuse::PlanNode& n);
  bool seen(fuse::Slot s) const {  // by somebody outside
    const fuse::SlotInfo& slot = g_.slots[static_cast<size_t>(s)];
    return slot.held || slot.waits;
  }
  void consumed(fuse::Slot s, uint32_t edges);
  bool may_overwrite(fuse::Slot s, uint32_t edges, Device device) const;
  bool inputs_failed(const fuse::Step& step) const;
  void fail_outputs(const fuse::Step& step);
  template <class F>
  void for_each_input(const fuse::Step& step, F f) const;
  template <class F>
  void for_each_view(const fuse::Step& step, F f) const;

  const fuse::PlanGraph& g_;
  const RunValues& v_;
  std::vector<bool> failed_;  // empty while nothing failed
  std::exception_ptr error_;
};

template <class F>
void Runner::for_each_input(const fuse::Step& step, F f) const {
  if (step.kind == fuse::NodeKind::pointwise) {
    for (uint32_t i = 0; i < step.n_inputs; ++i) {
      auto& in = g_.step_inputs[step.first_input + i];
      f(in.slot, in.edges);
    }
  } else {
    const fuse::PlanNode& n = g_.nodes[step.node];
    for (uint32_t i = 0; i < n.n_in; ++i) f(g_.in_slots[n.first_in + i], 1u);
  }
}

/// Whether the step is part of a block of rows.
bool in_row_block(const fuse::PlanGraph& g, uint32_t step);

/// Joins kernels with the programs that they can apply as they store their results. After
/// find_row_blocks, whose steps it leaves alone.
void join_epilogues(fuse::PlanGraph& g);

/// Joins programs with kernels that can compute them as they read their input. After
/// join_epilogues, whose pairs it leaves alone.
void join_prologues(fuse::PlanGraph& g);

/// Brings programs of one structure that do not depend on each other together, where their device
/// runs such calls in one go. After find_row_blocks and join_epilogues, since it changes the order
/// of steps.
void find_batches(fuse::PlanGraph& g);

/// Makes a value lie row-major at the start of its storage.
void place_at_start(Value& v);

/// Memory for a value, row-major.
void allocate(Value& v, Device device);

/// The storage of a computed value.
DeviceStorage& storage_of(const Value& v);

/// Element (0, ..., 0) of a computed value on `device`.
void* data_on(const Value& v, Device device);

View view_of(const Value& v, Device device);
bool accepts(AcceptLayout need, const Value& v);
/// The kernel of a node, on the device of its stream or else on the CPU. `device` says which.
const Kernel* kernel_of(const Op& op, Dtype key, Device& device);

/// A row-major copy of a computed value on `device`.
Value row_major_copy(const Value& from, Device device);

/// The device on which nodes of a stream run.
Device device_of_stream(uint16_t stream);

/// Counters behind eval_counts().
struct AtomicCounts {
  std::atomic<int64_t> evaluations{0}, programs{0}, kernels{0}, layout_copies{0}, reused_buffers{0},
      epilogues{0}, prologues{0}, row_programs{0}, recordings{0}, replays{0};
};
AtomicCounts& counts();
bool fusion_on();

}  // namespace legato
