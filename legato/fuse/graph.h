// PlanGraph: the part of the lazy graph that one evaluation computes, as flat tables; and the
// grouping of its pointwise nodes into programs.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "legato/array/array.h"
#include "legato/fuse/program.h"
#include "legato/op/op.h"

namespace legato::fuse {

/// How a node is carried out.
enum class NodeKind : uint8_t {
  pointwise,  // part of a program
  literal,    // a number; has memory only if somebody reads it
  view,       // a layout over its input's storage
  kernel,     // a kernel of the node's backend
  alias,      // takes over the values that its expansion computed
  compiled,   // a captured graph with a plan of its own
};

/// Reference to a value: a slot of the graph (>= 0) or a leaf (~index).
using Slot = int32_t;

struct PlanNode {
  Node* node = nullptr;  // op, attributes, and the outputs' shapes and dtypes
  NodeKind kind = NodeKind::kernel;
  uint32_t first_in = 0;  // into PlanGraph::in_slots
  uint32_t n_in = 0;
  uint32_t first_slot = 0;  // its outputs are slots first_slot, first_slot + 1, ...
  // Scratch of the grouping.
  int32_t depth = 0;   // barriers between this node and the end of the graph, at the least
  uint32_t group = 0;  // union-find parent; a root, the last of its group, stands for it
  // Valid at a root: no more than these.
  uint32_t n_instrs = 0, n_operands = 0, n_literals = 0, n_stores = 0;
  uint32_t first_member = 0, last_member = 0;  // valid at a root: the list of its members in order
  // The next one; the last points to itself. While groups are being made: a ring, in any order.
  uint32_t next_member = 0;
  bool emitted = false;
  uint32_t step = 0;  // where it is in PlanGraph::steps; of what is not part of a program
};

struct SlotInfo {
  uint32_t producer = 0;  // index of its node
  uint32_t uses = 0;      // edges of the graph that read it; once planned, those from other steps
  bool held = false;      // somebody outside the graph can see it: it must get memory
  bool waits = false;     // seen, too, but memory is kept only if a step needs it anyway
  bool stored = false;    // gets memory
};

/// One thing to run, in order.
struct Step {
  NodeKind kind = NodeKind::kernel;
  uint32_t node = 0;  // the node; for a program, its last member
  std::shared_ptr<Program> program;
  uint32_t first_input = 0, n_inputs = 0;    // into PlanGraph::step_inputs (programs)
  uint32_t first_literal = 0;                // into PlanGraph::step_literals
  uint32_t first_output = 0, n_outputs = 0;  // into PlanGraph::step_outputs
  // A kernel and the program that it applies as it stores its result; filled by the runtime.
  bool joined = false;   // a kernel or view: it runs when its program's turn has come
  int32_t kernel = -1;   // a program: the step of that kernel
  int32_t through = -1;  // a program: which of its inputs is the kernel's result
  // Where the program reads the result in two halves: its input for the second one, and the steps
  // of the views (the same one twice, if one makes both), which are `joined` too.
  int32_t second = -1;
  int32_t views[2] = {-1, -1};
  // A program and the kernel that computes it as it reads it; the kernel is joined.
  int32_t reader = -1;  // a program: the step of that kernel
  int32_t read = -1;    // a program: which of its outputs the kernel reads
};

/// Consecutive steps that may run on one block of rows after another.
struct RowBlock {
  uint32_t first_step = 0, n_steps = 0;
  int64_t rows = 0;  // of every value that they make
};

/// Consecutive steps that are calls of one program and do not depend on each other.
struct Batch {
  uint32_t first_step = 0, n_steps = 0;
};

struct StepInput {
  Slot slot;
  uint32_t edges;  // how many of the slot's uses this step accounts for
};

struct PlanGraph {
  std::vector<PlanNode> nodes;  // inputs before users
  std::vector<Slot> in_slots;
  std::vector<SlotInfo> slots;
  std::vector<const Array*> leaves;  // values that exist, or that another evaluation is computing
  bool keep_leaves =
      false;  // a transform may come back to the nodes: leaves must not be overwritten
  std::vector<std::vector<Array>>
      expansions;           // outputs of expand() for alias nodes; keeps them alive
  std::vector<Array> kept;  // leaves that must not be overwritten

  std::vector<Step> steps;
  std::vector<StepInput> step_inputs;
  std::vector<LiteralValue> step_literals;
  std::vector<uint32_t> step_literal_nodes;  // which nodes they are
  std::vector<Slot> step_outputs;
  std::vector<RowBlock> row_blocks;  // in order; filled by the runtime
  std::vector<Batch> batches;        // likewise

  void clear();
  Value& value(Slot s) const {  // shape and dtype of a slot
    const PlanNode& n = nodes[slots[s].producer];
    return n.node->out[static_cast<uint32_t>(s) - n.first_slot];
  }
};

/// Fills depth, group and stored, and the steps in an order in which everything is computed before
/// it is read. `fuse`: false makes every pointwise node a program of its own.
LEGATO_API void plan_steps(PlanGraph& g, bool fuse);

}  // namespace legato::fuse
