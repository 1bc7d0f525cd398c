// CapturedGraph: the nodes that a function made when it was run on unbound inputs, kept as a
// template that can be run again; and the structural op that stands for one such run.
#pragma once

#include <memory>
#include <vector>

#include "legato/array/array.h"
#include "legato/op/op.h"

namespace legato {

struct CapturedGraph {
  std::vector<Array> inputs;  // unbound
  std::vector<Array>
      outputs;  // what f returned; may be inputs, or arrays that don't depend on them
  std::shared_ptr<void>
      plan;  // the runtime's; made at the first evaluation, guarded by the graph lock
};

struct CompiledAttrs {
  std::shared_ptr<CapturedGraph> graph;
  static constexpr auto fields() { return std::tuple(field("graph", &CompiledAttrs::graph)); }
};

/// The node of one run of a compiled function: inputs are the arguments, outputs those of the
/// graph. Its expand replays the template, so it differentiates and batches as the function itself.
LEGATO_API extern const Op compiled_op;

/// Replays a captured graph on other inputs: binds each op again. Shapes are inferred anew.
LEGATO_API std::vector<Array> replay(const CapturedGraph& graph, std::span<const Array> inputs);

}  // namespace legato
