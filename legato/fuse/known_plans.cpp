#include "legato/fuse/known_plans.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace legato::fuse {
namespace {

uint64_t hash_words(const std::vector<uint64_t>& words) {
  // Four sums side by side: one would wait for each of its products.
  constexpr uint64_t factor = 0xff51afd7ed558ccdu;
  uint64_t h[4] = {1, 2, 3, words.size()};
  size_t i = 0;
  for (; i + 4 <= words.size(); i += 4)
    for (size_t k = 0; k < 4; ++k) h[k] = (h[k] ^ words[i + k]) * factor + (h[k] >> 32);
  for (; i < words.size(); ++i) h[i % 4] = (h[i % 4] ^ words[i]) * factor + (h[i % 4] >> 32);
  uint64_t all = 0;
  for (uint64_t part : h) all = (all ^ part ^ part >> 29) * factor;
  return all ^ all >> 32;
}

constexpr uint32_t kStored = 1u << 31;

}  // namespace

// Writes the key of the graph. False if it is too large or has too many shapes.
bool KnownPlans::describe(const PlanGraph& g, bool fuse) {
  constexpr size_t kMostShapes = 32;
  if (g.nodes.size() > kMostNodes) return false;
  key_.clear();
  shapes_.clear();
  shape_class_.resize(g.nodes.size());
  key_.reserve(1 + 2 * g.nodes.size() + (g.in_slots.size() + g.nodes.size() + 1) / 2 + 1);
  key_.push_back(uint64_t{g.nodes.size()} << 1 | fuse);
  for (size_t i = 0; i < g.nodes.size(); ++i) {
    const PlanNode& p = g.nodes[i];
    const Slot* in = g.in_slots.data() + p.first_in;
    const Value& out = p.node->out[0];
    if (p.n_in > UINT16_MAX) return false;
    uint64_t what = static_cast<uint64_t>(p.kind) | uint64_t{g.slots[p.first_slot].held} << 3 |
                    static_cast<uint64_t>(out.dtype) << 4 | uint64_t{p.n_in} << 48;
    if (p.kind == NodeKind::pointwise) {
      uint16_t shape = 0;
      const Slot first = p.n_in ? in[0] : -1;
      const bool likely =
          first >= 0 &&
          g.nodes[g.slots[static_cast<size_t>(first)].producer].kind == NodeKind::pointwise;
      if (likely) shape = shape_class_[g.slots[static_cast<size_t>(first)].producer];
      if (!likely || !(*shapes_[shape] == out.shape)) {
        shape = 0;
        while (shape < shapes_.size() && !(*shapes_[shape] == out.shape)) ++shape;
        if (shape == shapes_.size()) shapes_.push_back(&out.shape);
        if (shapes_.size() > kMostShapes) return false;
      }
      shape_class_[i] = shape;
      for (uint32_t k = 0; k < p.n_in; ++k)
        what |= static_cast<uint64_t>(p.node->in[k].dtype()) << (8 + 4 * k);
      what |= uint64_t{p.node->stream} << 20 | uint64_t{shape} << 36;
      key_.push_back(reinterpret_cast<uintptr_t>(p.node->op));
    } else {
      key_.push_back(p.node->n_out);
    }
    key_.push_back(what);
    for (uint32_t k = 0; k < p.n_in; k += 2)
      key_.push_back(static_cast<uint32_t>(in[k]) |
                     (k + 1 < p.n_in ? uint64_t{static_cast<uint32_t>(in[k + 1])} << 32 : 0));
  }
  return true;
}

bool KnownPlans::find(PlanGraph& g, bool fuse) {
  place_ = nullptr;
  if (!describe(g, fuse)) return false;
  const uint64_t hash = hash_words(key_);
  if (plans_.empty()) plans_.resize(kPlans);
  auto& place = plans_[hash % kPlans];
  if (!place) place = std::make_unique<Plan>();
  Plan& plan = *place;
  if (plan.hash != hash) {  // kept from its second time on
    words_ -= plan.key.size();
    plan = {};
    plan.hash = hash;
    return false;
  }
  if (!plan.kept) {
    place_ = &plan;
    return false;
  }
  if (plan.key != key_) return false;  // two graphs of one hash
  g.steps.assign(plan.steps.begin(), plan.steps.end());
  g.step_inputs.assign(plan.step_inputs.begin(), plan.step_inputs.end());
  g.step_outputs.assign(plan.step_outputs.begin(), plan.step_outputs.end());
  g.step_literals.resize(plan.step_literals.size());
  for (size_t i = 0; i < plan.step_literals.size(); ++i)
    g.step_literals[i] = literal_value(*g.nodes[plan.step_literals[i]].node);
  for (size_t i = 0; i < g.nodes.size(); ++i) g.nodes[i].step = plan.node_step[i];
  for (size_t s = 0; s < g.slots.size(); ++s) {
    g.slots[s].uses = plan.uses[s] & ~kStored;
    g.slots[s].stored = plan.uses[s] & kStored;
  }
  return true;
}

void KnownPlans::keep(const PlanGraph& g) {
  if (!place_) return;
  if (words_ + key_.size() > kMostWords) {  // a new start
    plans_.clear();
    words_ = 0;
    place_ = nullptr;
    return;
  }
  Plan& plan = *std::exchange(place_, nullptr);
  words_ += key_.size();
  plan.key = key_;
  plan.steps = g.steps;
  plan.step_inputs = g.step_inputs;
  plan.step_literals = g.step_literal_nodes;
  plan.step_outputs = g.step_outputs;
  plan.node_step.resize(g.nodes.size());
  for (size_t i = 0; i < g.nodes.size(); ++i) plan.node_step[i] = g.nodes[i].step;
  plan.uses.resize(g.slots.size());
  for (size_t s = 0; s < g.slots.size(); ++s)
    plan.uses[s] = g.slots[s].uses | (g.slots[s].stored ? kStored : 0);
  plan.kept = true;
}

}  // namespace legato::fuse
