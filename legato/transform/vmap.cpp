// Vectorisation: the captured graph of one element is built again for the whole batch, by each op's
// batching rule. Inside, a batched value has its batch axis in front.
#include <algorithm>

#include "legato/base/error.h"
#include "legato/op/algebra.h"
#include "legato/op/composed.h"
#include "legato/op/thread_state.h"
#include "legato/transform/capture.h"
#include "legato/transform/transform.h"

namespace legato {

Array BatchedCall::with_axis(int i) const {
  if (batched[i]) return in[i];
  Shape s = in[i].shape();
  s.insert(0, size);
  return algebra::broadcast_to(in[i], s);
}

void batch_pointwise(const BatchedCall& c, std::span<Array> out) {
  size_t rank = 0;
  for (size_t i = 0; i < c.in.size(); ++i) rank = std::max(rank, c.rank(static_cast<int>(i)));
  Array in[3];
  for (size_t i = 0; i < c.in.size(); ++i) {
    in[i] = c.in[i];
    size_t own = c.rank(static_cast<int>(i));
    if (!c.batched[i] || own == rank) continue;
    Shape s = in[i].shape();
    for (size_t k = own; k < rank; ++k) s.insert(1, 1);
    in[i] = algebra::reshape(in[i], s);
  }
  out[0] = bind(c.op, std::span<const Array>(in, c.in.size()), c.raw_attrs);
}

namespace {

struct Batched {
  Array array;
  bool batched = false;
};

// An op on inputs of which those with a flag have a leading batch axis.
std::vector<Array> batch_one(const Op& op, const void* attrs, Inputs in,
                             const std::vector<uint8_t>& flags, size_t n_out) {
  std::vector<Array> out(n_out);
  std::vector<std::optional<int>> axes;
  int64_t size = 0;
  for (size_t i = 0; i < in.size(); ++i) {
    axes.push_back(flags[i] ? std::optional<int>(0) : std::nullopt);
    if (flags[i]) size = in[i].shape()[0];
  }
  if (op.batch) {
    std::span<const bool> batched(reinterpret_cast<const bool*>(flags.data()), flags.size());
    op.batch({op, in, batched, size, attrs}, out);
    return out;
  }
  return vmap(
      [&](Inputs args) {
        std::vector<Array> expanded(n_out);
        op.expand(Call(op, args, attrs), expanded);
        return expanded;
      },
      in, axes, [](size_t count) { return std::vector<std::optional<int>>(count, 0); });
}

// Note [Composed functions].
std::vector<Array> batch_one_shapeless(const Op& op, const void* attrs, Inputs in,
                                       const std::vector<uint8_t>& flags, size_t n_out) {
  return composed(op.name, in, [&op, attrs = keep_attrs(op, attrs), flags, n_out](Inputs in) {
    return batch_one(op, attrs.get(), in, flags, n_out);
  });
}

void run_batched(const Tape& tape, std::vector<Batched>& values, int64_t size) {
  std::vector<Array> in, out;
  std::vector<uint8_t> flags;
  for (const TapeNode& t : tape.nodes) {
    Node* n = t.node;
    const Op& op = *n->op;
    in.clear();
    flags.clear();
    bool any = false;
    auto from = tape.in_values_of(t);
    for (uint32_t i = 0; i < n->n_in; ++i) {
      if (from[i] == Tape::kIndependent) {
        in.push_back(n->in[i]);
        flags.push_back(false);
      } else {
        in.push_back(values[from[i]].array);
        flags.push_back(values[from[i]].batched);
      }
      any |= flags.back() != 0;
    }
    if (!any)  // depends on unbatched inputs only
      out = bind_again(*n, in);
    else
      out = tracing_shapeless() ? batch_one_shapeless(op, n->attrs, in, flags, n->n_out)
                                : batch_one(op, n->attrs, in, flags, n->n_out);
    for (uint32_t o = 0; o < n->n_out; ++o) {
      if (any) {
        Shape expected = n->out[o].shape;
        expected.insert(0, size);
        LEGATO_CHECK(out[o].shape() == expected, op.name);
      }
      values[t.first_value + o] = {std::move(out[o]), any};
    }
  }
}

// `a` repeated along a new leading axis, without memory, as long as that of `like`.
Array repeated(const Array& a, const Array& like) {
  if (tracing_shapeless())
    return composed("vmap", {a, like}, [](Inputs in) { return repeated(in[0], in[1]); });
  Shape s = a.shape();
  s.insert(0, like.shape()[0]);
  return algebra::broadcast_to(a, s);
}

}  // namespace

std::vector<Array> vmap(const ArrayFn& f, std::span<const Array> inputs,
                        std::span<const std::optional<int>> in_axes, const OutAxesFn& out_axes) {
  RestoreOnException random_state;
  int64_t size = -1;
  std::vector<Batched> values;
  std::vector<Array> like;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!in_axes[i]) {
      values.push_back({inputs[i], false});
      like.push_back(inputs[i]);
      continue;
    }
    int axis = normalize_axis("vmap", *in_axes[i], inputs[i].ndim());
    int64_t here = inputs[i].shape()[axis];
    if (size >= 0 && size != here)
      throw ValueError(cat("vmap: the mapped axes must have one size, but input ", i, " has shape ",
                           inputs[i].shape(), " and size ", here, " along axis ", axis,
                           ", while an earlier input has size ", size));
    size = here;
    values.push_back({algebra::moveaxis(inputs[i], axis, 0), true});
    like.push_back(values.back().array);
  }
  if (size < 0)
    throw ValueError("vmap: no input has a mapped axis; give at least one axis in in_axes");

  // f sees inputs without their batch axis and, as they stand for any element, without a value.
  ArrayFn element = [&](std::span<const Array> fresh) { return f(fresh); };
  std::vector<Array> shaped;
  for (size_t i = 0; i < like.size(); ++i) {
    Shape s = like[i].shape();
    if (in_axes[i]) s.erase(0);
    shaped.push_back(unbound_like(s, like[i].dtype()));
  }
  Tape tape = capture(element, shaped, "vmap", Binding::unbound);
  values.resize(tape.n_values);
  run_batched(tape, values, size);
  const Array* mapped = nullptr;  // any input with the axis
  for (size_t i = 0; i < like.size(); ++i)
    if (in_axes[i]) mapped = &like[i];

  auto axes = out_axes(tape.outputs.size());
  std::vector<Array> results;
  for (size_t o = 0; o < tape.outputs.size(); ++o) {
    int32_t v = tape.out_values[o];
    Batched b = v == Tape::kIndependent ? Batched{tape.outputs[o], false} : values[v];
    if (!axes[o]) {
      if (b.batched)
        throw ValueError(cat("vmap: out_axes is None for output ", o,
                             ", but that output depends on a mapped input"));
      results.push_back(b.array);
      continue;
    }
    int axis = normalize_axis("vmap", *axes[o], tape.outputs[o].ndim() + 1);
    if (!b.batched) b.array = repeated(b.array, *mapped);
    results.push_back(algebra::moveaxis(b.array, 0, axis));
  }
  return results;
}

}  // namespace legato
