// Reverse and forward mode: one loop each over a captured graph.
#include <algorithm>

#include "legato/base/error.h"
#include "legato/op/algebra.h"
#include "legato/op/composed.h"
#include "legato/op/registry.h"
#include "legato/op/thread_state.h"
#include "legato/transform/capture.h"
#include "legato/transform/transform.h"

namespace legato {
namespace {

bool linear_in(const Derive& d, size_t i) {
  return i < 32 ? d.linear_inputs >> i & 1 : d.linear_inputs == ~0u;
}

std::vector<Array> outputs_of(Node* n) {
  std::vector<Array> out;
  for (uint32_t i = 0; i < n->n_out; ++i) out.push_back(output_of(n, i));
  return out;
}

using algebra::zeros_like;

void accumulate(Array& sum, Array&& term) { sum = sum ? algebra::add(sum, term) : std::move(term); }

std::vector<Array> joined(std::initializer_list<Inputs> parts) {
  std::vector<Array> all;
  for (Inputs part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

ArrayFn meaning_of(const Op& op, const void* attrs, size_t n_out) {
  return [&op, attrs, n_out](std::span<const Array> in) {
    std::vector<Array> out(n_out);
    op.expand(Call(op, in, attrs), out);
    return out;
  };
}

// --- reverse
// ---------------------------------------------------------------------------------------------------------

// The values that change with the primals to first order. What lies behind an op without a
// derivative (stop_gradient, argmax) does not, and needs no cotangent nor a rule to make it.
std::vector<bool> active_values(const Tape& tape, size_t n_primals) {
  std::vector<bool> active(static_cast<size_t>(tape.n_values));
  std::fill_n(active.begin(), n_primals, true);
  for (const TapeNode& t : tape.nodes) {
    const Derive& d = t.node->op->derive;
    bool any = false;
    auto in_values = tape.in_values_of(t);
    for (size_t i = 0; i < in_values.size(); ++i)
      any |= in_values[i] != Tape::kIndependent && active[static_cast<size_t>(in_values[i])] &&
             (d.form != Derive::Form::linear || linear_in(d, i));
    if (any && d.form != Derive::Form::none)
      for (uint32_t o = 0; o < t.node->n_out; ++o) active[t.first_value + o] = true;
  }
  return active;
}

// Cotangents of a call's inputs, where they are asked for, from those of its outputs. A null result
// means zero.
void pull_back(const Op& op, const void* attrs, Inputs in, Inputs outs,
               const std::vector<bool>& asked, Inputs cotangents, std::span<Array> result) {
  uint32_t wanted = 0;
  for (size_t i = 0; i < asked.size() && i < 32; ++i) wanted |= uint32_t{asked[i]} << i;
  Call call(op, in, attrs, outs, wanted);
  switch (op.derive.form) {
    case Derive::Form::none:
      break;
    case Derive::Form::partials:
      for (size_t i = 0; i < asked.size(); ++i) {
        if (!asked[i]) continue;
        Array p = op.derive.partial(call, static_cast<int>(i));
        if (!p) continue;
        // Cotangents of complex values follow the conjugate convention.
        Array g = algebra::multiply(cotangents[0], algebra::conjugate(p));
        result[i] = algebra::sum_to_shape(g, call.in(static_cast<int>(i)).shape());
      }
      break;
    case Derive::Form::linear:
      for (size_t i = 0; i < asked.size(); ++i)
        if (asked[i] && linear_in(op.derive, i))
          result[i] = op.derive.transpose(call, static_cast<int>(i), cotangents[0]);
      break;
    case Derive::Form::vjp:
      op.derive.vjp(call, cotangents, result);
      break;
    case Derive::Form::expand: {
      auto grads = vjp(meaning_of(op, attrs, outs.size()), in, cotangents).second;
      for (size_t i = 0; i < in.size(); ++i) result[i] = std::move(grads[i]);
      break;
    }
  }
  for (size_t i = 0; i < asked.size(); ++i) {
    if (!asked[i]) result[i] = Array();
    if (!result[i]) continue;
    LEGATO_CHECK(result[i].shape() == in[i].shape(), op.name);
    if (result[i].dtype() == in[i].dtype()) continue;
    // A complex cotangent of a real input keeps its real part: the cast drops the imaginary one.
    result[i] = algebra::astype(result[i], in[i].dtype());
  }
}

// The rule as a composed function (Note [Composed functions]) of the node's inputs, its outputs and
// the cotangents.
void pull_back_shapeless(const TapeNode& t, std::vector<bool> asked, Inputs cotangents,
                         std::span<Array> result) {
  const Op& op = *t.node->op;
  const size_t n_in = t.node->n_in, n_out = t.node->n_out;
  auto run = [&op, n_in, n_out, attrs = keep_attrs(op, t.node->attrs)](
                 Inputs all, const std::vector<bool>& asked) {
    std::vector<Array> grads(n_in);
    pull_back(op, attrs.get(), all.first(n_in), all.subspan(n_in, n_out), asked,
              all.subspan(n_in + n_out), grads);
    return grads;
  };
  auto all = joined({t.node->inputs(), outputs_of(t.node), cotangents});
  {
    ShapelessScope off(false);
    auto first = run(all, asked);
    for (size_t i = 0; i < n_in; ++i) asked[i] = static_cast<bool>(first[i]);
  }
  auto grads = composed(op.name, all, [run, asked](Inputs all) {
    std::vector<Array> out;
    auto grads = run(all, asked);
    for (size_t i = 0; i < grads.size(); ++i)
      if (asked[i]) out.push_back(grads[i] ? std::move(grads[i]) : zeros_like(all[i]));
    return out;
  });
  for (size_t i = 0, next = 0; i < n_in; ++i)
    if (asked[i]) result[i] = std::move(grads[next++]);
}

void check_like(const char* name, const char* what, std::span<const Array> given,
                std::span<const Array> expected, const char* of) {
  if (given.size() != expected.size())
    throw ValueError(
        cat(name, ": ", given.size(), " ", what, " were given for ", expected.size(), " ", of));
  for (size_t i = 0; i < given.size(); ++i)
    if (given[i].shape() != expected[i].shape())
      throw ValueError(cat(name, ": ", what, " ", i, " has shape ", given[i].shape(), ", but ", of,
                           " ", i, " has shape ", expected[i].shape()));
}

}  // namespace

std::pair<std::vector<Array>, std::vector<Array>> vjp_with(const ArrayFn& f,
                                                           std::span<const Array> primals,
                                                           const CotangentFn& cotangent_fn,
                                                           std::span<const int> wanted,
                                                           const char* name) {
  RestoreOnException random_state;  // rules may draw too
  Tape tape = capture(f, primals, name, Binding::to_primals);
  std::vector<Array> cotangents = cotangent_fn(tape.outputs);
  check_like(name, "cotangents", cotangents, tape.outputs, "outputs");
  const std::vector<bool> active = active_values(tape, primals.size());
  std::vector<Array> bar(tape.n_values);
  for (size_t o = 0; o < tape.outputs.size(); ++o)
    if (tape.out_values[o] != Tape::kIndependent)
      accumulate(bar[tape.out_values[o]], algebra::astype(cotangents[o], tape.outputs[o].dtype()));
  std::vector<Array> given, result;
  std::vector<bool> asked;
  for (size_t k = tape.nodes.size(); k-- > 0;) {
    const TapeNode& t = tape.nodes[k];
    bool any = false;
    for (uint32_t o = 0; o < t.node->n_out; ++o) any |= static_cast<bool>(bar[t.first_value + o]);
    if (!any) continue;
    given.clear();
    for (uint32_t o = 0; o < t.node->n_out; ++o) {
      Array& b = bar[t.first_value + o];
      given.push_back(b ? std::move(b) : zeros_like(output_of(t.node, o)));
      b = Array();
    }
    auto in_values = tape.in_values_of(t);
    result.assign(in_values.size(), Array());
    asked.clear();
    bool any_asked = false;
    for (int32_t v : in_values) {
      asked.push_back(v != Tape::kIndependent && active[static_cast<size_t>(v)]);
      any_asked |= asked.back();
    }
    if (!any_asked) continue;
    if (tracing_shapeless())
      pull_back_shapeless(t, asked, given, result);
    else
      pull_back(*t.node->op, t.node->attrs, t.node->inputs(), outputs_of(t.node), asked, given,
                result);
    for (size_t i = 0; i < in_values.size(); ++i)
      if (result[i] && in_values[i] != Tape::kIndependent)
        accumulate(bar[in_values[i]], std::move(result[i]));
  }
  std::vector<Array> grads;
  for (int i : wanted) grads.push_back(bar[i] ? bar[i] : zeros_like(primals[i]));
  return {std::move(tape.outputs), std::move(grads)};
}

std::pair<std::vector<Array>, std::vector<Array>> vjp(const ArrayFn& f,
                                                      std::span<const Array> primals,
                                                      std::span<const Array> cotangents) {
  std::vector<int> all;
  for (size_t i = 0; i < primals.size(); ++i) all.push_back(static_cast<int>(i));
  return vjp_with(
      f, primals,
      [&](std::span<const Array>) {
        return std::vector<Array>(cotangents.begin(), cotangents.end());
      },
      all, "vjp");
}

// --- forward
// ---------------------------------------------------------------------------------------------------------

namespace {

// Without a forward rule: the vjp is linear in the cotangent, so its own transpose pushes tangents
// forward.
void push_by_transposing(const Call& call, std::span<const Array> tangents,
                         std::span<Array> result) {
  const Op& op = call.op();
  std::vector<size_t> touched;
  for (size_t i = 0; i < tangents.size(); ++i)
    if (tangents[i]) touched.push_back(i);
  ArrayFn transposed = [&](std::span<const Array> cts) {
    std::vector<Array> grads(call.inputs().size()), out;
    op.derive.vjp(call, cts, grads);
    for (size_t i : touched)
      out.push_back(grads[i] ? grads[i] : zeros_like(call.in(static_cast<int>(i))));
    return out;
  };
  std::vector<Array> cts, given;
  for (const Array& o : call.outputs()) cts.push_back(zeros_like(o));
  for (size_t i : touched) given.push_back(tangents[i]);
  auto pushed = vjp(transposed, cts, given).second;
  for (size_t o = 0; o < pushed.size(); ++o) result[o] = std::move(pushed[o]);
}

void push_forward(const Op& op, const void* attrs, Inputs primals, Inputs outs, Inputs tangents,
                  std::span<Array> result) {
  uint32_t wanted = 0;
  for (size_t i = 0; i < tangents.size() && i < 32; ++i)
    wanted |= uint32_t{static_cast<bool>(tangents[i])} << i;
  Call call(op, primals, attrs, outs, wanted);
  switch (op.derive.form) {
    case Derive::Form::none:
      return;
    case Derive::Form::partials:
      for (size_t i = 0; i < tangents.size(); ++i) {
        if (!tangents[i]) continue;
        Array p = op.derive.partial(call, static_cast<int>(i));
        if (p) accumulate(result[0], algebra::multiply(tangents[i], p));
      }
      if (result[0])
        result[0] = algebra::astype(algebra::broadcast_to(result[0], call.out().shape()),
                                    call.out().dtype());
      return;
    case Derive::Form::linear: {
      std::vector<Array> in(primals.begin(), primals.end());
      auto run = [&] {
        auto out = bind_all(op, in, attrs);
        for (size_t o = 0; o < out.size(); ++o) accumulate(result[o], std::move(out[o]));
      };
      bool any = false;
      for (size_t i = 0; i < in.size(); ++i) {
        if (!linear_in(op.derive, i)) continue;
        any |= static_cast<bool>(tangents[i]);
        if (op.derive.joint) {
          in[i] = tangents[i] ? tangents[i] : zeros_like(in[i]);
        } else if (tangents[i]) {
          Array primal = std::exchange(in[i], tangents[i]);
          run();
          in[i] = primal;
        }
      }
      if (op.derive.joint && any) run();
      return;
    }
    case Derive::Form::vjp:
      return op.derive.jvp ? op.derive.jvp(call, tangents, result)
                           : push_by_transposing(call, tangents, result);
    case Derive::Form::expand: {
      std::vector<Array> given;
      for (size_t i = 0; i < primals.size(); ++i)
        given.push_back(tangents[i] ? tangents[i] : zeros_like(primals[i]));
      auto pushed = jvp(meaning_of(op, attrs, outs.size()), primals, given).second;
      for (size_t o = 0; o < pushed.size(); ++o) result[o] = std::move(pushed[o]);
      return;
    }
  }
}

// As pull_back_shapeless; the tangents that are there follow the outputs.
void push_forward_shapeless(const TapeNode& t, Inputs tangents, std::span<Array> result) {
  const Op& op = *t.node->op;
  const size_t n_in = t.node->n_in, n_out = t.node->n_out;
  std::vector<bool> touched;
  std::vector<Array> given;
  for (const Array& tangent : tangents) {
    touched.push_back(static_cast<bool>(tangent));
    if (tangent) given.push_back(tangent);
  }
  auto run = [&op, n_in, n_out, touched, attrs = keep_attrs(op, t.node->attrs)](Inputs all) {
    std::vector<Array> tangents(n_in), pushed(n_out);
    for (size_t i = 0, next = n_in + n_out; i < n_in; ++i)
      if (touched[i]) tangents[i] = all[next++];
    push_forward(op, attrs.get(), all.first(n_in), all.subspan(n_in, n_out), tangents, pushed);
    return pushed;
  };
  auto all = joined({t.node->inputs(), outputs_of(t.node), given});
  std::vector<bool> set;
  {
    ShapelessScope off(false);
    for (const Array& first : run(all)) set.push_back(static_cast<bool>(first));
  }
  auto pushed = composed(op.name, all, [run, set, n_in](Inputs all) {
    std::vector<Array> out;
    auto pushed = run(all);
    for (size_t o = 0; o < pushed.size(); ++o)
      if (set[o]) out.push_back(pushed[o] ? std::move(pushed[o]) : zeros_like(all[n_in + o]));
    return out;
  });
  for (size_t o = 0, next = 0; o < n_out; ++o)
    if (set[o]) result[o] = std::move(pushed[next++]);
}

}  // namespace

std::pair<std::vector<Array>, std::vector<Array>> jvp(const ArrayFn& f,
                                                      std::span<const Array> primals,
                                                      std::span<const Array> tangents) {
  check_like("jvp", "tangents", tangents, primals, "primals");
  for (size_t i = 0; i < primals.size(); ++i)
    if (tangents[i].dtype() != primals[i].dtype())
      throw ValueError(cat("jvp: tangent ", i, " has dtype ", tangents[i].dtype(), ", but primal ",
                           i, " has ", primals[i].dtype(), "; cast it with astype"));
  RestoreOnException random_state;
  Tape tape = capture(f, primals, "jvp", Binding::to_primals);
  std::vector<Array> dot(tape.n_values);
  for (size_t i = 0; i < primals.size(); ++i) dot[i] = tangents[i];
  std::vector<Array> given, result;
  for (const TapeNode& t : tape.nodes) {
    given.clear();
    bool any = false;
    for (int32_t v : tape.in_values_of(t)) {
      given.push_back(v == Tape::kIndependent ? Array() : dot[v]);
      any |= static_cast<bool>(given.back());
    }
    if (!any) continue;
    result.assign(t.node->n_out, Array());
    if (tracing_shapeless())
      push_forward_shapeless(t, given, result);
    else
      push_forward(*t.node->op, t.node->attrs, t.node->inputs(), outputs_of(t.node), given, result);
    for (uint32_t o = 0; o < t.node->n_out; ++o) dot[t.first_value + o] = std::move(result[o]);
  }
  std::vector<Array> out_tangents;
  for (size_t o = 0; o < tape.outputs.size(); ++o) {
    int32_t v = tape.out_values[o];
    out_tangents.push_back(v != Tape::kIndependent && dot[v] ? dot[v]
                                                             : zeros_like(tape.outputs[o]));
  }
  return {std::move(tape.outputs), std::move(out_tangents)};
}

}  // namespace legato
