// compile, checkpoint, custom_function: functions kept as captured graphs.
#include <algorithm>
#include <mutex>

#include "legato/base/error.h"
#include "legato/fuse/captured.h"
#include "legato/op/algebra.h"
#include "legato/op/composed.h"
#include "legato/transform/capture.h"
#include "legato/transform/transform.h"

namespace legato {
namespace {

// Binds the ops of a tape again on other inputs. `seen`, if given, gets the arrays whose sizes the
// function saw.
std::vector<Array> replay_tape(const Tape& tape, std::span<const Array> inputs,
                               std::vector<Array>* seen = nullptr) {
  std::vector<Array> values(tape.n_values);
  for (size_t i = 0; i < tape.inputs.size(); ++i) values[i] = inputs[i];
  std::vector<Array> in;
  for (const TapeNode& t : tape.nodes) {
    Node* n = t.node;
    in.clear();
    auto from = tape.in_values_of(t);
    for (uint32_t i = 0; i < n->n_in; ++i)
      in.push_back(from[i] == Tape::kIndependent ? n->in[i] : values[from[i]]);
    auto fresh = bind_again(*n, in);
    std::move(fresh.begin(), fresh.end(), values.begin() + t.first_value);
  }
  if (seen) {
    if (tape.saw_foreign_sizes) seen->assign(inputs.begin(), inputs.end());
    for (int32_t v : tape.sized_values) seen->push_back(values[static_cast<size_t>(v)]);
  }
  std::vector<Array> out;
  for (size_t o = 0; o < tape.outputs.size(); ++o) {
    int32_t v = tape.out_values[o];
    out.push_back(v == Tape::kIndependent ? tape.outputs[o] : values[v]);
  }
  return out;
}

// A captured graph that owns its tape: the mark stays open, so nothing of it is ever detached.
struct TapeGraph final : CapturedGraph {
  explicit TapeGraph(Tape t) : tape(std::move(t)) {
    inputs = tape.inputs;
    outputs = tape.outputs;
    if (tape.saw_foreign_sizes)
      for (const Array& in : tape.inputs) seen.push_back(in.shape());
    for (const Array& a : tape.sized) seen.push_back(a.shape());
  }
  Tape tape;
  std::vector<Shape> seen;     // the sizes that f saw
  std::vector<Array> primals;  // what the inputs are bound to, if anything
};

const TapeGraph& tape_graph(const Call& c) {
  return static_cast<const TapeGraph&>(*c.attrs<CompiledAttrs>().graph);
}

void infer_captured(Inference& in) {
  auto& graph = *in.attrs<CompiledAttrs>().graph;
  LEGATO_CHECK(graph.inputs.size() == static_cast<size_t>(in.n_in()),
               "a captured graph is run on too few inputs");
  bool same = true;
  for (int i = 0; same && i < in.n_in(); ++i) same = graph.inputs[i].shape() == in.shape(i);
  // Other shapes come from a shapeless function around this one.
  auto again = same ? std::vector<Array>() : replay(graph, in.inputs());
  for (int o = 0; o < in.n_out(); ++o) {
    const Array& like = same ? graph.outputs[o] : again[o];
    in.result(like.shape(), like.dtype(), o);
  }
}

int count_captured(std::span<const Array>, const void* attrs) {
  return static_cast<int>(static_cast<const CompiledAttrs*>(attrs)->graph->outputs.size());
}

void expand_captured(const Call& c, std::span<Array> out) {
  auto& graph = tape_graph(c);
  // On the very arrays that f saw, what f computed is the answer.
  bool same = graph.primals.size() == c.inputs().size() && !graph.primals.empty();
  for (size_t i = 0; same && i < graph.primals.size(); ++i)
    same = graph.primals[i].same(c.in(static_cast<int>(i)));
  auto results = same ? graph.outputs : replay_tape(graph.tape, c.inputs());
  std::move(results.begin(), results.end(), out.begin());
}

}  // namespace

std::vector<Array> replay(const CapturedGraph& graph, std::span<const Array> inputs) {
  return replay_tape(static_cast<const TapeGraph&>(graph).tape, inputs);
}

constinit const Op compiled_op{
    .name = "compiled",
    .attrs = &attrs_type<CompiledAttrs>,
    .count_outputs = count_captured,
    .infer = infer_captured,
    .expand = expand_captured,
    .derive = ThroughExpand(),
    .transient = true,
};

// --- compile
// ---------------------------------------------------------------------------------------------------------

class CompiledFn {
 public:
  CompiledFn(Tape tape, bool shapeless)
      : first_(std::make_shared<TapeGraph>(std::move(tape))), shapeless_(shapeless) {}

  // Null if f saw sizes that are others for these inputs.
  std::shared_ptr<CapturedGraph> graph_for(std::span<const Array> inputs) {
    if (inputs.size() != first_->inputs.size())
      throw ValueError(cat("compile: the function was traced with ", first_->inputs.size(),
                           " arrays, ", inputs.size(), " were given"));
    if (fits(*first_, inputs)) return first_;
    if (!shapeless_)
      throw InternalError("a compiled function is called with shapes it was not traced for");
    std::lock_guard lock(lock_);
    for (auto& g : others_)
      if (fits(*g, inputs)) return g;
    // Another shape: the ops are bound again on unbound inputs, which infers all shapes anew; f
    // itself doesn't run.
    std::vector<Array> seen;
    ArrayFn again = [&](std::span<const Array> fresh) {
      return replay_tape(first_->tape, fresh, &seen);
    };
    std::shared_ptr<TapeGraph> fresh;
    try {
      fresh = std::make_shared<TapeGraph>(capture(again, inputs, "compile", Binding::unbound));
    } catch (const Error&) {
      if (first_->seen.empty()) throw;
      return nullptr;  // what it saw may be why the shapes do not fit: f itself will tell
    }
    for (size_t i = 0; i < seen.size(); ++i)
      if (seen[i].shape() != first_->seen[i]) return nullptr;
    if (others_.size() >= kMaxShapes) others_.erase(others_.begin());
    others_.push_back(fresh);
    return fresh;
  }

  // Binds f's ops on `inputs` for an outer trace that is for other shapes too; it inherits what f
  // saw.
  std::vector<Array> inline_into_shapeless(std::span<const Array> inputs) const {
    std::vector<Array> seen;
    auto out = replay_tape(first_->tape, inputs, &seen);
    for (const Array& a : seen) note_sizes_read(a);
    return out;
  }

 private:
  static constexpr size_t kMaxShapes = 64;
  static bool fits(const TapeGraph& g, std::span<const Array> inputs) {
    for (size_t i = 0; i < inputs.size(); ++i)
      if (g.inputs[i].shape() != inputs[i].shape() || g.inputs[i].dtype() != inputs[i].dtype())
        return false;
    return true;
  }

  std::shared_ptr<TapeGraph> first_;
  bool shapeless_;
  std::mutex lock_;
  std::vector<std::shared_ptr<TapeGraph>> others_;  // guarded by lock_
};

std::shared_ptr<CompiledFn> trace(const ArrayFn& f, std::span<const Array> like, bool shapeless) {
  Tape tape = [&] {
    ShapelessScope scope(shapeless || tracing_shapeless());
    return capture(f, like, "compile", Binding::unbound, tracing_shapeless());
  }();
  // What does not depend on the inputs is a constant of the compiled function: computed now, once.
  std::vector<Array> constants;
  for (const TapeNode& t : tape.nodes) {
    auto from = tape.in_values_of(t);
    for (uint32_t i = 0; i < t.node->n_in; ++i)
      if (from[i] == Tape::kIndependent && t.node->in[i].node()->op != &literal_op)
        constants.push_back(t.node->in[i]);
  }
  for (size_t o = 0; o < tape.outputs.size(); ++o)
    if (tape.out_values[o] == Tape::kIndependent) constants.push_back(tape.outputs[o]);
  if (!constants.empty()) runtime_hooks().evaluate(constants, true);
  tape.mark->release_kept();  // only constants can have been evaluated; nobody needs their inputs
  return std::make_shared<CompiledFn>(std::move(tape), shapeless);
}

std::vector<Array> call_compiled(const std::shared_ptr<CompiledFn>& f,
                                 std::span<const Array> inputs) {
  CompiledAttrs attrs{f->graph_for(inputs)};
  if (!attrs.graph)
    throw ValueError(
        "compile: the shapeless function read sizes when it was traced which are others for these "
        "inputs; trace it for them");
  if (attrs.graph->outputs.empty()) return {};
  if (tracing_shapeless()) return f->inline_into_shapeless(inputs);
  return bind_all(compiled_op, inputs, &attrs);
}

bool accepts(const std::shared_ptr<CompiledFn>& f, std::span<const Array> inputs) {
  return f->graph_for(inputs) != nullptr;
}

// --- checkpoint
// ------------------------------------------------------------------------------------------------------

namespace {

// Runs the function again for the backward pass: its residuals are its inputs.
void vjp_of_replay(const Call& c, std::span<const Array> cotangents, std::span<Array> result) {
  auto& graph = tape_graph(c);
  ArrayFn again = [&](std::span<const Array> in) { return replay_tape(graph.tape, in); };
  auto grads = vjp(again, c.inputs(), cotangents).second;
  std::move(grads.begin(), grads.end(), result.begin());
}

void jvp_of_replay(const Call& c, std::span<const Array> tangents, std::span<Array> result) {
  auto& graph = tape_graph(c);
  ArrayFn again = [&](std::span<const Array> in) { return replay_tape(graph.tape, in); };
  std::vector<Array> given;
  for (size_t i = 0; i < tangents.size(); ++i)
    given.push_back(tangents[i] ? tangents[i] : algebra::zeros_like(c.in(i)));
  auto pushed = jvp(again, c.inputs(), given).second;
  std::move(pushed.begin(), pushed.end(), result.begin());
}

constinit const Op checkpoint_op{
    .name = "checkpoint",
    .attrs = &attrs_type<CompiledAttrs>,
    .count_outputs = count_captured,
    .infer = infer_captured,
    .expand = expand_captured,
    .derive = Vjp(vjp_of_replay, jvp_of_replay),
    .transient = true,
};

std::shared_ptr<TapeGraph> capture_bound(const ArrayFn& f, std::span<const Array> inputs,
                                         const char* name) {
  auto graph = std::make_shared<TapeGraph>(capture(f, inputs, name, Binding::to_primals));
  graph->primals.assign(inputs.begin(), inputs.end());
  return graph;
}

}  // namespace

ArrayFn checkpoint(ArrayFn f) {
  return [f = std::move(f)](std::span<const Array> inputs) {
    CompiledAttrs attrs{capture_bound(f, inputs, "checkpoint")};
    return bind_all(checkpoint_op, inputs, &attrs);
  };
}

// --- custom functions
// ------------------------------------------------------------------------------------------------

namespace {

struct CustomAttrs : CompiledAttrs {
  std::shared_ptr<const CustomRules> rules;
  static constexpr auto fields() {
    return std::tuple(field("graph", &CustomAttrs::graph), field("rules", &CustomAttrs::rules));
  }
};

const TapeGraph& custom_graph(const Call& c) {
  return static_cast<const TapeGraph&>(*c.attrs<CustomAttrs>().graph);
}

void vjp_custom(const Call& c, std::span<const Array> cotangents, std::span<Array> result) {
  auto& rules = *c.attrs<CustomAttrs>().rules;
  std::vector<Array> grads;
  if (rules.vjp) {
    grads = rules.vjp(c.inputs(), cotangents, c.outputs());
    if (grads.size() != c.inputs().size())
      throw ValueError(cat("custom_function: the vjp rule returned ", grads.size(),
                           " cotangents for ", c.inputs().size(), " primals"));
    for (size_t i = 0; i < grads.size(); ++i)
      if (grads[i] && grads[i].shape() != c.in(static_cast<int>(i)).shape())
        throw ValueError(cat("custom_function: the vjp rule returned shape ", grads[i].shape(),
                             " for primal ", i, ", which has shape ",
                             c.in(static_cast<int>(i)).shape()));
  } else {
    auto& graph = custom_graph(c);
    ArrayFn again = [&](std::span<const Array> in) { return replay_tape(graph.tape, in); };
    grads = vjp(again, c.inputs(), cotangents).second;
  }
  std::move(grads.begin(), grads.end(), result.begin());
}

void jvp_custom(const Call& c, std::span<const Array> tangents, std::span<Array> result) {
  auto& rules = *c.attrs<CustomAttrs>().rules;
  std::vector<Array> pushed;
  if (rules.jvp) {
    pushed = rules.jvp(c.inputs(), tangents);
    if (pushed.size() != c.outputs().size())
      throw ValueError(cat("custom_function: the jvp rule returned ", pushed.size(),
                           " tangents for ", c.outputs().size(), " outputs"));
  } else {
    auto& graph = custom_graph(c);
    ArrayFn again = [&](std::span<const Array> in) { return replay_tape(graph.tape, in); };
    std::vector<Array> given;
    for (size_t i = 0; i < tangents.size(); ++i)
      given.push_back(tangents[i] ? tangents[i] : algebra::zeros_like(c.in(i)));
    pushed = jvp(again, c.inputs(), given).second;
  }
  std::move(pushed.begin(), pushed.end(), result.begin());
}

void batch_custom(const BatchedCall& c, std::span<Array> out) {
  auto& attrs = c.attrs<CustomAttrs>();
  std::vector<std::optional<int>> axes;
  for (bool b : c.batched) axes.push_back(b ? std::optional<int>(0) : std::nullopt);
  if (!attrs.rules->vmap) {
    auto& graph = static_cast<const TapeGraph&>(*attrs.graph);
    ArrayFn again = [&](std::span<const Array> in) { return replay_tape(graph.tape, in); };
    auto results =
        vmap(again, c.in, axes, [](size_t n) { return std::vector<std::optional<int>>(n, 0); });
    std::move(results.begin(), results.end(), out.begin());
    return;
  }
  auto [results, out_axes] = attrs.rules->vmap(c.in, axes);
  if (results.size() != out.size() || out_axes.size() != out.size())
    throw ValueError(cat("custom_function: the vmap rule returned ", results.size(),
                         " outputs and ", out_axes.size(), " axes; the function has ", out.size(),
                         " outputs"));
  for (size_t o = 0; o < out.size(); ++o) {
    if (out_axes[o]) {
      out[o] =
          algebra::moveaxis(results[o], normalize_axis("vmap", *out_axes[o], results[o].ndim()), 0);
    } else {
      Shape s = results[o].shape();
      s.insert(0, c.size);
      out[o] = algebra::broadcast_to(results[o], s);
    }
  }
}

constinit const Op custom_op{
    .name = "custom_function",
    .attrs = &attrs_type<CustomAttrs>,
    .count_outputs = count_captured,
    .infer = infer_captured,
    .expand = expand_captured,
    .derive = Vjp(vjp_custom, jvp_custom),
    .batch = batch_custom,
    .transient = true,
};

// No derivative by definition.
constinit const Op stop_gradient_op{
    .name = "stop_gradient",
    .infer = [](Inference& in) { in.result(in.shape(), in.dtype()); },
    .view =
        [](const void*, const Shape&, const Layout& in, const Shape&, int, Layout& out) {
          out = in;
          return true;
        },
    .derive = ZeroDerivative(),
    .batch = [](const BatchedCall& c, std::span<Array> out) { out[0] = bind(c.op, c.in); },
    .transient = true,
};

}  // namespace

std::vector<Array> call_custom(const ArrayFn& f, const CustomRules& rules,
                               std::span<const Array> inputs) {
  CustomAttrs attrs{{capture_bound(f, inputs, "custom_function")},
                    std::make_shared<CustomRules>(rules)};
  if (attrs.graph->outputs.empty()) return {};
  return bind_all(custom_op, inputs, &attrs);
}

Array stop_gradient(const Array& a) { return bind(stop_gradient_op, {a}); }

}  // namespace legato
