// Plans of graphs that have come before.
//
// Note [Known plans]: a program builds the same graph again and again, with other arrays. What
// plan_steps makes of one depends on its structure: how each node is carried out, what reads what,
// dtypes, which pointwise nodes have equal shapes, and what is held. That is written down as a key
// in one pass over the nodes; where the key is known, the plan is copied. Numbers are no part of
// it, and neither are sizes.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "legato/fuse/graph.h"

namespace legato::fuse {

/// The plans that one thread has made and met again.
class KnownPlans {
 public:
  /// Fills the steps of `g` if its like has been kept. Otherwise keep(g), once it is planned, may
  /// keep it.
  bool find(PlanGraph& g, bool fuse);
  void keep(const PlanGraph& g);

 private:
  static constexpr size_t kPlans = 128;
  static constexpr size_t kMostNodes = 4096;             // of a graph
  static constexpr size_t kMostWords = size_t{1} << 18;  // of all keys
  struct Plan {
    uint64_t hash = 0;
    bool kept = false;  // else only its hash has been seen
    std::vector<uint64_t> key;
    std::vector<Step> steps;
    std::vector<StepInput> step_inputs;
    std::vector<uint32_t> step_literals;  // the nodes that they are
    std::vector<Slot> step_outputs;
    std::vector<uint32_t> node_step;
    std::vector<uint32_t> uses;  // of slots; the highest bit: stored
  };
  bool describe(const PlanGraph& g, bool fuse);

  std::vector<std::unique_ptr<Plan>> plans_;
  std::vector<uint64_t> key_;  // of the graph that was looked for last
  std::vector<uint16_t> shape_class_;
  std::vector<const Shape*> shapes_;
  Plan* place_ = nullptr;  // where it belongs; null: nowhere
  size_t words_ = 0;
};

/// A number as a program takes it: a half is rounded to half and handed over as the float32 that
/// its register holds.
LiteralValue literal_value(const Node& node);

}  // namespace legato::fuse
