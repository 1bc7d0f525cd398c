// Cross-entropy with integer targets: what a classifier's loss is made of.
#include "legato/op/function.h"
#include "legato/op/registry.h"
#include "legato/ops/create/create.h"
#include "legato/ops/index/index.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/reduce/reduce.h"
#include "legato/ops/shape/shape.h"
#include "legato/ops/softmax/ops.h"
#include "legato/ops/softmax/softmax.h"

namespace legato {

namespace {

void infer(Inference& in) {
  if (!is_floating(in.dtype()))
    throw ValueError(cat("cross_entropy: logits are ", in.dtype(), "; expected a floating dtype."));
  if (!is_integer(in.dtype(1)))
    throw ValueError(cat("cross_entropy: targets are ", in.dtype(1),
                         "; expected integers, indices of classes."));
  const Shape& logits = in.shape();
  if (logits.empty())
    throw ValueError("cross_entropy: logits have no dimension; expected (..., classes).");
  Shape expected = logits;
  expected.erase(expected.size() - 1);
  if (!(in.shape(1) == expected))
    throw ValueError(cat("cross_entropy: targets have shape ", in.shape(1), "; expected ", expected,
                         ", the shape of logits ", logits, " without the last axis."));
  if (logits.back() == 0 && element_count(expected) > 0)
    throw ValueError(cat("cross_entropy: logits of shape ", logits, " have no classes."));
  in.result(expected, in.dtype());
}
void infer_vjp(Inference& in) { in.result(in.shape(), in.dtype()); }

Array last(const Array& a) { return expand_dims(a, Dims{-1}); }
Array chosen(const Array& x, const Array& targets) {
  return squeeze(take_along_axis(x, last(targets), -1), Dims{-1});
}

void expand(const Call& c, std::span<Array> out) {
  const Array x = astype(c.in(0), compute_dtype(c.in(0).dtype()));
  out[0] = astype(subtract(logsumexp(x, Dims{-1}), chosen(x, c.in(1))), c.in(0).dtype());
}
// (softmax(logits) - 1 at the target) * cotangent
void expand_vjp(const Call& c, std::span<Array> out) {
  const Dtype dtype = c.in(0).dtype(), compute = compute_dtype(dtype);
  const Array g = last(astype(c.in(2), compute));
  const Array d = multiply(softmax(astype(c.in(0), compute), Dims{-1}), g);
  out[0] = astype(put_along_axis(d, last(c.in(1)), negative(g), -1, UpdateMode::add), dtype);
}
void vjp(const Call& c, std::span<const Array> cotangents, std::span<Array> result) {
  result[0] = bind(cross_entropy_vjp_op, {c.in(0), c.in(1), cotangents[0]});
}
void jvp(const Call& c, std::span<const Array> tangents, std::span<Array> result) {
  const Dtype dtype = c.in(0).dtype(), compute = compute_dtype(dtype);
  const Array t = astype(tangents[0], compute), p = softmax(astype(c.in(0), compute), Dims{-1});
  result[0] = astype(subtract(sum(multiply(p, t), Dims{-1}), chosen(t, c.in(1))), dtype);
}
void batch(const BatchedCall& c, std::span<Array> out) {
  Array in[3];
  for (size_t i = 0; i < c.in.size(); ++i) in[i] = c.with_axis(static_cast<int>(i));
  out[0] = bind(c.op, std::span<const Array>(in, c.in.size()));
}

}  // namespace

constinit const Op cross_entropy_op{
    .name = "cross_entropy",
    .infer = infer,
    .expand = expand,
    .derive = Vjp(vjp, jvp),
    .batch = batch,
};
constinit const Op cross_entropy_vjp_op{
    .name = "cross_entropy_vjp",
    .infer = infer_vjp,
    .expand = expand_vjp,
    .derive = ThroughExpand(),
    .batch = batch,
};

Array cross_entropy(const Array& logits, const Array& targets) {
  // Kernels read signed indices; the largest of these would turn negative.
  const bool fits = is_integer(targets.dtype()) && targets.dtype() != Dtype::uint64;
  return bind(cross_entropy_op, {logits, fits ? astype(targets, Dtype::int64) : targets});
}

namespace {

constinit const Function cross_entropy_function = function<&cross_entropy>(
    "cross_entropy", "logits, targets",
    R"(Negative log-likelihood of `targets` under softmax(`logits`), in nats.

Args:
    logits: Floating array of shape (..., C). Differentiable.
    targets: Integer array of shape (...), each in [0, C).

Returns:
    Array of the shape of `targets` and the dtype of `logits`. Half types compute in float32.

Raises:
    ValueError: if shapes or dtypes do not match.

>>> fast.cross_entropy(array([[0.0, 0.0]]), array([1]))
array([0.693147], dtype=float32)
)",
    "fast");

}  // namespace

void register_cross_entropy(Registry& r) {
  r.add(cross_entropy_op);
  r.add(cross_entropy_vjp_op);
  r.add(cross_entropy_function);
}

}  // namespace legato
