// Which held values an evaluation need not write out.
//
// Note [Values that wait]: a value that somebody outside the graph can see, a Python local as a
// rule, has not been asked for: that are the roots. Where it would be nothing but a register of a
// program, or scratch of a block of rows, it is not written out but goes back to `pending`, and is
// computed when somebody asks. Most locals are never asked for, and to write them costs more than
// the program they come from: gelu with four of them moves five arrays of results instead of one.
//
// Nothing is computed more than twice. A node that was computed and not kept remembers it
// (Node::was_passing): the next evaluation that meets it writes it out if it is still held, and no
// value waits that such a node would be computed for once more. An evaluation that meets one which
// is held lets nothing wait: here values are asked for. Loops that carry a held value on do not
// grow.
//
// Memory is bounded, too. What a waiting value is computed from must be held by others already, so
// that nothing stays that would have been given back or written over, and be no more than four
// times its own size, should the others let go of it. It must not be written to from outside: not
// by those who share it now, and who wants to share it later gets a copy (Node::needed_later).
#include <algorithm>

#include "legato/runtime/evaluator.h"
#include "legato/runtime/plan.h"
#include "legato/runtime/watch.h"

namespace legato {

using fuse::NodeKind;
using fuse::PlanGraph;
using fuse::PlanNode;
using fuse::Slot;

namespace {

// Smaller values stay in the cache. At 40 KB it is a matter of what is more often: one is written
// in 0.15 us, and computed later in 1.5.
constexpr int64_t kSmallestBytes = 32 << 10;
constexpr int64_t kMostRead = 4;   // what it is computed from, in times its own bytes
constexpr int kMostWork = 32;      // nodes to compute for it
constexpr int kReductionWork = 4;  // a reduction reads its input once more

int64_t bytes_of(const Value& v) { return v.size * size_of(v.dtype); }

// What a value is computed from, and at what cost.
class Origin {
 public:
  explicit Origin(PlanGraph& g) : g_(g) { edges_.clear(); }

  // Whether the value may wait; then what it needs is protected.
  bool allows(Slot value) {
    const Value& v = g_.value(value);
    sources_.clear();
    seen_.clear();
    stack_.clear();
    work_ = 0;
    read_ = 0;
    most_ = kMostRead * bytes_of(v);
    const uint32_t producer = g_.slots[static_cast<size_t>(value)].producer;
    seen_.push_back(producer);
    stack_.push_back(producer);
    while (!stack_.empty()) {
      const PlanNode& p = g_.nodes[stack_.back()];
      stack_.pop_back();
      if (p.node->was_passing && p.kind != NodeKind::view) return false;
      work_ += p.kind == NodeKind::view ? 0 : p.kind == NodeKind::kernel ? kReductionWork : 1;
      if (work_ > kMostWork || seen_.size() > 2 * kMostWork) return false;
      for (uint32_t e = p.first_in; e < p.first_in + p.n_in; ++e)
        if (!reads(g_.in_slots[e])) return false;
    }
    for (Slot s : sources_) {
      if (s >= 0) {
        g_.nodes[g_.slots[static_cast<size_t>(s)].producer].node->needed_later.store(true);
        continue;
      }
      const Array& leaf = *g_.leaves[static_cast<size_t>(~s)];
      leaf.node()->needed_later.store(true);
      g_.kept.push_back(leaf);
    }
    return true;
  }

 private:
  bool reads(Slot s) {
    if (s < 0) return std::find(sources_.begin(), sources_.end(), s) != sources_.end() || leaf(s);
    const fuse::SlotInfo& slot = g_.slots[static_cast<size_t>(s)];
    const PlanNode& p = g_.nodes[slot.producer];
    if (p.kind == NodeKind::literal) return true;
    if (slot.held) {
      if (std::find(sources_.begin(), sources_.end(), s) == sources_.end()) {
        sources_.push_back(s);
        read_ += bytes_of(g_.value(s));
      }
      return read_ <= most_;
    }
    if (!passes(p)) return false;
    if (std::find(seen_.begin(), seen_.end(), slot.producer) == seen_.end()) {
      seen_.push_back(slot.producer);
      stack_.push_back(slot.producer);
    }
    return true;
  }

  // Whether it costs one pass over its input.
  static bool passes(const PlanNode& p) {
    if (p.kind == NodeKind::pointwise || p.kind == NodeKind::view) return true;
    if (p.kind != NodeKind::kernel || p.n_in != 1) return false;
    const Kernel* kernel = backend_of(device_of_stream(p.node->stream))
                               .find_kernel(*p.node->op, p.node->in[0].dtype());
    return kernel && kernel->row_axes;
  }

  // A value that exists, that others hold, and that nobody writes to.
  bool leaf(Slot s) {
    const Array& a = *g_.leaves[static_cast<size_t>(~s)];
    const Node* n = a.node();
    if (n->n_out != 1 || !n->is_done()) return false;
    if (edges_.empty()) {
      edges_.resize(g_.leaves.size());
      for (Slot in : g_.in_slots)
        if (in < 0) ++edges_[static_cast<size_t>(~in)];
    }
    if (n->refs.load(std::memory_order_acquire) <= edges_[static_cast<size_t>(~s)]) return false;
    const DeviceStorage& storage = storage_of(a.value());
    if (storage.foreign() || storage.is_shared()) return false;
    sources_.push_back(s);
    read_ += std::max(storage.bytes(), bytes_of(a.value()));
    return read_ <= most_;
  }

  template <class T>
  using Scratch = std::vector<T>&;  // guarded by the graph lock
  static inline Scratch<uint32_t> edges_ =
      *new std::vector<uint32_t>;                                      // of this graph, each leaf's
  static inline Scratch<Slot> sources_ = *new std::vector<Slot>;       // what it is computed from
  static inline Scratch<uint32_t> seen_ = *new std::vector<uint32_t>;  // nodes that compute it
  static inline Scratch<uint32_t> stack_ = *new std::vector<uint32_t>;

  PlanGraph& g_;
  int work_ = 0;
  int64_t read_ = 0, most_ = 0;
};

}  // namespace

bool may_wait(const PlanNode& p) {
  return p.kind == NodeKind::pointwise && bytes_of(p.node->out[0]) >= kSmallestBytes &&
         !p.node->was_passing;
}

void let_wait(PlanGraph& g, std::span<const Slot> candidates) {
  // Where each operation is a step of its own, all get memory; who looks for nan wants to see it.
  if (!fusion_on() || watch::active() & watch::kNan) return;
  Origin origin(g);
  for (Slot s : candidates)
    if (origin.allows(s)) {
      fuse::SlotInfo& slot = g.slots[static_cast<size_t>(s)];
      slot.held = false;
      slot.waits = true;
    }
}

}  // namespace legato
