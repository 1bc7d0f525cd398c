#include "legato/ops/softmax/softmax.h"

#include "legato/op/composed.h"
#include "legato/op/function.h"
#include "legato/op/registry.h"
#include "legato/ops/create/create.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/reduce/reduce.h"
#include "legato/ops/shape/shape.h"
#include "legato/ops/softmax/ops.h"

namespace legato {
namespace {

void check_floating(const Inference& in) {
  if (!is_floating(in.dtype()))
    throw ValueError(cat(in.name(), ": the dtype is ", in.dtype(), "; expected a floating one."));
}
void infer_same(Inference& in) {
  check_floating(in);
  normalize_axis(in.name(), in.attrs<SoftmaxAttrs>().axis, in.shape().size());
  in.result(in.shape(), in.dtype());
}
void infer_logsumexp(Inference& in) {
  check_floating(in);
  Shape out = in.shape();
  const auto axis =
      static_cast<size_t>(normalize_axis(in.name(), in.attrs<SoftmaxAttrs>().axis, out.size()));
  if (out[axis] == 0 &&
      element_count(reduced_shape(out, Dims{static_cast<int64_t>(axis)}, false)) > 0)
    throw ValueError(
        cat("logsumexp: shape ", in.shape(), " has no elements along axis ", axis, "."));
  out[axis] = 1;
  in.result(out, in.dtype());
}

void batch(const BatchedCall& c, std::span<Array> out) {
  SoftmaxAttrs attrs{normalize_axis(c.op.name, c.attrs<SoftmaxAttrs>().axis, c.rank()) + 1};
  Array in[2] = {c.with_axis(0)};
  if (c.in.size() > 1) in[1] = c.with_axis(1);
  out[0] = bind(c.op, std::span<const Array>(in, c.in.size()), &attrs);
}

Dims last_axis(const Call& c) { return Dims{c.attrs<SoftmaxAttrs>().axis}; }

void expand_softmax(const Call& c, std::span<Array> out) {
  Array a = astype(c.in(), compute_dtype(c.in().dtype()));
  Array e = exp(subtract(a, max(a, last_axis(c), true)));
  out[0] = astype(divide(e, sum(e, last_axis(c), true)), c.in().dtype());
}
void expand_log_softmax(const Call& c, std::span<Array> out) {
  Array a = astype(c.in(), compute_dtype(c.in().dtype()));
  Array shifted = subtract(a, max(a, last_axis(c), true));
  out[0] = astype(subtract(shifted, log(sum(exp(shifted), last_axis(c), true))), c.in().dtype());
}
void expand_logsumexp(const Call& c, std::span<Array> out) {
  Array a = astype(c.in(), compute_dtype(c.in().dtype()));
  Array top = max(a, last_axis(c), true);
  Array finite = where(isinf(top), 0.0, top);  // inf - inf would be nan
  out[0] =
      astype(add(log(sum(exp(subtract(a, finite)), last_axis(c), true)), finite), c.in().dtype());
}
void expand_softmax_vjp(const Call& c, std::span<Array> out) {
  Array yg = multiply(c.in(0), c.in(1));
  out[0] = subtract(yg, multiply(c.in(0), sum(yg, last_axis(c), true)));
}
void expand_log_softmax_vjp(const Call& c, std::span<Array> out) {
  out[0] = subtract(c.in(1), multiply(exp(c.in(0)), sum(c.in(1), last_axis(c), true)));
}

// The Jacobian of softmax is symmetric: forward and reverse mode apply the same matrix.
void derive_softmax(const Call& c, std::span<const Array> direction, std::span<Array> result) {
  result[0] = bind(softmax_vjp_op, {c.out(), direction[0]}, c.attrs<SoftmaxAttrs>());
}
void vjp_log_softmax(const Call& c, std::span<const Array> cotangents, std::span<Array> result) {
  result[0] = bind(log_softmax_vjp_op, {c.out(), cotangents[0]}, c.attrs<SoftmaxAttrs>());
}
void jvp_log_softmax(const Call& c, std::span<const Array> tangents, std::span<Array> result) {
  result[0] = subtract(tangents[0], sum(multiply(exp(c.out()), tangents[0]), last_axis(c), true));
}
// The softmax that logsumexp's derivative is, from its result: pointwise, so that it is part of
// what is computed with it. A half has lost too much of the result.
Array softmax_of(const Call& c) {
  if (is_half(c.in().dtype())) return bind(softmax_op, {c.in()}, c.attrs<SoftmaxAttrs>());
  return exp(subtract(c.in(), c.out()));
}
void vjp_logsumexp(const Call& c, std::span<const Array> cotangents, std::span<Array> result) {
  result[0] = multiply(softmax_of(c), cotangents[0]);
}
void jvp_logsumexp(const Call& c, std::span<const Array> tangents, std::span<Array> result) {
  result[0] = sum(multiply(softmax_of(c), tangents[0]), last_axis(c), true);
}

}  // namespace

constinit const Op softmax_op{
    .name = "softmax",
    .attrs = &attrs_type<SoftmaxAttrs>,
    .infer = infer_same,
    .expand = expand_softmax,
    .derive = Vjp(derive_softmax, derive_softmax),
    .batch = batch,
};
constinit const Op log_softmax_op{
    .name = "log_softmax",
    .attrs = &attrs_type<SoftmaxAttrs>,
    .infer = infer_same,
    .expand = expand_log_softmax,
    .derive = Vjp(vjp_log_softmax, jvp_log_softmax),
    .batch = batch,
};
constinit const Op logsumexp_op{
    .name = "logsumexp",
    .attrs = &attrs_type<SoftmaxAttrs>,
    .infer = infer_logsumexp,
    .expand = expand_logsumexp,
    .derive = Vjp(vjp_logsumexp, jvp_logsumexp),
    .batch = batch,
};
constinit const Op softmax_vjp_op{
    .name = "softmax_vjp",
    .attrs = &attrs_type<SoftmaxAttrs>,
    .infer = infer_same,
    .expand = expand_softmax_vjp,
    .derive = ThroughExpand(),
    .batch = batch,
};
constinit const Op log_softmax_vjp_op{
    .name = "log_softmax_vjp",
    .attrs = &attrs_type<SoftmaxAttrs>,
    .infer = infer_same,
    .expand = expand_log_softmax_vjp,
    .derive = ThroughExpand(),
    .batch = batch,
};

namespace {

// --- several axes: the op of one axis on a view in which they are joined
// --------------------------

struct SoftmaxAxesAttrs {
  Axes axes;
  static constexpr auto fields() { return std::tuple(field("axes", &SoftmaxAxesAttrs::axes)); }
};

/// The axes moved to the end and made one.
struct Joined {
  Array rows;      // (kept..., joined)
  Shape moved;     // before joining
  Dims axes, end;  // where the axes were, and are
};
Joined join_axes(const Array& a, const Dims& axes) {
  Joined j;
  j.axes = axes;
  for (size_t i = 0; i < axes.size(); ++i)
    j.end.push_back(static_cast<int64_t>(a.ndim() - axes.size() + i));
  Array moved = moveaxis(a, axes, j.end);
  j.moved = moved.shape();
  j.rows = flatten(moved, j.end[0], -1);
  return j;
}

void infer_axes(Inference& in) {
  check_floating(in);
  reduced_axes(in.name(), in.attrs<SoftmaxAxesAttrs>().axes, in.shape().size());
  in.result(in.shape(), in.dtype());
}
template <const Op& one_axis_op>
void expand_axes(const Call& c, std::span<Array> out) {
  const Array& a = c.in();
  const Dims axes = reduced_axes(c.op().name, c.attrs<SoftmaxAxesAttrs>().axes, a.ndim());
  if (axes.empty()) {
    out[0] = reshape(bind(one_axis_op, {expand_dims(a, Dims{-1})}, SoftmaxAttrs{-1}), a.shape());
    return;
  }
  Joined j = join_axes(a, axes);
  out[0] = moveaxis(reshape(bind(one_axis_op, {j.rows}, SoftmaxAttrs{-1}), j.moved), j.end, j.axes);
}
void batch_axes(const BatchedCall& c, std::span<Array> out) {
  Dims axes = reduced_axes(c.op.name, c.attrs<SoftmaxAxesAttrs>().axes, c.rank());
  for (int64_t& a : axes) ++a;
  SoftmaxAxesAttrs shifted{axes};
  out[0] = bind(c.op, c.in, &shifted);
}

constinit const Op softmax_axes_op{
    .name = "softmax_axes",
    .attrs = &attrs_type<SoftmaxAxesAttrs>,
    .infer = infer_axes,
    .expand = expand_axes<softmax_op>,
    .derive = ThroughExpand(),
    .batch = batch_axes,
};
constinit const Op log_softmax_axes_op{
    .name = "log_softmax_axes",
    .attrs = &attrs_type<SoftmaxAxesAttrs>,
    .infer = infer_axes,
    .expand = expand_axes<log_softmax_op>,
    .derive = ThroughExpand(),
    .batch = batch_axes,
};

Array floating(const Array& a) {
  return is_floating(a.dtype()) || is_complex(a.dtype()) ? a : astype(a, Dtype::float32);
}

/// The only axis, as the caller wrote it if he did.
SoftmaxAttrs one_axis(const Axes& axis, const Dims& axes) {
  return {axis && axis->size() == 1 ? (*axis)[0] : axes[0]};
}

Array along(const char* name, const Op& one_axis_op, const Op& axes_op, const Array& a,
            const Axes& axis) {
  Array x = floating(a);
  const Dims axes = reduced_axes(name, axis, x.ndim());
  return axes.size() == 1 ? bind(one_axis_op, {x}, one_axis(axis, axes))
                          : bind(axes_op, {x}, SoftmaxAxesAttrs{axis});
}

}  // namespace

Array softmax(const Array& a, const Axes& axis, bool) {
  return along("softmax", softmax_op, softmax_axes_op, a, axis);
}
Array log_softmax(const Array& a, const Axes& axis) {
  return along("log_softmax", log_softmax_op, log_softmax_axes_op, a, axis);
}

Array logsumexp(const Array& a, const Axes& axis, bool keepdims) {
  Array x = floating(a);
  const Dims axes = reduced_axes("logsumexp", axis, x.ndim());
  if (axes.empty()) return x;
  Array kept;  // reduced axes of size 1
  if (axes.size() != 1 && tracing_shapeless())
    return composed("logsumexp", {x},
                    [axis, keepdims](Inputs in) { return logsumexp(in[0], axis, keepdims); });
  if (axes.size() == 1)
    kept = bind(logsumexp_op, {x}, one_axis(axis, axes));
  else
    kept = expand_dims(
        squeeze(bind(logsumexp_op, {join_axes(x, axes).rows}, SoftmaxAttrs{-1}), Dims{-1}), axes);
  return keepdims ? kept : squeeze(kept, axes);
}

namespace {

constinit const Function softmax_function =
    function<&softmax>("softmax", "a, /, axis=None, *, precise=False",
                       R"(exp(a) / sum(exp(a)) along `axis`: positive numbers that add up to 1.

The largest element is subtracted first, so that nothing overflows. Half types compute in float32 and
round once, whether `precise` or not; integers give float32. A row of -inf gives nan. Differentiable.

Args:
    a: Array of real numbers.
    axis: An axis, a sequence of axes, or None for all of them.
    precise: Accepted for compatibility; always granted.

Raises:
    ValueError: if `a` is complex, or an axis is out of range or named twice.

>>> softmax(array([0.0, 0.0]))
array([0.5, 0.5], dtype=float32)
)");
constinit const Function log_softmax_function =
    function<&log_softmax>("log_softmax", "a, /, axis=None",
                           R"(log(softmax(a, axis)), without rounding small probabilities to 0.

>>> log_softmax(array([0.0, 0.0]))
array([-0.693147, -0.693147], dtype=float32)
)");
constinit const Function logsumexp_function =
    function<&logsumexp>("logsumexp", "a, /, axis=None, keepdims=False",
                         R"(log(sum(exp(a))) along `axis`, without overflow.

Integers give float32. -inf where all elements are -inf. Differentiable.

Raises:
    ValueError: if there is no element, if `a` is complex, or an axis is out of range or named twice.

>>> logsumexp(array([0.0, 0.0]))
array(0.693147, dtype=float32)
)");

}  // namespace

void register_cross_entropy(Registry& r);

void register_softmax(Registry& r) {
  for (const Op* op : {&softmax_op, &log_softmax_op, &logsumexp_op, &softmax_vjp_op,
                       &log_softmax_vjp_op, &softmax_axes_op, &log_softmax_axes_op})
    r.add(*op);
  for (const Function* f : {&softmax_function, &log_softmax_function, &logsumexp_function})
    r.add(*f);
  register_cross_entropy(r);
}

}  // namespace legato
