// Many programs of one structure side by side.
//
// Note [Batches]: a step of a training computes the same program for each parameter. On a device
// where a launch costs as much as a small program, such calls go together. Planning walks over the
// steps in their order and puts those programs off that come more than once, each into the open
// batch of its program, until somebody reads one of them: then its batch is emitted, behind those
// it reads from. A batch may read from those that were opened before it and from no others, so that
// there is always one to begin with; a program that would have to come behind a later one opens a
// new batch of its kind. What is put off keeps its operands alive, and what it would have made is
// not there yet: both are bounded.
#include <algorithm>
#include <memory>

#include "legato/base/error.h"
#include "legato/runtime/plan.h"
#include "legato/runtime/program_run.h"

namespace legato {

using fuse::NodeKind;
using fuse::PlanGraph;
using fuse::Slot;
using fuse::Step;

namespace {

constexpr size_t kMostSteps = 1024;
constexpr int64_t kMostBytes = int64_t{64} << 20;    // of one program: larger ones fill a device
constexpr int64_t kMostPutOff = int64_t{256} << 20;  // of all that are put off

class Planner {
 public:
  explicit Planner(PlanGraph& g) : g_(g) {}

  void run() {
    if (!find_kinds()) return;
    batch_of_.assign(g_.slots.size(), kNone);
    auto block = g_.row_blocks.begin();
    for (uint32_t s = 0; s < g_.steps.size(); ++s) {
      const Step& step = g_.steps[s];
      if (block != g_.row_blocks.end() && block->first_step == s) {  // stays together
        for (uint32_t i = s; i < s + block->n_steps; ++i)
          each_input(g_.steps[i], [&](Slot in) { emit_producer(in); });
        moved_blocks_.push_back(
            {static_cast<uint32_t>(order_.size()), block->n_steps, block->rows});
        for (uint32_t i = s; i < s + block->n_steps; ++i) order_.push_back(i);
        s += block++->n_steps - 1;
        continue;
      }
      if (kind_[s] != kNone) {
        put_off(s);
        continue;
      }
      // What a program applies as it stores its result runs when the program does.
      if (!step.joined) {
        each_input(step, [&](Slot in) { emit_producer(in); });
        if (step.kernel >= 0)
          each_input(g_.steps[static_cast<size_t>(step.kernel)],
                     [&](Slot in) { emit_producer(in); });
      }
      order_.push_back(s);
    }
    emit_all();
    reorder();
  }

 private:
  static constexpr uint32_t kNone = ~0u;
  struct Open {
    std::vector<uint32_t> steps;
    std::vector<uint32_t> reads;  // batches before it
    uint32_t kind = 0;
    int64_t bytes = 0;
    bool emitted = false;
  };

  template <class F>
  void each_input(const Step& step, F f) const {
    if (step.kind == NodeKind::pointwise) {
      for (uint32_t i = 0; i < step.n_inputs; ++i) f(g_.step_inputs[step.first_input + i].slot);
    } else {
      const fuse::PlanNode& n = g_.nodes[step.node];
      for (uint32_t i = 0; i < n.n_in; ++i) f(g_.in_slots[n.first_in + i]);
    }
  }

  const Value& value(Slot s) const {
    return s >= 0 ? g_.value(s) : g_.leaves[static_cast<size_t>(~s)]->value();
  }
  int64_t bytes_of(const Step& step) const {
    int64_t bytes = 0;
    auto add = [&](Slot s) { bytes += value(s).size * size_of(value(s).dtype); };
    each_input(step, add);
    for (uint32_t o = 0; o < step.n_outputs; ++o) add(g_.step_outputs[step.first_output + o]);
    return bytes;
  }

  // Numbers the kinds of programs that come more than once. False if there are none.
  bool find_kinds() {
    struct Candidate {
      const fuse::Program* program;
      uint16_t stream;
      uint32_t step;
    };
    std::vector<Candidate> all;
    for (uint32_t s = 0; s < g_.steps.size(); ++s) {
      const Step& step = g_.steps[s];
      if (step.kind != NodeKind::pointwise || step.kernel >= 0 || step.reader >= 0) continue;
      if (in_row_block(g_, s)) continue;
      const uint16_t stream = g_.nodes[step.node].node->stream;
      const Device device = device_of_stream(stream);
      if (backend_of(device).runs_together() && bytes_of(step) <= kMostBytes)
        all.push_back({step.program.get(), stream, s});
    }
    auto before = [](const Candidate& a, const Candidate& b) {
      return a.program != b.program ? std::less<>{}(a.program, b.program) : a.stream < b.stream;
    };
    std::stable_sort(all.begin(), all.end(), before);
    kind_.assign(g_.steps.size(), kNone);
    uint32_t kinds = 0;
    for (size_t i = 0, end = 0; i < all.size(); i = end) {
      while (end < all.size() && !before(all[i], all[end])) ++end;
      if (end - i < 2) continue;
      for (size_t k = i; k < end; ++k) kind_[all[k].step] = kinds;
      ++kinds;
    }
    open_.assign(kinds, kNone);
    return kinds > 0;
  }

  void put_off(uint32_t s) {
    const Step& step = g_.steps[s];
    const int64_t bytes = bytes_of(step);
    if (put_off_ + bytes > kMostPutOff) emit_all();
    std::vector<uint32_t> reads;
    uint32_t behind = kNone;  // the last batch that it reads from
    each_input(step, [&](Slot in) {
      const uint32_t b = in >= 0 ? batch_of_[static_cast<size_t>(in)] : kNone;
      if (b == kNone || batches_[b].emitted) return;
      reads.push_back(b);
      if (behind == kNone || b > behind) behind = b;
    });
    uint32_t& open = open_[kind_[s]];
    if (open != kNone &&
        ((behind != kNone && open <= behind) || batches_[open].steps.size() == kMostSteps)) {
      emit(open);  // and with it, those of `reads` that it reads from
    }
    if (open == kNone) {
      open = static_cast<uint32_t>(batches_.size());
      batches_.emplace_back().kind = kind_[s];
    }
    Open& batch = batches_[open];
    batch.steps.push_back(s);
    batch.bytes += bytes;
    put_off_ += bytes;
    for (uint32_t b : reads)
      if (!batches_[b].emitted) batch.reads.push_back(b);
    for (uint32_t o = 0; o < step.n_outputs; ++o)
      batch_of_[static_cast<size_t>(g_.step_outputs[step.first_output + o])] = open;
  }

  void emit_producer(Slot s) {
    if (s >= 0 && batch_of_[static_cast<size_t>(s)] != kNone)
      emit(batch_of_[static_cast<size_t>(s)]);
  }
  // Behind what it reads. As deep as there are open batches, of which each kind has one.
  void emit(uint32_t b) {
    if (batches_[b].emitted) return;
    batches_[b].emitted = true;
    for (uint32_t r : batches_[b].reads) emit(r);
    Open& batch = batches_[b];
    if (open_[batch.kind] == b) open_[batch.kind] = kNone;
    put_off_ -= batch.bytes;
    if (batch.steps.size() > 1)
      found_.push_back(
          {static_cast<uint32_t>(order_.size()), static_cast<uint32_t>(batch.steps.size())});
    order_.insert(order_.end(), batch.steps.begin(), batch.steps.end());
  }
  void emit_all() {
    for (uint32_t b = 0; b < batches_.size(); ++b) emit(b);
  }

  void reorder() {
    if (found_.empty()) return;  // as it was is as good
    std::vector<uint32_t> place(order_.size());
    std::vector<Step> steps;
    steps.reserve(order_.size());
    for (uint32_t at = 0; at < order_.size(); ++at) {
      place[order_[at]] = at;
      steps.push_back(std::move(g_.steps[order_[at]]));
    }
    for (Step& step : steps) {
      if (step.kernel >= 0)
        step.kernel = static_cast<int32_t>(place[static_cast<size_t>(step.kernel)]);
      for (int32_t& view : step.views)
        if (view >= 0) view = static_cast<int32_t>(place[static_cast<size_t>(view)]);
      if (step.reader >= 0)
        step.reader = static_cast<int32_t>(place[static_cast<size_t>(step.reader)]);
      if (step.kind != NodeKind::pointwise)
        g_.nodes[step.node].step = place[g_.nodes[step.node].step];
    }
    g_.steps.swap(steps);
    g_.batches.swap(found_);
    g_.row_blocks.swap(moved_blocks_);
  }

  PlanGraph& g_;
  std::vector<uint32_t> kind_;  // of each step; kNone: it stays where it is
  std::vector<uint32_t> open_;  // of each kind
  std::vector<Open> batches_;
  std::vector<uint32_t> batch_of_;  // of each slot
  int64_t put_off_ = 0;             // bytes of the batches that are open
  std::vector<uint32_t> order_;
  std::vector<fuse::Batch> found_;
  std::vector<fuse::RowBlock> moved_blocks_;
};

}  // namespace

void find_batches(PlanGraph& g) {
  if (g.steps.size() > 1 && any_asynchronous_backend()) Planner(g).run();
}

void Runner::run_batch(const fuse::Batch& batch) {
  std::span<const Step> steps(g_.steps.data() + batch.first_step, batch.n_steps);
  const auto give_up_inputs = [&](std::span<const Step> of) {
    for (const Step& step : of)
      for_each_input(step, [&](Slot s, uint32_t edges) { consumed(s, edges); });
  };
  while (!steps.empty()) {
    size_t ran;
    try {
      ran = run_together(steps);
    } catch (...) {
      if (!error_) error_ = std::current_exception();
      for (const Step& step : steps) fail_outputs(step);
      ran = steps.size();
    }
    give_up_inputs(steps.first(ran));
    steps = steps.subspan(ran);
  }
}

// Runs the first of the steps, as many as there is memory for at once. Gives how many.
size_t Runner::run_together(std::span<const Step> steps) {
  const Device device = device_of_stream(g_.nodes[steps[0].node].node->stream);
  const InUse in_use(device);
  std::unique_ptr<ProgramRun[]> runs(new ProgramRun[steps.size()]);
  std::vector<fuse::ProgramCall> calls;
  calls.reserve(steps.size());
  size_t n = 0;
  for (; n < steps.size(); ++n) {
    const Slot* outputs = g_.step_outputs.data() + steps[n].first_output;
    bool chosen[fuse::kMaxOutputs];  // before the run
    for (uint32_t o = 0; o < steps[n].n_outputs; ++o)
      chosen[o] = static_cast<bool>(v_.slots[outputs[o]]->storage);
    try {
      bind_program(steps[n], runs[n]);
    } catch (const MemoryError&) {
      if (n == 0) throw;
      for (uint32_t o = 0; o < steps[n].n_outputs; ++o)
        if (!chosen[o]) v_.slots[outputs[o]]->storage = nullptr;
      break;
    }
    if (!runs[n].empty) calls.push_back(runs[n].call);
  }
  counts().programs.fetch_add(static_cast<int64_t>(n), std::memory_order_relaxed);
  if (!calls.empty()) backend_of(device).run_programs(device.index, calls);
  for (size_t i = 0; i < n; ++i)
    if (!runs[i].empty) program_given(steps[i], device);
  return n;
}

}  // namespace legato
