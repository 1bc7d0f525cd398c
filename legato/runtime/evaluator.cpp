#include "legato/runtime/evaluator.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "legato/array/precision.h"
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
using fuse::SlotInfo;

std::mutex& graph_lock() {
  static std::mutex& m = *new std::mutex;
  return m;
}

AtomicCounts& counts() {
  static AtomicCounts c;
  return c;
}

EvalCounts eval_counts() {
  AtomicCounts& c = counts();
  return {c.evaluations.load(),    c.programs.load(),  c.kernels.load(),   c.layout_copies.load(),
          c.reused_buffers.load(), c.epilogues.load(), c.prologues.load(), c.row_programs.load(),
          c.recordings.load(),     c.replays.load()};
}

namespace {

std::atomic<bool>& fusion_flag() {
  static std::atomic<bool> on = [] {
    const char* text = std::getenv("LEGATO_FUSION");
    return !(text && std::strcmp(text, "0") == 0);
  }();
  return on;
}

uint64_t next_walk = 0;  // guarded by the graph lock

// Counts evaluations that have ended. Whoever finds a node claimed by another evaluation waits for
// the next end, and looks again.
std::atomic<uint32_t> ended{0};

// Waits until no evaluation has a claim on the node; returns its state then.
NodeState settled_state(const Node& n) {
  for (;;) {
    uint32_t seen = ended.load(std::memory_order_acquire);
    NodeState state = n.state.load(std::memory_order_acquire);
    if (state != NodeState::claimed) return state;
    ended.wait(seen, std::memory_order_acquire);
  }
}

[[noreturn]] void throw_unbound(const Node& n) {
  const char* transform = n.mark ? n.mark->transform() : "a transform";
  throw TransformError(
      cat("a value was read inside ", transform,
          ": arrays there have a shape and a dtype, but no value. ",
          "Compute with them and read the results of the transformed function instead",
          n.mark && !n.mark->running()
              ? cat("; this array was made inside ", transform, " and kept after it ended.")
              : std::string(".")));
}

// While a node's meaning is written out: what it binds runs where the node does, as it was called.
class AsCalled {
 public:
  explicit AsCalled(const Node& n)
      : stream_(std::exchange(current_stream_index(), n.stream)), tf32_(allow_tf32(n.allow_tf32)) {}
  ~AsCalled() {
    current_stream_index() = stream_;
    allow_tf32(tf32_);
  }
  AsCalled(const AsCalled&) = delete;
  AsCalled& operator=(const AsCalled&) = delete;

 private:
  uint16_t stream_;
  bool tf32_;
};

// What an error inside an unbound graph should say: the transform of the nearest unbound input.
class Collector {
 public:
  Collector(PlanGraph& g, std::span<const Array> inputs) : g_(g), walk_(++next_walk) {
    stack_.clear();
    for (size_t i = 0; i < inputs.size(); ++i) {
      Node* n = inputs[i].node();
      n->stamp = walk_;
      n->slot = kLeafBit | static_cast<uint32_t>(g_.leaves.size());
      g_.leaves.push_back(&inputs[i]);
    }
  }

  void visit(const Array& root) {
    if (!enter(root.node())) return;
    while (!stack_.empty()) {
      Frame& f = stack_.back();
      if (f.next < f.n_in) {
        enter(f.in[f.next++].node());
      } else {
        finish(f);
        stack_.pop_back();
      }
    }
  }

  Slot slot_of(const Array& a) {
    Node* n = a.node();
    if (n->stamp == walk_) {
      if (n->slot & kLeafBit) return ~static_cast<Slot>(n->slot & ~kLeafBit);
      return static_cast<Slot>(n->slot + a.index());
    }
    // A leaf seen for the first time. Leaves with several outputs are not merged: each edge is its
    // own.
    g_.leaves.push_back(&a);
    auto index = static_cast<uint32_t>(g_.leaves.size() - 1);
    if (n->n_out == 1) {
      n->stamp = walk_;
      n->slot = kLeafBit | index;
    }
    return ~static_cast<Slot>(index);
  }

 private:
  static constexpr uint32_t kLeafBit = 0x80000000u;
  struct Frame {
    Node* node;
    const Array* in;
    uint32_t n_in, next;
    NodeKind kind;
  };

  // Pushes a node that must be computed and has not been seen.
  bool enter(Node* n) {
    if (n->stamp == walk_) return false;
    switch (n->state.load(std::memory_order_acquire)) {
      case NodeState::done:
      case NodeState::claimed:
        return false;
      case NodeState::failed:
        std::rethrow_exception(n->error);
      case NodeState::unbound:
        throw_unbound(*n);
      case NodeState::pending:
        break;
    }
    n->stamp = walk_;
    const NodeKind kind = kind_of(*n);
    // Entries of tables are filled where they stand: one that is made elsewhere and copied at once
    // costs several times as much.
    Frame& f = stack_.emplace_back();
    f.node = n;
    f.in = n->in;
    f.n_in = n->n_in;
    f.next = 0;
    f.kind = kind;
    if (kind == NodeKind::alias) {
      std::vector<Array> out(n->n_out);
      const AsCalled scope(*n);
      n->op->expand(Call(*n->op, n->inputs(), n->attrs), out);
      g_.expansions.push_back(std::move(out));
      f.in = g_.expansions.back().data();
      f.n_in = n->n_out;
    }
    return true;
  }

  static NodeKind kind_of(const Node& n) {
    const Op& op = *n.op;
    if (op.pointwise.fn) return NodeKind::pointwise;
    if (&op == &literal_op) return NodeKind::literal;
    if (op.view) return NodeKind::view;
    if (&op == &compiled_op) return NodeKind::compiled;
    Dtype key = n.n_in ? n.in[0].dtype() : n.out[0].dtype;
    if (backend_of(device_of_stream(n.stream)).find_kernel(op, key)) return NodeKind::kernel;
    if (op.expand) return NodeKind::alias;
    if (backend_of(Device{}).find_kernel(op, key)) return NodeKind::kernel;
    throw ValueError(cat(op.name, ": not available for ", key,
                         " on this device, and it has no form in simpler ops"));
  }

  void finish(const Frame& f) {
    const auto index = static_cast<uint32_t>(g_.nodes.size());
    PlanNode& p = g_.nodes.emplace_back();
    p.node = f.node;
    p.kind = f.kind;
    p.first_in = static_cast<uint32_t>(g_.in_slots.size());
    p.n_in = f.n_in;
    for (uint32_t i = 0; i < f.n_in; ++i) {
      Slot s = slot_of(f.in[i]);
      if (s >= 0) ++g_.slots[s].uses;
      g_.in_slots.push_back(s);
    }
    p.first_slot = static_cast<uint32_t>(g_.slots.size());
    f.node->slot = p.first_slot;
    for (int o = 0; o < f.node->n_out; ++o) g_.slots.emplace_back().producer = index;
  }

  PlanGraph& g_;
  uint64_t walk_;
  static inline std::vector<Frame>& stack_ = *new std::vector<Frame>;  // guarded by the graph lock
};

// Claims the nodes, and marks values that somebody outside the graph can see: they have more
// references than the graph has edges. A node with several outputs is held as a whole, because it
// is computed, kept or computed again as a whole.
void claim_nodes(PlanGraph& g, std::span<const Array> roots, Collector& collector) {
  static std::vector<Slot>& may_wait_slots = *new std::vector<Slot>;  // guarded by the graph lock
  may_wait_slots.clear();
  bool asked_again = false;  // for a value that was not kept before
  for (const Array& r : roots) {
    Slot s = collector.slot_of(r);
    if (s >= 0) g.slots[s].held = true;
  }
  for (auto& p : g.nodes) {
    Node* n = p.node;
    bool captured = n->mark && n->mark->nearest_open();
    g.keep_leaves |= captured;
    bool any =
        captured && p.kind == NodeKind::kernel;  // the open transform will need a kernel's result
    const bool root = g.slots[p.first_slot].held;
    for (int o = 0; o < n->n_out; ++o) {
      SlotInfo& s = g.slots[p.first_slot + o];
      uint32_t refs = n->holders ? n->holders[o].load(std::memory_order_acquire)
                                 : n->refs.load(std::memory_order_acquire);
      // A number is written out for nobody but a root.
      any |= s.held || (refs > s.uses && p.kind != NodeKind::literal);
    }
    if (any) {
      for (int o = 0; o < n->n_out; ++o) g.slots[p.first_slot + o].held = true;
      asked_again |= n->was_passing && p.kind == NodeKind::pointwise;
      if (!root && !captured && may_wait(p))
        may_wait_slots.push_back(static_cast<Slot>(p.first_slot));
    }
    n->state.store(NodeState::claimed, std::memory_order_release);
  }
  if (!asked_again && !may_wait_slots.empty()) let_wait(g, may_wait_slots);
}

// Everything one evaluation needs. Objects are reused, so that small evaluations allocate nothing.
struct Evaluation {
  PlanGraph graph;
  std::vector<Value*> slot_values;
  std::vector<const Value*> leaf_values;
  std::vector<uint32_t> uses;
  std::vector<Node*> dying;
  std::vector<Array> roots;    // asynchronous evaluations keep their roots alive
  bool awaits_leaves = false;  // other evaluations are computing some of them
  bool lone = false;           // see Note [Lone nodes]

  void clear() {
    graph.clear();
    dying.clear();
    roots.clear();
    awaits_leaves = lone = false;
  }
};

struct EvaluationPool {
  std::vector<std::unique_ptr<Evaluation>> free;
};
thread_local EvaluationPool evaluation_pool;

struct Lease {
  std::unique_ptr<Evaluation> e;
  Lease() {
    auto& free = evaluation_pool.free;
    if (free.empty()) {
      e = std::make_unique<Evaluation>();
    } else {
      e = std::move(free.back());
      free.pop_back();
    }
  }
  ~Lease() {
    if (!e) return;
    e->clear();
    if (evaluation_pool.free.size() < 4) evaluation_pool.free.push_back(std::move(e));
  }
};

// Note [Lone nodes]: most nodes that are evaluated by themselves read only values that exist and
// numbers. Their graph is written down without a walk, nothing has to be grouped or joined, and
// nobody else looks at the node between its claim and its end. Its numbers are not claimed: they
// stand before it in the tables and never change.
bool collect_lone(PlanGraph& g, Node* n) {
  if (n->n_out != 1 || n->n_in > Node::kInlineInputs || n->mark || n->n_in == 0) return false;
  PlanNode p;
  p.node = n;
  p.n_in = n->n_in;
  if (n->op->pointwise.fn)
    p.kind = NodeKind::pointwise;
  else if (n->op->view || n->op == &compiled_op ||
           !backend_of(device_of_stream(n->stream)).find_kernel(*n->op, n->in[0].dtype()))
    return false;
  Slot in[Node::kInlineInputs];
  for (uint32_t i = 0; i < n->n_in; ++i) {
    const Array& from = n->in[i];
    uint32_t same = 0;
    while (same < i && !n->in[same].same(from)) ++same;
    if (same < i) {
      in[i] = in[same];
    } else if (from.node()->is_done()) {
      in[i] = ~static_cast<Slot>(g.leaves.size());
      g.leaves.push_back(&from);
    } else if (from.node()->op == &literal_op && p.kind == NodeKind::pointwise) {
      in[i] = static_cast<Slot>(g.nodes.size());
      PlanNode number;
      number.node = from.node();
      number.kind = NodeKind::literal;
      number.first_slot = static_cast<uint32_t>(in[i]);
      g.slots.push_back({static_cast<uint32_t>(g.nodes.size()), 0, false, false});
      g.nodes.push_back(number);
    } else {
      g.clear();
      return false;
    }
    if (in[i] >= 0) ++g.slots[static_cast<size_t>(in[i])].uses;
  }
  g.in_slots.assign(in, in + n->n_in);
  p.first_slot = static_cast<uint32_t>(g.slots.size());
  g.slots.push_back({static_cast<uint32_t>(g.nodes.size()), 0, true, false});
  g.nodes.push_back(p);
  return true;
}

// Collects and claims. Returns false if there is nothing to compute.
bool claim(Evaluation& e, std::span<const Array> roots) {
  std::lock_guard lock(graph_lock());
  PlanGraph& g = e.graph;
  if (roots.size() == 1) {
    Node* n = roots[0].node();
    if (n->state.load(std::memory_order_acquire) == NodeState::pending && collect_lone(g, n)) {
      n->state.store(NodeState::claimed, std::memory_order_release);
      return e.lone = true;
    }
  }
  Collector collector(g, {});
  for (const Array& r : roots) collector.visit(r);
  if (g.nodes.empty()) return false;
  claim_nodes(g, roots, collector);
  for (const Array* leaf : g.leaves) e.awaits_leaves |= !leaf->node()->is_done();
  return true;
}

bool is_memory_error(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const MemoryError&) {
    return true;
  } catch (...) {
    return false;
  }
}

// Gives a claimed node the state that it ends with. Returns whether that is the end: done or
// failed.
template <class Failed>
bool settle(const PlanNode& p, const std::exception_ptr& error, bool retry, Failed failed) {
  Node* n = p.node;
  bool complete = true, bad = false;
  for (int o = 0; o < n->n_out; ++o) {
    complete &= static_cast<bool>(n->out[o].storage);
    bad |= failed(static_cast<Slot>(p.first_slot) + o);
  }
  if (bad && !retry) {
    n->error = error;
    n->state.store(NodeState::failed, std::memory_order_release);
  } else if (complete && !bad) {
    n->state.store(NodeState::done, std::memory_order_release);
  } else {
    for (int o = 0; o < n->n_out; ++o) n->out[o].storage = nullptr;
    n->was_passing |= !bad;
    n->state.store(NodeState::pending, std::memory_order_release);
    return false;
  }
  return true;
}

// Publishes what was computed. Producers first: detaching a user's inputs may free them, and until
// then the user, and in the end a root, keeps each node alive.
template <class Failed>
void finish(Evaluation& e, const std::exception_ptr& error, bool retry, Failed failed) {
  PlanGraph& g = e.graph;
  if (e.lone) {
    // In this order: a thread that sees it done may drop it, and the caller's root is all it needs.
    if (settle(g.nodes.back(), error, retry, failed)) detach_inputs(g.nodes.back().node);
  } else {
    e.dying.reserve(g.nodes.size());
    std::lock_guard lock(graph_lock());
    for (auto& p : g.nodes) {
      Node* n = p.node;
      if (!settle(p, error, retry, failed)) continue;
      if (CaptureMark* mark = n->mark ? n->mark->nearest_open() : nullptr)
        mark->keep(n);
      else
        e.dying.push_back(n);
    }
  }
  // Nobody but us looks at the inputs of these nodes from here on: they are done or failed.
  for (Node* n : e.dying) detach_inputs(n);
  claims_ended();
}

// Waits for values that other evaluations are computing. Returns the error of one that failed.
std::exception_ptr await_leaves(Evaluation& e) {
  if (!e.awaits_leaves) return nullptr;
  for (const Array* leaf : e.graph.leaves) {
    if (settled_state(*leaf->node()) == NodeState::done) continue;
    try {
      eval({leaf, 1});
    } catch (...) {
      return std::current_exception();
    }
  }
  return nullptr;
}

// Returns the error if memory ran out: lack of memory is no property of the values, so their nodes
// stay pending, to be tried again when there is room.
std::exception_ptr run(Evaluation& e, bool fused) {
  PlanGraph& g = e.graph;
  if (auto error = await_leaves(e)) {
    bool retry = is_memory_error(error);
    finish(e, error, retry, [](Slot) { return true; });
    return retry ? error : nullptr;
  }
  counts().evaluations.fetch_add(1, std::memory_order_relaxed);
  std::exception_ptr error;
  std::optional<Runner> runner;
  RunValues values;
  try {
    fuse::plan_steps(g, fused);
    if (fused && !e.lone) {
      if (std::any_of(g.steps.begin(), g.steps.end(),
                      [](const fuse::Step& s) { return s.kind == NodeKind::kernel; })) {
        find_row_blocks(g);
        join_epilogues(g);
        join_prologues(g);
      }
      find_batches(g);
    }
    e.slot_values.resize(g.slots.size());
    e.uses.resize(g.slots.size());
    for (size_t s = 0; s < g.slots.size(); ++s) {
      e.slot_values[s] = &g.value(static_cast<Slot>(s));
      e.uses[s] = g.slots[s].uses;
    }
    e.leaf_values.resize(g.leaves.size());
    for (size_t i = 0; i < g.leaves.size(); ++i) e.leaf_values[i] = &g.leaves[i]->value();
    values = {e.slot_values, e.leaf_values, g.leaves, e.uses};
    prepare_programs(g, values);
    runner.emplace(g, values);
    runner->run();
    error = runner->error();
  } catch (...) {  // planning failed: nothing has been computed
    error = std::current_exception();
    runner.reset();
  }
  bool retry = error && is_memory_error(error);
  finish(e, error, retry, [&](Slot s) { return !runner || runner->failed(s); });
  return retry ? error : nullptr;
}

// Computes what has been claimed for the roots. Where there was no memory for all that a fused
// program reads at once, its operations may still run one after the other, each with the others'
// operands spilled.
std::exception_ptr run(Evaluation& e, std::span<const Array> roots) {
  const bool fused = fusion_on();
  std::exception_ptr error = run(e, fused);
  if (!error || !fused || e.lone) return error;
  e.graph.clear();
  e.dying.clear();
  e.awaits_leaves = false;
  try {
    return claim(e, roots) ? run(e, false) : nullptr;
  } catch (...) {  // a root has failed since: its readers are told
    return nullptr;
  }
}

void wait_for(const Array& a) {
  const Node* n = a.node();
  for (;;) switch (settled_state(*n)) {
      case NodeState::done:
        return;
      case NodeState::failed:
        std::rethrow_exception(n->error);
      case NodeState::unbound:
        throw_unbound(*n);
      default:  // another evaluation left it pending: it ran out of memory, or only fused it
        eval({&a, 1});
    }
}

void evaluate_hook(std::span<const Array> roots, bool wait) {
  if (wait)
    eval(roots);
  else
    async_eval(roots);
}

Ref<Storage> allocate_hook(int64_t bytes, void** host) {
  auto* s = new DeviceStorage(Device{}, bytes);
  *host = s->writable();
  return Ref<Storage>::adopt(s);
}

Ref<Storage> copy_hook(const Value& v) {
  Value copy = row_major_copy(v, Device{});
  return copy.storage;
}

const void* read_hook(Storage& storage) {
  return static_cast<DeviceStorage&>(storage).on(Device{});
}

[[maybe_unused]] const bool hooks_installed = [] {
  runtime_hooks() = {evaluate_hook, allocate_hook, copy_hook, read_hook};
  return true;
}();

}  // namespace

void collect(PlanGraph& g, std::span<const Array> roots, std::span<const Array> inputs) {
  g.keep_leaves = true;  // constants of a function: the next run reads them too
  Collector collector(g, inputs);
  for (const Array& r : roots) collector.visit(r);
  for (const Array& r : roots) {
    Slot s = collector.slot_of(r);
    if (s >= 0) g.slots[s].held = true;
    g.step_outputs.push_back(s);  // taken out again by the caller: the slots of the roots, in order
  }
}

void claims_ended() {
  ended.fetch_add(1, std::memory_order_release);
  ended.notify_all();
}

bool fusion_on() { return fusion_flag().load(std::memory_order_relaxed); }
bool set_fusion(bool on) { return fusion_flag().exchange(on); }

// Where devices compute later than they are asked to: waits for them, and for what their checks
// found.
static void wait_for_devices(std::span<const Array> roots) {
  if (!any_asynchronous_backend()) return;
  for (const Array& r : roots) {
    auto& storage = static_cast<DeviceStorage&>(*r.value().storage);
    const Device home = storage.home();
    if (home == Device{}) continue;
    // What the host has a copy of was finished, even if the device has been lost since.
    if (storage.is_on(Device{}) && !storage.has_checks()) continue;
    backend_of(home).wait_for(home.index, storage.work());
    storage.verify();
  }
}

void launch(std::span<const Array> roots) {
  bool all_done = true;
  for (const Array& r : roots) all_done &= r.node()->is_done();
  if (all_done) return;
  {
    Lease lease;
    if (claim(*lease.e, roots))
      if (auto error = run(*lease.e, roots)) std::rethrow_exception(error);
  }
  for (const Array& r : roots) wait_for(r);
}

void eval(std::span<const Array> roots) {
  launch(roots);
  wait_for_devices(roots);
}

void async_eval(std::span<const Array> roots) {
  struct EvalTask final : Task {
    Evaluation e;
    static void mark(const Array& root) {
      if (!root.node()->is_done() || !root.value().storage) return;
      const DeviceStorage& storage = storage_of(root.value());
      backend_of(storage.home()).mark(storage.home().index, storage.work());
    }
    // What goes wrong is kept in the nodes, for whoever reads them.
    void run() noexcept override {
      legato::run(e, e.roots);
      // Whoever reads the results must not wait for what the device is given after them.
      try {
        for (const Array& r : e.roots) mark(r);
      } catch (...) {  // then he does
      }
    }
  };
  auto task = std::make_unique<EvalTask>();
  task->e.roots.assign(roots.begin(), roots.end());
  if (!claim(task->e, task->e.roots)) return;
  uint16_t stream = task->e.roots[0].node()->stream;
  post(stream, std::move(task));
}

}  // namespace legato
