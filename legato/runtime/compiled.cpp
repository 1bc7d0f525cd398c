// Running compiled functions: their graph is planned once, and a device that can record the
// launches of a run carries them out again as a whole.
//
// Note [Recordings]: the addresses of a run stand in its recording. Those of the arguments and the
// results are therefore its key; what lies between has memory of its own (RecordingMemory), so that
// it has the same addresses each time. Results are allocated before the run. A training loop gets
// the same few sets of addresses again and again, because freed buffers are handed out anew: a run
// is recorded when its addresses have come up before. Past kMaxRecordings sets, the oldest
// recording is changed to the new addresses, which costs less than making one.
#include <algorithm>
#include <atomic>

#include "legato/fuse/captured.h"
#include "legato/runtime/plan.h"
#include "legato/runtime/prepare.h"
#include "legato/runtime/row_blocks.h"
#include "legato/runtime/stream.h"
#include "legato/runtime/watch.h"

namespace legato {

using fuse::NodeKind;
using fuse::PlanGraph;
using fuse::PlanNode;
using fuse::Slot;
using fuse::Step;

namespace {

constexpr size_t kMaxRecordings = 8;
constexpr size_t kMaxSeen = 32;
constexpr int kFewestLaunches = 4;  // starting a recording costs about as much as three launches
constexpr int kUnknown = -2;
constexpr int kMostFailures = 3;  // after which a function is not recorded any more

/// A run of a compiled function as its device has recorded it.
struct Recorded {
  /// What compiled functions within have captured: no arguments, so not in the key. Their graphs,
  /// which are part of ours, keep it.
  struct Constant {
    DeviceStorage* storage;
    const void* data;
  };
  std::vector<int64_t> key;
  std::vector<Constant> constants;
  std::unique_ptr<Recording> recording;
  uint64_t generation = 0;  // of the RecordingMemory
  uint64_t last_use = 0;
  struct Result {
    Layout layout;
    bool row_major;
  };
  std::vector<Result> results;

  bool constants_lie_as_recorded(Device device) const {
    return std::all_of(constants.begin(), constants.end(),
                       [&](const Constant& c) { return c.storage->on(device) == c.data; });
  }
};

struct CompiledPlan {
  PlanGraph graph;
  std::vector<Slot> outputs;
  std::vector<Slot> roots;     // of each output: the value whose memory it is
  std::vector<Value> numbers;  // of literal steps that kernels read, by slot; empty if none
  Place place;                 // of the first launch
  std::atomic<int> launches{kUnknown};  // there; -1 if there are others elsewhere
  // Guarded by the lock of the device's RecordingMemory.
  std::vector<Recorded> recorded;
  std::vector<std::vector<int64_t>> seen;  // keys that have come up once, newest last
  uint64_t uses = 0;
  int failures = 0;
};

/// Where the first launch goes.
Place place_of(const PlanGraph& g) {
  for (const Step& step : g.steps)
    if (step.kind == NodeKind::pointwise || step.kind == NodeKind::kernel ||
        step.kind == NodeKind::compiled)
      return place_of_stream(g.nodes[step.node].node->stream);
  return {};
}

CompiledPlan& plan_of(CapturedGraph& captured) {
  std::lock_guard lock(graph_lock());
  if (!captured.plan) {
    auto fresh = std::make_shared<CompiledPlan>();
    PlanGraph& g = fresh->graph;
    collect(g, captured.outputs, captured.inputs);
    fresh->outputs.swap(g.step_outputs);
    fuse::plan_steps(g, fusion_on());
    if (fusion_on()) {
      find_row_blocks(g);
      join_epilogues(g);
      join_prologues(g);
      find_batches(g);
    }
    for (Slot s : fresh->outputs) {
      while (s >= 0) {
        const PlanNode& n = g.nodes[g.slots[static_cast<size_t>(s)].producer];
        if (n.kind != NodeKind::view && n.kind != NodeKind::alias) break;
        const uint32_t o = static_cast<uint32_t>(s) - n.first_slot;
        s = g.in_slots[n.first_in + (n.kind == NodeKind::alias ? o : 0)];
      }
      fresh->roots.push_back(s);
    }
    for (const Step& step : g.steps) {
      if (step.kind != NodeKind::literal) continue;
      const PlanNode& n = g.nodes[step.node];
      fresh->numbers.resize(g.slots.size());
      Value& v = fresh->numbers[n.first_slot];
      auto& attrs = *static_cast<const LiteralAttrs*>(n.node->attrs);
      v.dtype = attrs.dtype;
      allocate(v, Device{});
      store_scalar(attrs.value, attrs.dtype, static_cast<DeviceStorage&>(*v.storage).writable());
    }
    fresh->place = place_of(g);
    captured.plan = std::move(fresh);
  }
  return *static_cast<CompiledPlan*>(captured.plan.get());
}

/// How many launches the steps make, or -1 if any of them goes elsewhere.
int launches_on(const PlanGraph& g, Place place) {
  int n_launches = 0;
  for (const Step& step : g.steps) {
    const PlanNode& n = g.nodes[step.node];
    if (step.kind == NodeKind::compiled) {
      auto& inner = *static_cast<const CompiledAttrs*>(n.node->attrs)->graph;
      const int more = launches_on(plan_of(inner).graph, place);
      if (more < 0) return -1;
      n_launches += more;
    } else if (step.kind == NodeKind::pointwise || step.kind == NodeKind::kernel) {
      if (!(place_of_stream(n.node->stream) == place)) return -1;
      const Dtype key = n.n_in ? n.node->in[0].dtype() : n.node->out[0].dtype;
      if (step.kind == NodeKind::kernel && !backend_of(place.device).find_kernel(*n.node->op, key))
        return -1;
      ++n_launches;
    }
  }
  return n_launches;
}

thread_local Recorded* records_now = nullptr;  // what this thread records

/// One run. Values of `results` that have a storage get their memory there, where possible.
class CompiledRun {
 public:
  CompiledRun(CompiledPlan& plan, std::span<const Value* const> leaves)
      : plan_(plan), g_(plan.graph), leaves_(leaves) {}

  void run(std::span<Value* const> results) {
    std::vector<Value> values(g_.slots.size());
    std::vector<Value*> slots(g_.slots.size());
    std::vector<uint32_t> uses(g_.slots.size());
    for (size_t s = 0; s < slots.size(); ++s) {
      const Value& like = g_.value(static_cast<Slot>(s));
      values[s].shape = like.shape;
      values[s].dtype = like.dtype;
      values[s].size = like.size;
      slots[s] = &values[s];
      uses[s] = g_.slots[s].uses;
    }
    for (size_t s = 0; s < plan_.numbers.size(); ++s)
      if (plan_.numbers[s].storage) {
        values[s].storage = plan_.numbers[s].storage;
        values[s].layout.strides = row_major_strides(values[s].shape);
      }
    for (size_t o = 0; o < results.size(); ++o) {
      const Slot root = plan_.roots[o];
      if (!results[o]->storage || root < 0) continue;
      Value& v = values[static_cast<size_t>(root)];
      if (results[o]->storage->bytes() == v.size * size_of(v.dtype))
        v.storage = results[o]->storage;
    }
    for (Value* result : results) result->storage = nullptr;
    RunValues run_values{slots, leaves_, g_.leaves, uses};
    prepare_programs(g_, run_values);
    Runner inner(g_, run_values);
    inner.run();
    if (inner.error()) std::rethrow_exception(inner.error());
    for (size_t o = 0; o < results.size(); ++o) {
      const Slot s = plan_.outputs[o];
      const Value& from = s >= 0 ? *slots[s] : *leaves_[~s];
      results[o]->layout = from.layout;
      results[o]->row_major = from.row_major;
      results[o]->storage = from.storage;
    }
  }

  /// Replays a recording, or makes one. False, with nothing computed, if there is none yet.
  bool replay(Device device, std::span<Value* const> results) {
    Backend& backend = backend_of(device);
    RecordingMemory& memory = RecordingMemory::of(device);
    std::lock_guard lock(memory.lock());
    if (plan_.failures >= kMostFailures) return false;
    EnteredQueue queue;
    queue.enter(plan_.place);
    const InUse in_use(device);
    memory.touch();
    std::vector<int64_t> key;
    try {
      allocate_results(device, results);
      key = key_of(device, results);
    } catch (const MemoryError&) {  // step by step less is needed at once
      for (size_t o = 0; o < results.size(); ++o) results[o]->storage = nullptr;
      return false;
    }
    const auto find = [&] {
      return std::find_if(plan_.recorded.begin(), plan_.recorded.end(),
                          [&](const Recorded& r) { return r.key == key; });
    };
    if (auto at = find(); at != plan_.recorded.end() && !at->constants_lie_as_recorded(device))
      plan_.recorded.erase(at);
    // After everything that takes memory: for its sake that of recordings may have been given back.
    std::erase_if(plan_.recorded,
                  [&](const Recorded& r) { return r.generation != memory.generation(); });
    auto known = find();
    if (known == plan_.recorded.end()) {
      auto before = std::find(plan_.seen.begin(), plan_.seen.end(), key);
      if (before == plan_.seen.end()) {
        if (plan_.seen.size() >= kMaxSeen) plan_.seen.erase(plan_.seen.begin());
        plan_.seen.push_back(std::move(key));
        return false;
      }
      plan_.seen.erase(before);
      if (!record(device, std::move(key), results)) return false;
      known = plan_.recorded.end() - 1;
    }
    const Ref<DeviceCheck> values = backend.replay(device.index, *known->recording);
    const int64_t work = backend.work_given(device.index);
    known->last_use = ++plan_.uses;
    counts().replays.fetch_add(1, std::memory_order_relaxed);
    for (size_t o = 0; o < results.size(); ++o) {
      Value& to = *results[o];
      to.layout = known->results[o].layout;
      to.row_major = known->results[o].row_major;
      if (plan_.roots[o] < 0) {
        to.storage = leaves_[~plan_.roots[o]]->storage;
        continue;
      }
      auto& storage = static_cast<DeviceStorage&>(*to.storage);
      storage.computed_by(work);
      if (values) storage.add_check(values);
    }
    for (const Value* leaf : leaves_) {
      auto& from = static_cast<DeviceStorage&>(*leaf->storage);
      if (from.has_checks())
        for (Value* to : results) static_cast<DeviceStorage&>(*to->storage).inherit_checks(from);
    }
    return true;
  }

 private:
  void allocate_results(Device device, std::span<Value* const> results) {
    for (size_t o = 0; o < results.size(); ++o) {
      const Slot root = plan_.roots[o];
      if (root < 0) continue;
      for (size_t p = 0; p < o && !results[o]->storage; ++p)
        if (plan_.roots[p] == root) results[o]->storage = results[p]->storage;
      if (results[o]->storage) continue;
      const Value& like = g_.value(root);
      results[o]->storage =
          Ref<Storage>::adopt(new DeviceStorage(device, like.size * size_of(like.dtype)));
    }
  }

  // Addresses and layouts of all arguments, and the addresses of all results.
  std::vector<int64_t> key_of(Device device, std::span<Value* const> results) {
    std::vector<int64_t> key;
    key.reserve(leaves_.size() * 4 + results.size());
    for (const Value* leaf : leaves_) {
      key.push_back(reinterpret_cast<int64_t>(data_on(*leaf, device)));
      if (!leaf->row_major)
        for (int64_t stride : leaf->layout.strides) key.push_back(stride);
      key.push_back(leaf->row_major);
      key.push_back(leaf->layout.offset);  // results that are views of it keep it
    }
    for (size_t o = 0; o < results.size(); ++o)
      if (plan_.roots[o] >= 0)
        key.push_back(reinterpret_cast<int64_t>(
            static_cast<DeviceStorage&>(*results[o]->storage).on(device)));
    return key;
  }

  bool record(Device device, std::vector<int64_t> key, std::span<Value* const> results) {
    Backend& backend = backend_of(device);
    RecordingMemory& memory = RecordingMemory::of(device);
    Recorded fresh;
    fresh.key = std::move(key);
    fresh.generation = memory.generation();
    std::unique_ptr<Recording> oldest;
    if (plan_.recorded.size() >= kMaxRecordings) {
      auto at = std::min_element(
          plan_.recorded.begin(), plan_.recorded.end(),
          [](const Recorded& a, const Recorded& b) { return a.last_use < b.last_use; });
      oldest = std::move(at->recording);
      plan_.recorded.erase(at);
    }
    std::vector<Value> values(results.size());
    std::vector<Value*> made(results.size());
    for (size_t o = 0; o < results.size(); ++o) {
      values[o].storage = results[o]->storage;
      made[o] = &values[o];
    }
    bool right = true;
    backend.begin_recording(device.index);
    {
      RecordingMemory::Scope scope(memory);
      records_now = &fresh;
      try {
        run(made);
      } catch (...) {  // what cannot be recorded; errors of other kinds come up again without
        right = false;
      }
      records_now = nullptr;
      for (size_t o = 0; right && o < made.size(); ++o) {
        // A result that lies elsewhere than asked (a copy that a view needed) would lie in memory
        // that the next replay writes again.
        right = plan_.roots[o] < 0 || values[o].storage.get() == results[o]->storage.get();
        fresh.results.push_back({values[o].layout, values[o].row_major});
      }
      values.clear();
    }
    fresh.recording = backend.end_recording(device.index, std::move(oldest));
    if (!right || !fresh.recording) {
      ++plan_.failures;
      return false;
    }
    counts().recordings.fetch_add(1, std::memory_order_relaxed);
    plan_.recorded.push_back(std::move(fresh));
    return true;
  }

  CompiledPlan& plan_;
  const PlanGraph& g_;
  std::span<const Value* const> leaves_;
};

}  // namespace

void Runner::run_compiled(const PlanNode& n) {
  CompiledPlan& plan = plan_of(*static_cast<const CompiledAttrs*>(n.node->attrs)->graph);
  const PlanGraph& g = plan.graph;
  std::vector<const Value*> leaves(g.leaves.size());
  for (size_t i = 0; i < leaves.size(); ++i)
    leaves[i] = i < n.n_in ? &value(g_.in_slots[n.first_in + i]) : &g.leaves[i]->value();
  std::vector<Value*> results(plan.outputs.size());
  for (size_t o = 0; o < results.size(); ++o) results[o] = v_.slots[n.first_slot + o];

  const Device device = plan.place.device;
  if (records_now)
    for (size_t i = n.n_in; i < leaves.size(); ++i)
      records_now->constants.push_back(
          {&storage_of(*leaves[i]), storage_of(*leaves[i]).on(device)});
  CompiledRun run(plan, leaves);
  if (backend_of(device).records() && !records_now && !watch::active()) {
    int launches = plan.launches.load(std::memory_order_relaxed);
    if (launches == kUnknown) plan.launches = launches = launches_on(g, plan.place);
    if (launches >= kFewestLaunches && run.replay(device, results)) return;
  }
  run.run(results);
}

}  // namespace legato
