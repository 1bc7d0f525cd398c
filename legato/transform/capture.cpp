#include "legato/transform/capture.h"

#include <algorithm>
#include <mutex>

#include "legato/base/error.h"
#include "legato/op/composed.h"
#include "legato/op/thread_state.h"

namespace legato {
namespace {

// Makes `mark` the current capture of this thread for a scope.
class CaptureScope {
 public:
  explicit CaptureScope(CaptureMark& mark) : previous_(current_capture()) {
    set_current_capture(&mark);
  }
  ~CaptureScope() {
    current_capture()->end();
    set_current_capture(previous_);
  }
  CaptureScope(const CaptureScope&) = delete;
  CaptureScope& operator=(const CaptureScope&) = delete;

 private:
  CaptureMark* previous_;
};

std::mutex walk_lock;
uint64_t next_walk = 0;  // guarded by walk_lock

// Only nodes made inside the capture can depend on its inputs, so the walk never leaves it. Stamps
// are the walker's own field: an evaluation on another thread may claim the same nodes meanwhile.
class Walker {
 public:
  explicit Walker(Tape& tape) : tape_(tape), walk_(++next_walk) {
    for (Array& in : tape.inputs) {
      in.node()->walk_stamp = walk_;
      in.node()->walk_slot = tape_.n_values++;
    }
  }

  int32_t value_of(const Array& a) const {
    const Node* n = a.node();
    if (n->walk_stamp != walk_ || n->walk_slot == kIndependentSlot) return Tape::kIndependent;
    return static_cast<int32_t>(n->walk_slot + a.index());
  }

  void visit(const Array& root) {
    if (!enter(root.node())) return;
    while (!stack_.empty()) {
      auto& [node, next] = stack_.back();
      if (next < node->n_in) {
        enter(node->in[next++].node());
      } else {
        Node* n = node;
        stack_.pop_back();
        finish(n);
      }
    }
  }

  // Whether `a`, which does not depend on the tape's inputs, depends on those of a capture inside.
  bool made_up(const Array& a) const {
    std::vector<const Node*> rest{a.node()};
    for (size_t i = 0; i < rest.size(); ++i) {
      const Node* n = rest[i];
      if (!inside(n)) continue;
      if (n->state.load(std::memory_order_acquire) == NodeState::unbound) return true;
      for (const Array& in : n->inputs())
        if (std::find(rest.begin(), rest.end(), in.node()) == rest.end()) rest.push_back(in.node());
    }
    return false;
  }

 private:
  static constexpr uint32_t kIndependentSlot = ~0u;

  bool inside(const Node* n) const {
    for (const CaptureMark* m = n->mark.get(); m; m = m->parent())
      if (m == tape_.mark.get()) return true;
    return false;
  }
  bool enter(Node* n) {
    if (n->walk_stamp == walk_ || !inside(n)) return false;
    n->walk_stamp = walk_;
    n->walk_slot = kIndependentSlot;
    stack_.push_back({n, 0});
    return true;
  }
  void finish(Node* n) {
    bool depends = false;
    for (const Array& in : n->inputs()) depends |= value_of(in) != Tape::kIndependent;
    if (!depends) return;
    TapeNode t{n, static_cast<uint32_t>(tape_.in_values.size()), tape_.n_values};
    for (const Array& in : n->inputs()) tape_.in_values.push_back(value_of(in));
    n->walk_slot = tape_.n_values;
    tape_.n_values += n->n_out;
    tape_.nodes.push_back(t);
  }

  struct Frame {
    Node* node;
    uint32_t next;
  };
  Tape& tape_;
  uint64_t walk_;
  std::vector<Frame> stack_;
};

}  // namespace

Tape::~Tape() {
  if (mark) mark->close();
}

Array unbound_like(const Shape& shape, Dtype dtype) {
  Node* n = new_node(nullptr, {}, 1);
  Value& v = n->out[0];
  v.shape = shape;
  v.dtype = dtype;
  v.size = element_count(shape);
  n->state.store(NodeState::unbound, std::memory_order_release);
  return Array::adopt(n, 0);
}

Tape capture(const ArrayFn& f, std::span<const Array> like, const char* transform, Binding binding,
             bool note_sizes) {
  RestoreOnException random_state;
  Tape tape;
  std::vector<Array> seen;
  tape.mark = Ref<CaptureMark>::adopt(
      new CaptureMark(transform, Ref<CaptureMark>::share(current_capture())));
  {
    CaptureScope scope(*tape.mark);
    tape.inputs.reserve(like.size());
    for (const Array& a : like)
      tape.inputs.push_back(binding == Binding::to_primals ? bind(identity_op, {a})
                                                           : unbound_like(a.shape(), a.dtype()));
    if (note_sizes) {
      SizeReads reads;
      tape.outputs = f(tape.inputs);
      seen = reads.take();
    } else {
      tape.outputs = f(tape.inputs);
    }
  }
  std::lock_guard lock(walk_lock);
  Walker walker(tape);
  for (const Array& out : tape.outputs) walker.visit(out);
  for (const Array& out : tape.outputs) tape.out_values.push_back(walker.value_of(out));
  for (const Array& a : seen) {
    walker.visit(a);
    if (int32_t v = walker.value_of(a); v != Tape::kIndependent) {
      tape.sized.push_back(a);
      tape.sized_values.push_back(v);
    } else if (walker.made_up(a)) {
      tape.saw_foreign_sizes = true;
    } else {
      note_sizes_read(a);  // an outer trace's, or a constant
    }
  }
  return tape;
}

}  // namespace legato
