// Reverse and forward mode: one loop each over a captured graph.
#include "legato/base/error.h"
#include "legato/op/algebra.h"
#include "legato/op/registry.h"
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

Array zeros_like(const Array& a) { return algebra::zeros(a.shape(), a.dtype()); }

void accumulate(Array& sum, Array&& term) { sum = sum ? algebra::add(sum, term) : std::move(term); }

ArrayFn meaning_of(const Op& op, const void* attrs, size_t n_out) {
  return [&op, attrs, n_out](std::span<const Array> in) {
    std::vector<Array> out(n_out);
    op.expand(Call(op, in, attrs), out);
    return out;
  };
}

// --- reverse
// ---------------------------------------------------------------------------------------------------------

// Cotangents of a node's inputs from those of its outputs. A null result means zero.
void pull_back(const TapeNode& t, std::span<const int32_t> in_values,
               std::span<const Array> cotangents, std::span<Array> result) {
  Node* n = t.node;
  const Op& op = *n->op;
  uint32_t wanted = 0;
  for (size_t i = 0; i < in_values.size() && i < 32; ++i)
    wanted |= uint32_t{in_values[i] != Tape::kIndependent} << i;
  std::vector<Array> outs = outputs_of(n);
  Call call(op, n->inputs(), n->attrs, outs, wanted);
  switch (op.derive.form) {
    case Derive::Form::none:
      break;
    case Derive::Form::partials:
      for (size_t i = 0; i < in_values.size(); ++i) {
        if (in_values[i] == Tape::kIndependent) continue;
        Array p = op.derive.partial(call, static_cast<int>(i));
        if (!p) continue;
        // Cotangents of complex values follow the conjugate convention.
        Array g = algebra::multiply(cotangents[0], algebra::conjugate(p));
        result[i] = algebra::sum_to_shape(g, call.in(static_cast<int>(i)).shape());
      }
      break;
    case Derive::Form::linear:
      for (size_t i = 0; i < in_values.size(); ++i)
        if (in_values[i] != Tape::kIndependent && linear_in(op.derive, i))
          result[i] = op.derive.transpose(call, static_cast<int>(i), cotangents[0]);
      break;
    case Derive::Form::vjp:
      op.derive.vjp(call, cotangents, result);
      break;
    case Derive::Form::expand: {
      std::vector<Array> in(n->inputs().begin(), n->inputs().end()),
          cts(cotangents.begin(), cotangents.end());
      auto grads = vjp(meaning_of(op, n->attrs, n->n_out), in, cts).second;
      for (size_t i = 0; i < in.size(); ++i) result[i] = std::move(grads[i]);
      break;
    }
  }
  for (size_t i = 0; i < in_values.size(); ++i) {
    if (!result[i]) continue;
    const Array& in = call.in(static_cast<int>(i));
    LEGATO_CHECK(result[i].shape() == in.shape(), op.name);
    if (result[i].dtype() == in.dtype()) continue;
    // A complex cotangent of a real input keeps its real part: the cast drops the imaginary one.
    result[i] = algebra::astype(result[i], in.dtype());
  }
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
  Tape tape = capture(f, primals, name, Binding::to_primals);
  std::vector<Array> cotangents = cotangent_fn(tape.outputs);
  check_like(name, "cotangents", cotangents, tape.outputs, "outputs");
  std::vector<Array> bar(tape.n_values);
  for (size_t o = 0; o < tape.outputs.size(); ++o)
    if (tape.out_values[o] != Tape::kIndependent)
      accumulate(bar[tape.out_values[o]], algebra::astype(cotangents[o], tape.outputs[o].dtype()));
  std::vector<Array> given, result;
  for (size_t k = tape.nodes.size(); k-- > 0;) {
    const TapeNode& t = tape.nodes[k];
    bool any = false;
    for (uint32_t o = 0; o < t.node->n_out; ++o) any |= static_cast<bool>(bar[t.first_value + o]);
    if (!any) continue;
    given.clear();
    for (uint32_t o = 0; o < t.node->n_out; ++o) {
      Array& b = bar[t.first_value + o];
      given.push_back(b ? std::move(b)
                        : algebra::zeros(t.node->out[o].shape, t.node->out[o].dtype));
      b = Array();
    }
    auto in_values = tape.in_values_of(t);
    result.assign(in_values.size(), Array());
    pull_back(t, in_values, given, result);
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

void push_forward(const TapeNode& t, std::span<const Array> tangents, std::span<Array> result) {
  Node* n = t.node;
  const Op& op = *n->op;
  std::vector<Array> outs = outputs_of(n);
  uint32_t wanted = 0;
  for (size_t i = 0; i < tangents.size() && i < 32; ++i)
    wanted |= uint32_t{static_cast<bool>(tangents[i])} << i;
  Call call(op, n->inputs(), n->attrs, outs, wanted);
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
      std::vector<Array> in(n->inputs().begin(), n->inputs().end());
      auto run = [&] {
        auto out = bind_all(op, in, n->attrs);
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
      std::vector<Array> in(n->inputs().begin(), n->inputs().end()), given;
      for (size_t i = 0; i < in.size(); ++i)
        given.push_back(tangents[i] ? tangents[i] : zeros_like(in[i]));
      auto pushed = jvp(meaning_of(op, n->attrs, n->n_out), in, given).second;
      for (size_t o = 0; o < pushed.size(); ++o) result[o] = std::move(pushed[o]);
      return;
    }
  }
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
    push_forward(t, given, result);
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
