#include "legato/backends/cuda/batch.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "legato/base/error.h"

namespace legato::cuda {
namespace {

bool same_kernel(const PlainLaunch& a, const PlainLaunch& b) {
  return a.function == b.function && a.blocks == b.blocks && a.threads == b.threads &&
         a.shared_bytes == b.shared_bytes && a.bytes == b.bytes;
}

CUDA_KERNEL_NODE_PARAMS node_params(const PlainLaunch& l, void** arguments) {
  CUDA_KERNEL_NODE_PARAMS p{};
  p.func = l.function;
  p.gridDimX = l.blocks;
  p.blockDimX = l.threads;
  p.gridDimY = p.gridDimZ = p.blockDimY = p.blockDimZ = 1;
  p.sharedMemBytes = l.shared_bytes;
  p.kernelParams = arguments;
  return p;
}

CUresult launch_now(const PlainLaunch& l, const void* params, CUstream queue) {
  void* arguments[] = {const_cast<void*>(params)};
  return driver().cuLaunchKernel(l.function, l.blocks, 1, 1, l.threads, 1, 1, l.shared_bytes, queue,
                                 arguments, nullptr);
}

uint64_t mix(uint64_t h, uint64_t v) {
  h = (h ^ v) * 0xff51afd7ed558ccdu;
  return h ^ (h >> 32);
}

constexpr size_t aligned(size_t n) { return (n + 15) & ~size_t{15}; }
constexpr int kSeenBefore = 2;  // how often a batch's like has come when it becomes a graph

}  // namespace

/// What a call of a library launches.
struct LaunchBatch::Captured {
  std::unique_ptr<LibraryCall> call;
  CUgraph graph = nullptr;  // null: it cannot be captured
  uint64_t form = 0, number = 0;

  Captured() = default;
  Captured(const Captured&) = delete;
  ~Captured() {
    if (graph) driver().cuGraphDestroy(graph);
  }
};

/// A batch as a graph, with the parameters of one time that it came.
struct LaunchBatch::Made {
  std::vector<Pending> launches;
  std::vector<std::byte> params;  // what its launches have now
  CUgraph graph = nullptr;        // whose nodes name those of `exec`
  CUgraphExec exec = nullptr;
  std::vector<CUgraphNode> nodes;

  Made() = default;
  Made(const Made&) = delete;
  ~Made() {  // the driver lets a graph that runs end first
    if (exec) driver().cuGraphExecDestroy(exec);
    if (graph) driver().cuGraphDestroy(graph);
  }

  /// Makes a chain of the launches. False if the driver does not.
  bool make(const std::vector<Pending>& pending, const std::byte* from, size_t bytes) {
    Driver& d = driver();
    launches = pending;
    params.assign(from, from + bytes + kParamBytes);
    nodes.assign(pending.size(), nullptr);
    bool made = d.cuGraphCreate(&graph, 0) == CUDA_SUCCESS;
    for (size_t i = 0; i < nodes.size() && made; ++i) {
      if (const Captured* call = std::exchange(launches[i].captured, nullptr)) {
        made = d.cuGraphAddChildGraphNode(&nodes[i], graph, i ? &nodes[i - 1] : nullptr, i ? 1 : 0,
                                          call->graph) == CUDA_SUCCESS;
        continue;
      }
      void* arguments[] = {params.data() + launches[i].at};
      const CUDA_KERNEL_NODE_PARAMS p = node_params(launches[i].launch, arguments);
      made = d.cuGraphAddKernelNode(&nodes[i], graph, i ? &nodes[i - 1] : nullptr, i ? 1 : 0, &p) ==
             CUDA_SUCCESS;
    }
    return made && d.cuGraphInstantiate(&exec, graph, 0) == CUDA_SUCCESS;
  }

  bool differs(size_t i, const std::vector<Pending>& pending, const std::byte* from) const {
    const Pending& l = launches[i];
    if (pending[i].captured) return l.number != pending[i].number;
    return std::memcmp(params.data() + l.at, from + l.at, l.launch.bytes) != 0;
  }
  /// How many launches have other parameters; no more than `most` are counted.
  size_t count_changes(const std::vector<Pending>& pending, const std::byte* from,
                       size_t most) const {
    size_t n = 0;
    for (size_t i = 0; i < launches.size() && n < most; ++i) n += differs(i, pending, from);
    return n;
  }
  /// Gives its launches these parameters. False if the driver does not: then they are mixed up.
  bool change(const std::vector<Pending>& pending, const std::byte* from) {
    for (size_t i = 0; i < launches.size(); ++i) {
      if (!differs(i, pending, from)) continue;
      Pending& l = launches[i];
      if (const Captured* call = pending[i].captured) {
        l.number = call->number;
        if (driver().cuGraphExecChildGraphNodeSetParams(exec, nodes[i], call->graph) !=
            CUDA_SUCCESS)
          return false;
        continue;
      }
      std::byte* mine = params.data() + l.at;
      std::memcpy(mine, from + l.at, l.launch.bytes);
      void* arguments[] = {mine};
      const CUDA_KERNEL_NODE_PARAMS p = node_params(l.launch, arguments);
      if (driver().cuGraphExecKernelNodeSetParams(exec, nodes[i], &p) != CUDA_SUCCESS) return false;
    }
    return true;
  }
};

/// A batch that has come before. Where it comes round with a few sets of addresses, each has a
/// graph of its own.
struct LaunchBatch::Known {
  static constexpr size_t kMostMade = 4;
  static constexpr int kChangedBefore = 16;  // to make a graph takes as long as to change one so
                                             // often
  int seen = 0, changed = 0;
  uint64_t used = 0;  // counts up
  std::vector<std::unique_ptr<Made>> made;

  size_t nodes() const { return made.empty() ? 0 : made.size() * made[0]->launches.size(); }
  void drop() {
    made.clear();
    seen = changed = 0;
  }
  Made* make(const std::vector<Pending>& pending, const std::byte* from, size_t bytes) {
    auto fresh = std::make_unique<Made>();
    if (!fresh->make(pending, from, bytes)) return nullptr;
    return made.emplace_back(std::move(fresh)).get();
  }
  /// A graph with these parameters: one that has them, or the most similar one, changed. Null if
  /// the driver refuses.
  Made* with(const std::vector<Pending>& pending, const std::byte* from, size_t bytes, bool room) {
    Made* best = nullptr;
    size_t fewest = pending.size() + 1;
    for (const auto& one : made) {
      const size_t n = one->count_changes(pending, from, fewest);
      if (n < fewest) {
        fewest = n;
        best = one.get();
      }
      if (n == 0) return best;
    }
    if (room && 2 * fewest >= pending.size() && made.size() < kMostMade &&
        ++changed >= kChangedBefore) {
      changed = 0;
      if (Made* fresh = make(pending, from, bytes)) return fresh;
    }
    return best->change(pending, from) ? best : nullptr;
  }
};

LaunchBatch::LaunchBatch()
    : on_([] {
        const char* text = std::getenv("LEGATO_BATCHES");
        return !(text && std::strcmp(text, "0") == 0);
      }()),
      params_(new std::byte[(kMost + 1) * kParamBytes]()) {
  pending_.reserve(kMost);
}

LaunchBatch::~LaunchBatch() = default;

bool LaunchBatch::accepted(const PlainLaunch& l) const {
  const PlainLaunch& known = accepted_[reinterpret_cast<uintptr_t>(l.function) / 16 % kAccepted];
  return known.function == l.function && known.threads == l.threads &&
         known.shared_bytes == l.shared_bytes;
}

void LaunchBatch::accept(const PlainLaunch& l) {
  accepted_[reinterpret_cast<uintptr_t>(l.function) / 16 % kAccepted] = l;
}

void LaunchBatch::launch(const PlainLaunch& l, const void* params, int64_t work, CUstream queue,
                         const char* what) {
  std::lock_guard guard(lock_);
  if (!on_ || l.bytes > kParamBytes || !accepted(l)) {
    submit_locked(queue);
    check(launch_now(l, params, queue), what);
    accept(l);
    return;
  }
  begin(work);
  hash_ = mix(hash_, reinterpret_cast<uintptr_t>(l.function));
  hash_ = mix(hash_, uint64_t{l.blocks} << 32 | l.threads);
  hash_ = mix(hash_, uint64_t{l.shared_bytes} << 32 | l.bytes);
  std::memcpy(params_.get() + params_used_, params, l.bytes);
  pending_.push_back({l, static_cast<uint32_t>(params_used_)});
  params_used_ += aligned(l.bytes);
  if (limit_.load(std::memory_order_relaxed) == kIdle && uint64_t{l.blocks} * l.threads >= kFull) {
    submit_locked(queue);
    limit_.store(kFirst, std::memory_order_relaxed);
    return;
  }
  added(queue);
}

void LaunchBatch::begin(int64_t work) {
  if (!pending_.empty()) return;
  hash_ = 0;
  first_work_ = work;
}

void LaunchBatch::added(CUstream queue) {
  const uint32_t limit = std::max(limit_.load(std::memory_order_relaxed), kFirst);
  if (pending_.size() < limit) return;
  submit_locked(queue);
  limit_.store(std::min(2 * limit, kMost), std::memory_order_relaxed);
}

LaunchBatch::Call LaunchBatch::call(const LibraryCall& call, int64_t work, CUstream queue) {
  if (!on_) return Call::run;
  const std::string_view key = call.key();
  std::lock_guard guard(lock_);
  if (const auto found = captured_.find(key); found != captured_.end()) {
    if (!found->second->graph) return Call::run;
    put_aside(*found->second, work, queue);
    return Call::put_aside;
  }
  const uint64_t hash = std::hash<std::string_view>{}(key);
  return std::exchange(met_[hash % kMet], hash) == hash ? Call::capture : Call::run;
}

void LaunchBatch::keep(const LibraryCall& call, CUgraph graph, int64_t work, CUstream queue) {
  auto fresh = std::make_unique<Captured>();
  fresh->graph = graph;
  fresh->call = call.copy();
  fresh->form = call.form();
  std::lock_guard guard(lock_);
  if (captured_.size() >= kMostCaptured) {  // a new start: what comes round is soon here again
    submit_locked(queue);                   // reads them
    captured_.clear();
  }
  fresh->number = ++captured_made_;
  const std::string_view key = fresh->call->key();
  const auto [at, added] = captured_.emplace(key, std::move(fresh));  // or another thread has
  if (at->second->graph) put_aside(*at->second, work, queue);
}

void LaunchBatch::put_aside(const Captured& captured, int64_t work, CUstream queue) {
  begin(work);
  hash_ = mix(hash_, captured.form);
  Pending& p = pending_.emplace_back();
  p.form = captured.form;
  p.number = captured.number;
  p.captured = &captured;
  added(queue);
}

void LaunchBatch::submit(CUstream queue) noexcept {
  std::lock_guard guard(lock_);
  submit_locked(queue);
}

void LaunchBatch::submit_locked(CUstream queue) noexcept {
  if (pending_.empty()) return;
  bool done = false;
  try {
    done = submit_as_graph(queue);
  } catch (const std::bad_alloc&) {  // launching needs no memory of ours
  }
  if (!done) submit_one_by_one(queue);
  pending_.clear();
  params_used_ = 0;
}

// Returns false, with nothing launched, where it is no graph.
bool LaunchBatch::submit_as_graph(CUstream queue) {
  if (known_.size() >= kMostKnown && !make_room()) return false;
  auto& entry = known_[hash_];
  if (!entry) entry = std::make_unique<Known>();
  Known& known = *entry;
  known.used = ++uses_;
  const bool room = nodes_ + pending_.size() <= kMostNodes;
  Made* made = nullptr;
  nodes_ -= known.nodes();
  if (known.made.empty()) {
    if (known.seen++ < kSeenBefore) return false;
    if (!room) {
      make_room();  // for the next one: this one may be gone
      return false;
    }
    made = known.make(pending_, params_.get(), params_used_);
  } else {
    const std::vector<Pending>& launches = known.made[0]->launches;
    const bool same = std::equal(launches.begin(), launches.end(), pending_.begin(), pending_.end(),
                                 [](const Pending& a, const Pending& b) {
                                   return a.form == b.form && same_kernel(a.launch, b.launch);
                                 });
    if (same) made = known.with(pending_, params_.get(), params_used_, room);
    if (same && !made) known.drop();  // else two batches of one hash
  }
  nodes_ += known.nodes();
  return made && driver().cuGraphLaunch(made->exec, queue) == CUDA_SUCCESS;
}

void LaunchBatch::submit_one_by_one(CUstream queue) noexcept {
  try {
    for (const Pending& p : pending_)
      if (p.captured)
        p.captured->call->run(queue);
      else
        check(launch_now(p.launch, params_.get() + p.at, queue),
              "launching kernels that had been put aside");
  } catch (...) {
    if (lost_) return;
    lost_from_ = first_work_;
    lost_ = std::current_exception();
  }
}

void LaunchBatch::check_lost(int64_t work) {
  std::lock_guard guard(lock_);
  if (work >= lost_from_) std::rethrow_exception(lost_);
}

template <class F>
void LaunchBatch::drop_if(F&& f) {
  std::erase_if(known_, [&](const auto& entry) { return f(*entry.second); });
  nodes_ = 0;
  for (auto& [hash, known] : known_) nodes_ += known->nodes();
}

// The half that has not been used for longest goes, but not again and again: where more come round
// than are kept, some are graphs and the rest is launched as ever.
bool LaunchBatch::make_room() {
  if (room_made_ != 0 && uses_ - room_made_ < kBetweenRoom) return false;
  room_made_ = uses_;
  std::vector<uint64_t> used;
  for (auto& [hash, known] : known_) used.push_back(known->used);
  const auto middle = used.begin() + static_cast<std::ptrdiff_t>(used.size() / 2);
  std::nth_element(used.begin(), middle, used.end());
  drop_if([&](const Known& known) { return known.used < *middle; });
  return true;
}

void LaunchBatch::forget(CUfunction function, CUstream queue) noexcept {
  std::lock_guard guard(lock_);
  submit_locked(queue);
  for (PlainLaunch& l : accepted_)
    if (l.function == function) l = {};
  drop_if([&](const Known& known) {
    return !known.made.empty() &&
           std::any_of(known.made[0]->launches.begin(), known.made[0]->launches.end(),
                       [&](const Pending& p) { return p.launch.function == function; });
  });
}

void LaunchBatch::drop_graphs() noexcept {
  std::lock_guard guard(lock_);
  known_.clear();
  if (pending_.empty()) captured_.clear();
  nodes_ = 0;
}

}  // namespace legato::cuda
