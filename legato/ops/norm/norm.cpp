#include "legato/ops/norm/norm.h"

#include "legato/op/function.h"
#include "legato/op/registry.h"
#include "legato/ops/create/create.h"
#include "legato/ops/norm/ops.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/reduce/reduce.h"
#include "legato/ops/shape/shape.h"

namespace legato {
namespace {

// --- shapes
// ---------------------------------------------------------------------------------------

void check_x(const char* op, const Shape& shape, Dtype dtype, int64_t groups) {
  if (!is_floating(dtype))
    throw ValueError(cat(op, ": the dtype is ", dtype, "; expected a floating one."));
  const size_t least = groups ? 2 : 1;
  if (shape.size() < least)
    throw ValueError(cat(op, ": x has shape ", shape, "; expected at least ", least,
                         groups ? " dimensions." : " dimension."));
  if (groups && (groups < 0 || shape.back() % groups != 0))
    throw ValueError(cat(op, ": ", shape.back(), " channels (the last axis of ", shape,
                         ") do not divide into ", groups, " groups."));
}

void infer(Inference& in) {
  check_x(in.name(), in.shape(), in.dtype(), in.attrs<NormAttrs>().groups);
  const int64_t channels = in.shape().back();
  for (int i = 1; i < in.n_in(); ++i)
    if (in.shape(i).size() != 1 || in.shape(i)[0] != channels)
      throw ValueError(cat(in.name(), ": ",
                           i == 1 && in.attrs<NormAttrs>().has_weight ? "weight" : "bias",
                           " has shape ", in.shape(i), "; expected (", channels,
                           ",), the last axis of x ", in.shape(), "."));
  in.result(in.shape(), in.dtype());
}

int count_cotangents(std::span<const Array>, const void* raw) {
  const auto& attrs = *static_cast<const NormAttrs*>(raw);
  return 1 + attrs.has_weight + attrs.has_bias;
}
void infer_vjp(Inference& in) {
  check_x(in.name(), in.shape(), in.dtype(), in.attrs<NormAttrs>().groups);
  in.result(in.shape(), in.dtype(), 0);
  for (int i = 1; i < in.n_out(); ++i) in.result(Shape{in.shape().back()}, in.dtype(), i);
}

// --- meaning
// --------------------------------------------------------------------------------------

// Every norm is (x - mean) * scale, with statistics over some axes of a view of x: (..., C) itself,
// or (N, positions, groups, channels of a group).
struct Statistics {
  Shape view;
  Dims axes;
  bool centred;
};
Statistics statistics(const Op& op, const NormAttrs& attrs, const Shape& x) {
  if (!attrs.groups) return {x, Dims{-1}, &op != &rms_norm_op && &op != &rms_norm_vjp_op};
  int64_t positions = 1;
  for (size_t i = 1; i + 1 < x.size(); ++i) positions *= x[i];
  return {Shape{x[0], positions, attrs.groups, x.back() / attrs.groups}, Dims{1, 3}, true};
}

struct Normalized {
  Array xhat, scale;  // in the shape of the view
};
Normalized normalize(const Array& x, const Statistics& s, double eps) {
  Array v = reshape(x, s.view);
  if (s.centred) v = subtract(v, mean(v, s.axes, true));
  Array scale = rsqrt(add(mean(square(v), s.axes, true), eps));
  return {multiply(v, scale), scale};
}

void expand(const Call& c, std::span<Array> out) {
  const auto& attrs = c.attrs<NormAttrs>();
  const Dtype compute = compute_dtype(c.in().dtype());
  const Statistics s = statistics(c.op(), attrs, c.in().shape());
  Array y = reshape(normalize(astype(c.in(), compute), s, attrs.eps).xhat, c.in().shape());
  int next = 1;
  if (attrs.has_weight) y = multiply(y, astype(c.in(next++), compute));
  if (attrs.has_bias) y = add(y, astype(c.in(next), compute));
  out[0] = astype(y, c.in().dtype());
}

void expand_vjp(const Call& c, std::span<Array> out) {
  const auto& attrs = c.attrs<NormAttrs>();
  const Dtype dtype = c.in().dtype(), compute = compute_dtype(dtype);
  const Shape& shape = c.in().shape();
  const Statistics s = statistics(c.op(), attrs, shape);
  Normalized k = normalize(astype(c.in(), compute), s, attrs.eps);
  Array g = astype(c.in(attrs.has_weight ? 2 : 1), compute);
  Array wg = reshape(attrs.has_weight ? multiply(g, astype(c.in(1), compute)) : g, s.view);
  Array d = subtract(wg, multiply(k.xhat, mean(multiply(wg, k.xhat), s.axes, true)));
  if (s.centred) d = subtract(d, mean(wg, s.axes, true));
  out[0] = astype(reshape(multiply(k.scale, d), shape), dtype);
  Dims rows;
  for (size_t i = 0; i + 1 < shape.size(); ++i) rows.push_back(static_cast<int64_t>(i));
  size_t next = 1;
  if (attrs.has_weight) out[next++] = astype(sum(multiply(g, reshape(k.xhat, shape)), rows), dtype);
  if (attrs.has_bias) out[next] = astype(sum(g, rows), dtype);
}

// --- rules
// ----------------------------------------------------------------------------------------

template <const Op& vjp_op>
void vjp_rule(const Call& c, std::span<const Array> cotangents, std::span<Array> result) {
  const auto& attrs = c.attrs<NormAttrs>();
  Array in[3] = {c.in()};
  size_t n = 1;
  if (attrs.has_weight) in[n++] = c.in(1);
  in[n++] = cotangents[0];
  std::vector<Array> d = bind_all(vjp_op, std::span<const Array>(in, n), &attrs);
  for (size_t i = 0; i < d.size(); ++i) result[i] = std::move(d[i]);
}

// A batch axis of x is one more axis of rows or samples. Batched weights multiply afterwards.
void batch(const BatchedCall& c, std::span<Array> out) {
  const auto& attrs = c.attrs<NormAttrs>();
  Array x = c.with_axis(0);
  const Shape shape = x.shape();
  auto flat = [&](const Array& a) { return attrs.groups ? flatten(a, 0, 1) : a; };
  bool shared = true;
  for (size_t i = 1; i < c.in.size(); ++i) shared = shared && !c.batched[i];
  if (shared) {
    Array in[3] = {flat(x)};
    for (size_t i = 1; i < c.in.size(); ++i) in[i] = c.in[i];
    out[0] = reshape(bind(c.op, std::span<const Array>(in, c.in.size()), &attrs), shape);
    return;
  }
  NormAttrs plain{attrs.eps, false, false, attrs.groups};
  Array y = reshape(bind(c.op, {flat(x)}, plain), shape);
  auto parameter = [&](int i) {  // (B, C) -> (B, 1, ..., C)
    Shape s = Dims::filled(shape.size(), 1);
    s[0] = shape[0];
    s.back() = shape.back();
    return reshape(c.with_axis(i), s);
  };
  int next = 1;
  if (attrs.has_weight) y = multiply(y, parameter(next++));
  if (attrs.has_bias) y = add(y, parameter(next));
  out[0] = y;
}

}  // namespace

#define LEGATO_NORM_VJP_OP(op_name)                                                       \
  constinit const Op op_name##_op {                                                       \
    .name = #op_name, .attrs = &attrs_type<NormAttrs>, .count_outputs = count_cotangents, \
    .infer = infer_vjp, .expand = expand_vjp, .derive = ThroughExpand()                   \
  }
LEGATO_NORM_VJP_OP(layer_norm_vjp);
LEGATO_NORM_VJP_OP(rms_norm_vjp);
LEGATO_NORM_VJP_OP(group_norm_vjp);
#undef LEGATO_NORM_VJP_OP

#define LEGATO_NORM_OP(op_name)                                                          \
  constinit const Op op_name##_op {                                                      \
    .name = #op_name, .attrs = &attrs_type<NormAttrs>, .infer = infer, .expand = expand, \
    .derive = Vjp(vjp_rule<op_name##_vjp_op>), .batch = batch                            \
  }
LEGATO_NORM_OP(layer_norm);
LEGATO_NORM_OP(rms_norm);
LEGATO_NORM_OP(group_norm);
#undef LEGATO_NORM_OP

namespace {

Array bind_norm(const Op& op, const Array& x, const std::optional<Array>& weight,
                const std::optional<Array>& bias, double eps, int64_t groups) {
  Dtype dtype = x.dtype();
  if (weight) dtype = promote(dtype, weight->dtype());
  if (bias) dtype = promote(dtype, bias->dtype());
  Array in[3] = {astype(x, dtype)};
  size_t n = 1;
  if (weight) in[n++] = astype(*weight, dtype);
  if (bias) in[n++] = astype(*bias, dtype);
  NormAttrs attrs{eps, weight.has_value(), bias.has_value(), groups};
  return bind(op, std::span<const Array>(in, n), &attrs);
}

}  // namespace

Array layer_norm(const Array& x, const std::optional<Array>& weight,
                 const std::optional<Array>& bias, double eps) {
  return bind_norm(layer_norm_op, x, weight, bias, eps, 0);
}
Array rms_norm(const Array& x, const std::optional<Array>& weight, double eps) {
  return bind_norm(rms_norm_op, x, weight, std::nullopt, eps, 0);
}
Array group_norm(const Array& x, int num_groups, const std::optional<Array>& weight,
                 const std::optional<Array>& bias, double eps) {
  if (num_groups < 1)
    throw ValueError(cat("group_norm: num_groups is ", num_groups, "; expected at least 1."));
  return bind_norm(group_norm_op, x, weight, bias, eps, num_groups);
}

namespace {

constinit const Function layer_norm_function =
    function<&layer_norm>("layer_norm", "x, weight, bias, eps",
                          R"((x - mean) / sqrt(var + eps) * weight + bias over the last axis.

Args:
    x: Floating array of shape (..., C).
    weight: Array of shape (C,), or None for ones.
    bias: Array of shape (C,), or None for zeros.
    eps: Added to the variance, which divides by C.

Returns:
    Array of the shape of `x`, in the dtype in which the arguments meet. Half types compute in float32.
    Differentiable in x, weight and bias.

Raises:
    ValueError: if a shape does not match, or x is not floating.

>>> fast.layer_norm(array([[1.0, 3.0]]), None, None, 0.0)
array([[-1, 1]], dtype=float32)
)",
                          "fast");
constinit const Function rms_norm_function =
    function<&rms_norm>("rms_norm", "x, weight, eps",
                        R"(x / sqrt(mean(x**2) + eps) * weight over the last axis.

Args:
    x: Floating array of shape (..., C).
    weight: Array of shape (C,), or None for ones.
    eps: Added to the mean of the squares.

Returns:
    Array of the shape of `x`, in the dtype in which the arguments meet. Half types compute in float32.
    Differentiable in x and weight.

>>> fast.rms_norm(array([2.0, 2.0]), None, 0.0)
array([1, 1], dtype=float32)
)",
                        "fast");
constinit const Function group_norm_function =
    function<&group_norm>("group_norm", "x, num_groups, weight=None, bias=None, eps=1e-05",
                          R"(Layer norm over groups of channels and all positions.

Args:
    x: Floating array of shape (N, ..., C), channels last.
    num_groups: Number of groups of neighbouring channels; must divide C.
    weight: Array of shape (C,), or None for ones.
    bias: Array of shape (C,), or None for zeros.
    eps: Added to the variance, which divides by the number of elements of a group.

Returns:
    Array of the shape of `x`: the numbers of PyTorch's group norm. Half types compute in float32.
    Differentiable in x, weight and bias.

Raises:
    ValueError: if num_groups does not divide C, a shape does not match, or x is not floating.

>>> fast.group_norm(array([[1.0, 3.0, 10.0, 30.0]]), 2, eps=0.0)
array([[-1, 1, -1, 1]], dtype=float32)
)",
                          "fast");

}  // namespace

void register_norm(Registry& r) {
  for (const Op* op : {&layer_norm_op, &rms_norm_op, &group_norm_op, &layer_norm_vjp_op,
                       &rms_norm_vjp_op, &group_norm_vjp_op})
    r.add(*op);
  for (const Function* f : {&layer_norm_function, &rms_norm_function, &group_norm_function})
    r.add(*f);
}

}  // namespace legato
