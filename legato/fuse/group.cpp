// The grouping of pointwise nodes into programs, and the order of steps.
//
// Note [Groups without cycles]: walking from the end of the graph, each node gets a depth: the
// largest number of barriers (edges that cannot be fused) on any path from it to the end. An edge
// is fusable if both ends are pointwise, of one shape and one stream, and a fusable edge between
// nodes of equal depth puts them into one group. Every other edge between two groups leads from a
// greater depth to a smaller one, so groups cannot form a cycle. Where a group is full, the
// producer is pushed one barrier deeper and starts a group of its own.
#include <algorithm>
#include <cstring>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "legato/base/error.h"
#include "legato/fuse/graph.h"
#include "legato/fuse/known_plans.h"
#include "legato/fuse/known_singles.h"

namespace legato::fuse {

void PlanGraph::clear() {
  nodes.clear();
  in_slots.clear();
  slots.clear();
  leaves.clear();
  keep_leaves = false;
  expansions.clear();
  kept.clear();
  steps.clear();
  step_inputs.clear();
  step_literals.clear();
  step_literal_nodes.clear();
  step_outputs.clear();
  row_blocks.clear();
  batches.clear();
}

LiteralValue literal_value(const Node& node) {
  auto& attrs = *static_cast<const LiteralAttrs*>(node.attrs);
  LiteralValue value;
  std::memset(&value, 0, sizeof value);
  store_scalar(attrs.value, attrs.dtype, value.bytes);
  if (is_half(attrs.dtype)) {
    float f;
    if (attrs.dtype == Dtype::float16) {
      float16_t h;
      std::memcpy(&h, value.bytes, 2);
      f = static_cast<float>(h);
    } else {
      bfloat16_t h;
      std::memcpy(&h, value.bytes, 2);
      f = static_cast<float>(h);
    }
    std::memcpy(value.bytes, &f, 4);
  }
  return value;
}

namespace {

uint32_t find_root(PlanGraph& g, uint32_t i) {
  while (g.nodes[i].group != i) {
    g.nodes[i].group = g.nodes[g.nodes[i].group].group;
    i = g.nodes[i].group;
  }
  return i;
}

const Value& result(const PlanGraph& g, uint32_t i) { return g.nodes[i].node->out[0]; }

bool fusable(const PlanGraph& g, uint32_t producer, uint32_t user) {
  const PlanNode &p = g.nodes[producer], &u = g.nodes[user];
  return p.kind == NodeKind::pointwise && u.kind == NodeKind::pointwise &&
         p.node->stream == u.node->stream && result(g, producer).shape == result(g, user).shape;
}

// The most instructions that a node becomes. Operands of one floating dtype are what its function
// computes with, others may have to be converted: as a rule no more than one of them.
uint32_t instructions(const PlanNode& p) {
  const Dtype t = p.n_in ? p.node->in[0].dtype() : Dtype::bool_;
  bool uniform = is_floating(t) && p.node->out[0].dtype == t;
  for (uint32_t k = 1; k < p.n_in; ++k) uniform &= p.node->in[k].dtype() == t;
  return uniform ? 1 : 2;
}

// What a pointwise node brings into a group: operands and literals, repeated ones once.
void count_operands(const PlanGraph& g, PlanNode& p) {
  p.n_operands = p.n_literals = 0;
  for (uint32_t e = p.first_in; e < p.first_in + p.n_in; ++e) {
    Slot in = g.in_slots[e];
    bool again = false;
    for (uint32_t f = p.first_in; f < e; ++f) again |= g.in_slots[f] == in;
    if (again) continue;
    bool literal = in >= 0 && g.nodes[g.slots[in].producer].kind == NodeKind::literal;
    ++(literal ? p.n_literals : p.n_operands);
  }
}

// For each slot the edges that read it, so that a producer can look at its users.
struct Edges {
  static constexpr uint32_t kNone = ~0u;
  struct Edge {
    uint32_t user, next;  // next: another edge that reads the same slot
    bool fusable;
  };
  std::vector<uint32_t> first;  // of each slot
  std::vector<Edge> edges;      // one for each entry of in_slots
  const Edge& operator[](uint32_t e) const { return edges[e]; }

  void build(const PlanGraph& g, bool fuse) {
    first.assign(g.slots.size(), kNone);
    edges.resize(g.in_slots.size());
    for (uint32_t i = 0; i < g.nodes.size(); ++i) {
      const PlanNode& u = g.nodes[i];
      for (uint32_t e = u.first_in; e < u.first_in + u.n_in; ++e) {
        Slot s = g.in_slots[e];
        if (s < 0) continue;
        edges[e] = {i, first[s], fuse && fusable(g, g.slots[s].producer, i)};
        first[s] = e;
      }
    }
  }
};

// Counts what a group would read if the node and some groups became one. Groups keep a count to
// which each member adds its operands, so one that several of them read counts several times; only
// where that is too many it is found out how many they are. The members are looked at then, which
// are few: kMaxInstrs at the most.
class OperandCount {
 public:
  void begin(const PlanGraph& g) {
    seen_.assign(g.slots.size() + g.leaves.size(), 0);
    round_ = 0;
  }
  // False: there are too many.
  bool count(PlanGraph& g, uint32_t node, std::span<const uint32_t> roots, uint32_t& operands,
             uint32_t& literals) {
    ++round_;
    operands = literals = 0;
    auto inside = [&](uint32_t producer) {
      if (producer <= node) return producer == node;  // no group yet
      return g.nodes[producer].kind == NodeKind::pointwise &&
             std::find(roots.begin(), roots.end(), find_root(g, producer)) != roots.end();
    };
    auto add = [&](const PlanNode& p) {
      for (uint32_t e = p.first_in; e < p.first_in + p.n_in; ++e) {
        const Slot in = g.in_slots[e];
        uint32_t& seen =
            seen_[in >= 0 ? static_cast<size_t>(in) : g.slots.size() + static_cast<size_t>(~in)];
        if (std::exchange(seen, round_) == round_) continue;
        if (in < 0) {
          ++operands;
          continue;
        }
        const uint32_t producer = g.slots[static_cast<size_t>(in)].producer;
        if (g.nodes[producer].kind == NodeKind::literal)
          ++literals;
        else if (!inside(producer))
          ++operands;
      }
    };
    add(g.nodes[node]);
    for (uint32_t root : roots)
      for (uint32_t m = root;;) {
        add(g.nodes[m]);
        m = g.nodes[m].next_member;
        if (m == root) break;
      }
    return operands <= kMaxInputs && literals <= kMaxLiterals;
  }

 private:
  std::vector<uint32_t> seen_;  // of each slot and each leaf: the round that met it last
  uint32_t round_ = 0;
};

// Joins node i with the groups of those users that it can be fused with, if the result is not too
// large.
bool join_users(PlanGraph& g, const Edges& edges, OperandCount& exact, uint32_t i, int32_t depth) {
  uint32_t roots[kMaxInstrs];
  size_t n_roots = 0;
  PlanNode& p = g.nodes[i];
  uint32_t instrs = p.n_instrs, operands = p.n_operands, literals = p.n_literals,
           stores = p.n_stores;
  for (uint32_t e = edges.first[p.first_slot]; e != Edges::kNone; e = edges[e].next) {
    uint32_t u = edges[e].user;
    if (!edges[e].fusable || g.nodes[u].depth != depth) continue;
    uint32_t r = find_root(g, u);
    if (std::find(roots, roots + n_roots, r) != roots + n_roots) continue;
    if (n_roots == kMaxInstrs) return false;
    roots[n_roots++] = r;
    instrs += g.nodes[r].n_instrs;
    operands += g.nodes[r].n_operands - 1;  // the edge from i becomes internal
    literals += g.nodes[r].n_literals;
    stores += g.nodes[r].n_stores;
  }
  if (instrs > kMaxInstrs || stores > kMaxOutputs) return false;
  if ((operands > kMaxInputs || literals > kMaxLiterals) &&
      !exact.count(g, i, {roots, n_roots}, operands, literals))
    return false;
  if (n_roots == 0) return true;
  uint32_t root = *std::max_element(roots, roots + n_roots);
  for (size_t k = 0; k < n_roots; ++k) {
    g.nodes[roots[k]].group = root;
    std::swap(g.nodes[roots[k]].next_member, p.next_member);  // two rings become one
  }
  p.group = root;
  g.nodes[root].n_instrs = instrs;
  g.nodes[root].n_operands = operands;
  g.nodes[root].n_literals = literals;
  g.nodes[root].n_stores = stores;
  return true;
}

void assign_groups(PlanGraph& g, const Edges& edges, OperandCount& exact, bool fuse) {
  exact.begin(g);
  for (uint32_t i = static_cast<uint32_t>(g.nodes.size()); i-- > 0;) {
    PlanNode& p = g.nodes[i];
    p.group = p.next_member = i;
    int32_t depth = 0;
    for (uint32_t s = p.first_slot; s < p.first_slot + p.node->n_out; ++s)
      for (uint32_t e = edges.first[s]; e != Edges::kNone; e = edges[e].next)
        depth = std::max(depth, g.nodes[edges[e].user].depth + (edges[e].fusable ? 0 : 1));
    p.depth = depth;
    if (p.kind != NodeKind::pointwise || !fuse) {
      for (uint32_t s = p.first_slot; s < p.first_slot + p.node->n_out; ++s)
        g.slots[s].stored = true;
      p.n_stores = 1;
      continue;
    }
    SlotInfo& slot = g.slots[p.first_slot];
    slot.stored = slot.held || slot.uses == 0;
    for (uint32_t e = edges.first[p.first_slot]; e != Edges::kNone; e = edges[e].next)
      if (!edges[e].fusable || g.nodes[edges[e].user].depth != depth) slot.stored = true;
    p.n_stores = slot.stored;
    p.n_instrs = instructions(p);
    count_operands(g, p);
    if (join_users(g, edges, exact, i, depth)) continue;
    p.depth = depth + 1;
    p.n_stores = 1;
    slot.stored = true;
  }
}

// --- programs
// --------------------------------------------------------------------------------------------------------

// A program under construction, in plain arrays so that building one that is already known
// allocates nothing.
struct Draft {
  struct Head {
    uint16_t n_inputs = 0, n_literals = 0, n_instrs = 0, n_outputs = 0;
  } head;
  Dtype inputs[kMaxInputs];
  Dtype literals[kMaxLiterals];
  Instr instrs[kMaxInstrs];
  uint16_t outputs[kMaxOutputs];

  StepInput input_slots[kMaxInputs];
  uint32_t literal_nodes[kMaxLiterals];
  LiteralValue literal_values[kMaxLiterals];
  Slot output_slots[kMaxOutputs];

  // While building, values are tagged by what they are; finish() turns tags into numbers.
  static constexpr uint16_t kLiteral = 0x4000, kInstr = 0x8000;
  void number_values() {
    auto number = [&](uint16_t v) -> uint16_t {
      if (v & kInstr) return static_cast<uint16_t>((v & 0xfff) + head.n_inputs + head.n_literals);
      if (v & kLiteral) return static_cast<uint16_t>((v & 0xfff) + head.n_inputs);
      return v;
    };
    for (int i = 0; i < head.n_instrs; ++i)
      for (int k = 0; k < instrs[i].n_src; ++k) instrs[i].src[k] = number(instrs[i].src[k]);
    for (int i = 0; i < head.n_outputs; ++i) outputs[i] = number(outputs[i]);
  }
};

// Register dtypes: halves are float32.
Dtype register_dtype(Dtype t) { return compute_dtype(t); }

FnId fn_of(const PointwiseSpec& spec) {
  std::atomic_ref<int32_t> id(spec.fn_id);
  int32_t known = id.load(std::memory_order_relaxed);
  if (known < 0) {
    known = find_fn(spec.fn);
    id.store(known, std::memory_order_relaxed);
  }
  return static_cast<FnId>(known);
}

class Builder {
 public:
  // `value_of` is room for a number a slot.
  Builder(PlanGraph& g, std::vector<uint16_t>& value_of) : g_(g), value_of_(value_of) {
    value_of_.resize(g.slots.size());
  }

  // Makes the program of the group whose members start at `first`. False if it exceeds a limit.
  bool build(uint32_t first, Draft& d) {
    d.head = {};
    uint32_t root = find_root(g_, first);
    for (uint32_t m = first;; m = g_.nodes[m].next_member) {
      if (!add_node(m, root, d)) return false;
      if (m == g_.nodes[m].next_member) break;
    }
    d.number_values();
    return true;
  }

 private:
  bool add_node(uint32_t m, uint32_t root, Draft& d) {
    const PlanNode& p = g_.nodes[m];
    const Op& op = *p.node->op;
    Dtype given[3], operands[3], out = p.node->out[0].dtype;
    for (uint32_t k = 0; k < p.n_in; ++k) given[k] = p.node->in[k].dtype();
    Dtype ruled = out;
    op.pointwise.settle(op.name, {given, p.n_in}, {operands, p.n_in}, ruled);
    const FnId fn = fn_of(op.pointwise);
    Dtype compute = Dtype::float32;
    uint64_t src = 0;  // 16 bits each
    for (uint32_t k = 0; k < p.n_in; ++k) {
      uint16_t v;
      Slot s = g_.in_slots[p.first_in + k];
      if (!operand(s, p.node->in[k], root, d, v)) return false;
      // A half that only a register holds is unrounded; who asks for its value in another dtype
      // sees the half.
      bool leaves_half = is_half(given[k]) && (fn == kCastFn || operands[k] != given[k]);
      if (leaves_half && (v & Draft::kInstr) && d.instrs[v & 0xfff].fn != kCastFn &&
          !cast(v, given[k], given[k], d))
        return false;
      if (register_dtype(given[k]) != register_dtype(operands[k]) &&
          !cast(v, given[k], operands[k], d))
        return false;
      src |= uint64_t{v} << (16 * k);
      compute = register_dtype(operands[k]);
    }
    if (d.head.n_instrs == kMaxInstrs) return false;
    const uint16_t number = Draft::kInstr | d.head.n_instrs;
    Instr& instr = d.instrs[d.head.n_instrs++];  // filled in place: copying one just made stalls
    instr.fn = fn;
    instr.compute = compute;
    instr.dtype = out;
    for (int k = 0; k < 3; ++k) instr.src[k] = static_cast<uint16_t>(src >> (16 * k));
    instr.n_src = static_cast<uint8_t>(p.n_in);
    value_of_[p.first_slot] = number;
    if (g_.slots[p.first_slot].stored) {
      if (d.head.n_outputs == kMaxOutputs) return false;
      d.output_slots[d.head.n_outputs] = static_cast<Slot>(p.first_slot);
      d.outputs[d.head.n_outputs++] = number;
    }
    return true;
  }

  bool operand(Slot s, const Array& in, uint32_t root, Draft& d, uint16_t& v) {
    if (s >= 0) {
      const PlanNode& producer = g_.nodes[g_.slots[s].producer];
      if (producer.kind == NodeKind::literal) return literal_operand(g_.slots[s].producer, d, v);
      if (producer.kind == NodeKind::pointwise && find_root(g_, g_.slots[s].producer) == root) {
        v = value_of_[s];
        return true;
      }
    }
    for (int i = 0; i < d.head.n_inputs; ++i)
      if (d.input_slots[i].slot == s) {
        ++d.input_slots[i].edges;
        v = static_cast<uint16_t>(i);
        return true;
      }
    if (d.head.n_inputs == kMaxInputs) return false;
    v = d.head.n_inputs++;
    d.input_slots[v] = {s, 1};
    d.inputs[v] = in.dtype();
    return true;
  }

  bool literal_operand(uint32_t node, Draft& d, uint16_t& v) {
    for (int i = 0; i < d.head.n_literals; ++i)
      if (d.literal_nodes[i] == node) {
        v = static_cast<uint16_t>(Draft::kLiteral | i);
        return true;
      }
    if (d.head.n_literals == kMaxLiterals) return false;
    int i = d.head.n_literals++;
    d.literal_nodes[i] = node;
    d.literals[i] = g_.nodes[node].node->out[0].dtype;
    d.literal_values[i] = literal_value(*g_.nodes[node].node);
    v = static_cast<uint16_t>(Draft::kLiteral | i);
    return true;
  }

  static bool cast(uint16_t& v, Dtype from, Dtype to, Draft& d) {
    from = register_dtype(from);
    for (int i = 0; i < d.head.n_instrs; ++i) {
      const Instr& c = d.instrs[i];
      if (c.fn == kCastFn && c.src[0] == v && c.compute == from && c.dtype == to) {
        v = static_cast<uint16_t>(Draft::kInstr | i);
        return true;
      }
    }
    if (d.head.n_instrs == kMaxInstrs) return false;
    Instr c;
    c.compute = from;
    c.dtype = to;
    c.src[0] = v;
    c.n_src = 1;
    v = static_cast<uint16_t>(Draft::kInstr | d.head.n_instrs);
    d.instrs[d.head.n_instrs++] = c;
    return true;
  }

  PlanGraph& g_;
  std::vector<uint16_t>& value_of_;  // per slot: its number in the program under construction
};

// --- cache
// -----------------------------------------------------------------------------------------------------------

uint64_t hash_draft(const Draft& d) {
  uint64_t h = attrs_detail::hash_bytes(&d.head, sizeof d.head, 1);
  h = attrs_detail::hash_bytes(d.inputs, d.head.n_inputs, h);
  h = attrs_detail::hash_bytes(d.literals, d.head.n_literals, h);
  for (int i = 0; i < d.head.n_instrs; ++i) {
    const Instr& x = d.instrs[i];
    uint64_t a = uint64_t{x.fn} << 32 | static_cast<uint64_t>(x.compute) << 16 |
                 static_cast<uint64_t>(x.dtype) << 8 | x.n_src;
    uint64_t b = uint64_t{x.src[0]} << 32 | uint64_t{x.src[1]} << 16 | x.src[2];
    h = (h ^ a) * 0xff51afd7ed558ccdu;
    h = (h ^ (h >> 29) ^ b) * 0xc4ceb9fe1a85ec53u;
  }
  return attrs_detail::hash_bytes(d.outputs, d.head.n_outputs * sizeof(uint16_t), h);
}

bool same(const Draft& d, const Program& p) {
  auto equal = [](const Instr& a, const Instr& b) {
    return a.fn == b.fn && a.compute == b.compute && a.dtype == b.dtype && a.n_src == b.n_src &&
           std::equal(a.src, a.src + a.n_src, b.src);
  };
  return std::equal(d.inputs, d.inputs + d.head.n_inputs, p.inputs.begin(), p.inputs.end()) &&
         std::equal(d.literals, d.literals + d.head.n_literals, p.literals.begin(),
                    p.literals.end()) &&
         std::equal(d.instrs, d.instrs + d.head.n_instrs, p.instrs.begin(), p.instrs.end(),
                    equal) &&
         std::equal(d.outputs, d.outputs + d.head.n_outputs, p.outputs.begin(), p.outputs.end());
}

// Programs by structure, so that what a backend compiled is found again. Bounded: when full, it
// starts anew; programs in use live on with those that use them.
class ProgramCache {
 public:
  std::shared_ptr<Program> get(const Draft& d, uint64_t h) {
    std::lock_guard lock(lock_);
    auto [from, to] = programs_.equal_range(h);
    for (auto it = from; it != to; ++it)
      if (same(d, *it->second)) return it->second;
    if (programs_.size() >= kMaxPrograms) programs_.clear();
    auto p = std::make_shared<Program>();
    p->inputs.assign(d.inputs, d.inputs + d.head.n_inputs);
    p->literals.assign(d.literals, d.literals + d.head.n_literals);
    p->instrs.assign(d.instrs, d.instrs + d.head.n_instrs);
    p->outputs.assign(d.outputs, d.outputs + d.head.n_outputs);
    programs_.emplace(h, p);
    return p;
  }

 private:
  static constexpr size_t kMaxPrograms = 4096;
  std::mutex lock_;
  std::unordered_multimap<uint64_t, std::shared_ptr<Program>> programs_;  // guarded by lock_
};

ProgramCache& program_cache() {
  static ProgramCache& cache = *new ProgramCache;
  return cache;
}

// What planning keeps from one evaluation to the next, so that small ones allocate nothing.
struct Scratch {
  struct Frame {  // of the walk over groups
    uint32_t root, member, edge;
  };
  KnownPlans known;
  Edges edges;
  OperandCount exact;
  std::vector<Frame> stack;
  std::vector<uint16_t> value_of;
  Draft draft;

  // Programs that this thread used last, found without a lock.
  struct Recent {
    uint64_t hash = 0;
    std::shared_ptr<Program> program;
  };
  static constexpr size_t kRecent = 64;
  Recent recent[kRecent];

  const std::shared_ptr<Program>& program() {
    uint64_t h = hash_draft(draft);
    Recent& r = recent[h % kRecent];
    if (!(r.program && r.hash == h && same(draft, *r.program)))
      r = {h, program_cache().get(draft, h)};
    return r.program;
  }
};

Scratch& scratch() {
  thread_local std::unique_ptr<Scratch> s;
  if (!s) s = std::make_unique<Scratch>();
  return *s;
}

// --- steps
// -----------------------------------------------------------------------------------------------------------

void link_members(PlanGraph& g) {
  for (uint32_t i = 0; i < g.nodes.size(); ++i) {
    PlanNode& p = g.nodes[i];
    p.next_member = i;
    p.emitted = false;
    PlanNode& root = g.nodes[find_root(g, i)];
    if (root.last_member == ~0u)
      root.first_member = i;
    else
      g.nodes[root.last_member].next_member = i;
    root.last_member = i;
  }
}

// A program step for one node whose like this thread has planned before; otherwise the key under
// which to keep its program, and false.
bool add_known_single(PlanGraph& g, uint32_t i, uint64_t& key) {
  const PlanNode& p = g.nodes[i];
  const Slot* in = g.in_slots.data() + p.first_in;
  const auto producer = [&](uint32_t k) { return g.slots[static_cast<size_t>(in[k])].producer; };
  const SingleOperands operands = single_operands(
      *p.node,
      [&](uint32_t k) { return in[k] >= 0 && g.nodes[producer(k)].node->op == &literal_op; },
      [&](uint32_t j, uint32_t k) { return in[j] == in[k]; });
  key = operands.key;
  if (!key) return false;
  const std::shared_ptr<Program>* known = known_single(key);
  if (!known) return false;
  Step& step = g.steps.emplace_back();
  step.kind = NodeKind::pointwise;
  step.node = i;
  step.program = *known;
  step.first_input = static_cast<uint32_t>(g.step_inputs.size());
  step.n_inputs = operands.n_inputs;
  for (uint32_t k = 0; k < operands.n_inputs; ++k)
    g.step_inputs.push_back({in[operands.inputs[k]], operands.edges[k]});
  step.first_literal = static_cast<uint32_t>(g.step_literals.size());
  for (uint32_t k = 0; k < operands.n_literals; ++k) {
    const uint32_t number = producer(operands.literals[k]);
    g.step_literals.push_back(literal_value(*g.nodes[number].node));
    g.step_literal_nodes.push_back(number);
  }
  step.first_output = static_cast<uint32_t>(g.step_outputs.size());
  step.n_outputs = 1;
  g.step_outputs.push_back(static_cast<Slot>(p.first_slot));
  return true;
}

// Who reads a value in registers only is no user any more: the others are those of steps.
void count_outside_uses(PlanGraph& g, uint32_t root) {
  for (uint32_t m = g.nodes[root].first_member;; m = g.nodes[m].next_member) {
    const PlanNode& p = g.nodes[m];
    for (uint32_t e = p.first_in; e < p.first_in + p.n_in; ++e) {
      const Slot in = g.in_slots[e];
      if (in < 0) continue;
      SlotInfo& slot = g.slots[static_cast<size_t>(in)];
      if (g.nodes[slot.producer].kind == NodeKind::pointwise && find_root(g, slot.producer) == root)
        --slot.uses;
    }
    if (m == p.next_member) return;
  }
}

void add_program_step(PlanGraph& g, Builder& builder, Scratch& scratch, uint32_t root) {
  uint64_t key = 0;
  const bool single = g.nodes[root].first_member == root;  // a root is its group's last member
  if (single && add_known_single(g, root, key)) return;
  Draft& d = scratch.draft;
  if (!builder.build(g.nodes[root].first_member, d)) {
    // Conversions between many dtypes made the program too long: its members become programs of
    // their own.
    LEGATO_CHECK(!single, "one node exceeds the limits of a program");
    for (uint32_t m = g.nodes[root].first_member, next;; m = next) {
      next = g.nodes[m].next_member;
      bool last = next == m;
      PlanNode& p = g.nodes[m];
      p.group = p.first_member = p.next_member = m;
      g.slots[p.first_slot].stored = true;
      add_program_step(g, builder, scratch, m);
      if (last) return;
    }
  }
  if (!single) count_outside_uses(g, root);
  Step& step = g.steps.emplace_back();
  step.kind = NodeKind::pointwise;
  step.node = root;
  step.program = scratch.program();
  if (key) keep_single(key, step.program);
  step.first_input = static_cast<uint32_t>(g.step_inputs.size());
  step.n_inputs = d.head.n_inputs;
  g.step_inputs.insert(g.step_inputs.end(), d.input_slots, d.input_slots + d.head.n_inputs);
  step.first_literal = static_cast<uint32_t>(g.step_literals.size());
  g.step_literals.insert(g.step_literals.end(), d.literal_values,
                         d.literal_values + d.head.n_literals);
  g.step_literal_nodes.insert(g.step_literal_nodes.end(), d.literal_nodes,
                              d.literal_nodes + d.head.n_literals);
  step.first_output = static_cast<uint32_t>(g.step_outputs.size());
  step.n_outputs = d.head.n_outputs;
  g.step_outputs.insert(g.step_outputs.end(), d.output_slots, d.output_slots + d.head.n_outputs);
}

// A literal needs memory if somebody outside reads it, or a user that takes arrays only.
bool literal_needed(const PlanGraph& g, const PlanNode& literal, const Edges& edges) {
  if (g.slots[literal.first_slot].held) return true;
  for (uint32_t e = edges.first[literal.first_slot]; e != Edges::kNone; e = edges[e].next)
    if (g.nodes[edges[e].user].kind != NodeKind::pointwise) return true;
  return false;
}

}  // namespace

void plan_steps(PlanGraph& g, bool fuse) {
  Scratch& s = scratch();
  if (g.nodes.empty()) return;
  // One pointwise node and its numbers: nothing to group or order.
  const auto last = static_cast<uint32_t>(g.nodes.size() - 1);
  if (g.nodes[last].kind == NodeKind::pointwise && last <= Node::kInlineInputs &&
      std::all_of(g.nodes.begin(), g.nodes.end() - 1, [&](const PlanNode& n) {
        return n.kind == NodeKind::literal && !g.slots[n.first_slot].held;
      })) {
    PlanNode& p = g.nodes[last];
    p.group = p.first_member = p.next_member = last;
    g.slots[p.first_slot].stored = true;
    Builder builder(g, s.value_of);
    return add_program_step(g, builder, s, last);
  }
  if (s.known.find(g, fuse)) return;
  Edges& edges = s.edges;
  edges.build(g, fuse);
  assign_groups(g, edges, s.exact, fuse);
  for (auto& p : g.nodes) p.last_member = ~0u;
  link_members(g);
  Builder builder(g, s.value_of);

  auto emit = [&](uint32_t root) {
    PlanNode& p = g.nodes[root];
    if (p.kind == NodeKind::pointwise) return add_program_step(g, builder, s, root);
    if (p.kind == NodeKind::literal && !literal_needed(g, p, edges)) {
      g.slots[p.first_slot].stored = false;
      return;
    }
    p.step = static_cast<uint32_t>(g.steps.size());
    Step& step = g.steps.emplace_back();
    step.kind = p.kind;
    step.node = root;
  };

  // Depth first over groups, inputs before users.
  auto& stack = s.stack;
  stack.clear();
  for (uint32_t i = 0; i < g.nodes.size(); ++i) {
    uint32_t start = find_root(g, i);
    if (g.nodes[start].emitted) continue;
    g.nodes[start].emitted = true;
    stack.push_back({start, g.nodes[start].first_member, 0});
    while (!stack.empty()) {
      Scratch::Frame& f = stack.back();
      const PlanNode& m = g.nodes[f.member];
      if (f.edge < m.n_in) {
        Slot in = g.in_slots[m.first_in + f.edge++];
        if (in < 0) continue;
        uint32_t r = find_root(g, g.slots[in].producer);
        if (g.nodes[r].emitted) continue;
        g.nodes[r].emitted = true;
        stack.push_back({r, g.nodes[r].first_member, 0});
      } else if (m.next_member != f.member) {
        f.member = m.next_member;
        f.edge = 0;
      } else {
        uint32_t root = f.root;
        stack.pop_back();
        emit(root);
      }
    }
  }
  s.known.keep(g);
}

}  // namespace legato::fuse
