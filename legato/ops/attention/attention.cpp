// Attention in terms of matmul and softmax.
#include "legato/ops/attention/attention.h"

#include <limits>

#include "legato/op/composed.h"
#include "legato/op/registry.h"
#include "legato/ops/concat/concat.h"
#include "legato/ops/create/create.h"
#include "legato/ops/matmul/matmul.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/shape/shape.h"
#include "legato/ops/softmax/softmax.h"

namespace legato {
namespace {

constexpr const char* kName = "scaled_dot_product_attention";

// What excludes a key without making a row of excluded keys nan.
Array excluded(Dtype t) {
  double lowest = t == Dtype::float64 ? std::numeric_limits<double>::lowest()
                                      : std::numeric_limits<float>::lowest();
  return literal(Scalar(lowest), t);
}

void check_shapes(const Array& q, const Array& k, const Array& v) {
  bool fits = q.ndim() == 4 && k.ndim() == 4 && v.ndim() == 4;
  if (fits) {
    const Shape &a = q.shape(), &b = k.shape(), &c = v.shape();
    fits = a[0] == b[0] && b[0] == c[0] && a[3] == b[3] && b[2] == c[2] && b[1] == c[1] &&
           b[1] > 0 && a[1] % b[1] == 0;
  }
  if (!fits)
    throw ValueError(
        cat(kName, ": shapes do not fit: q is ", q.shape(), ", k ", k.shape(), ", v ", v.shape(),
            "; expected (B, Hq, L, D), (B, Hkv, S, D), (B, Hkv, S, Dv) with Hq a multiple of Hkv"));
}

// A mask over (B, Hq, L, S) as one over (B, Hkv, Hq / Hkv, L, S).
Array grouped(const Array& mask, int64_t kv_heads, int64_t group) {
  Shape s = mask.shape();
  if (s.size() < 3) return mask;
  size_t heads = s.size() - 3;
  bool one = s[heads] == 1;
  s[heads] = one ? 1 : kv_heads;
  s.insert(heads + 1, one ? 1 : group);
  return reshape(mask, s);
}

}  // namespace

Array scaled_dot_product_attention(const Array& q, const Array& k, const Array& v, double scale,
                                   const std::optional<ArrayOrText>& mask,
                                   const std::optional<Array>& sinks, bool) {
  if (tracing_shapeless()) {
    std::vector<Array> all{q, k, v};
    const bool masked = mask && mask->text.empty();
    if (masked) all.push_back(mask->array);
    if (sinks) all.push_back(*sinks);
    return composed(
        kName, all, [=, word = mask ? mask->text : std::string(), sunk = !!sinks](Inputs in) {
          std::optional<ArrayOrText> m;
          if (masked)
            m = ArrayOrText{in[3], {}};
          else if (!word.empty())
            m = ArrayOrText{{}, word};
          return scaled_dot_product_attention(
              in[0], in[1], in[2], scale, m, sunk ? std::optional(in.back()) : std::nullopt, false);
        });
  }
  check_shapes(q, k, v);
  Dtype out = promote(promote(q.dtype(), k.dtype()), v.dtype());
  if (!is_floating(out)) throw ValueError(cat(kName, ": takes floating dtypes, got ", out));
  Dtype t = compute_dtype(out);
  int64_t batch = q.shape()[0], heads = q.shape()[1], length = q.shape()[2],
          kv_heads = k.shape()[1], keys = k.shape()[2];
  int64_t group = heads / kv_heads;
  Shape scores_shape{batch, heads, length, keys};

  Array queries =
      reshape(multiply(astype(q, t), scale), {batch, kv_heads, group, length, q.shape()[3]});
  Array scores = matmul(queries, expand_dims(swapaxes(astype(k, t), -1, -2), {2}));
  if (mask && !mask->text.empty()) {
    if (mask->text != "causal")
      throw ValueError(
          cat(kName, ": mask is \"", mask->text, "\"; the only word it knows is \"causal\""));
    Array row = reshape(arange(Scalar(length)), {length, 1}), column = arange(Scalar(keys));
    scores = where(greater_equal(add(row, keys - length), column), scores, excluded(t));
  } else if (mask) {
    const Array& m = mask->array;
    if (broadcast_shapes(kName, m.shape(), scores_shape) != scores_shape)
      throw ValueError(cat(kName, ": the mask of shape ", m.shape(),
                           " does not broadcast to the scores' ", scores_shape));
    if (!is_bool(m.dtype()) && promote(m.dtype(), out) != out)
      throw ValueError(
          cat(kName, ": the mask's dtype ", m.dtype(), " does not promote to the result's ", out));
    Array fitted = grouped(m, kv_heads, group);
    scores =
        is_bool(m.dtype()) ? where(fitted, scores, excluded(t)) : add(scores, astype(fitted, t));
  }
  if (sinks) {
    if (sinks->shape() != Shape{heads})
      throw ValueError(
          cat(kName, ": sinks need shape (", heads, ",), one a query head, got ", sinks->shape()));
    Array sink = broadcast_to(reshape(astype(*sinks, t), {1, kv_heads, group, 1, 1}),
                              {batch, kv_heads, group, length, 1});
    std::vector<Array> parts{scores, sink};
    Array weights = softmax(concatenate(parts, -1), Axes(Dims{-1}));
    scores = split_at(weights, {keys}, -1)[0];
  } else {
    scores = softmax(scores, Axes(Dims{-1}));
  }
  Array mixed = matmul(scores, expand_dims(astype(v, t), {2}));
  return astype(reshape(mixed, {batch, heads, length, v.shape()[3]}), out);
}

namespace {

constinit const Function attention_function = function<&scaled_dot_product_attention>(
    kName, "q, k, v, *, scale, mask=None, sinks=None, force_fused=False",
    R"(softmax(scale * q @ k.T + mask) @ v, for each head.

Args:
    q: Array of shape (B, Hq, L, D), floating. Differentiable.
    k: Array of shape (B, Hkv, S, D); Hq is a multiple of Hkv. Differentiable.
    v: Array of shape (B, Hkv, S, Dv). Differentiable.
    scale: Factor of the scores, usually D ** -0.5.
    mask: None; "causal", aligned at the last key; a bool array that keeps where True; or an array
        that is added. Arrays broadcast to (B, Hq, L, S).
    sinks: Logits of shape (Hq,) of one more key per head whose value is zero.
    force_fused: Accepted for compatibility.

Returns:
    Array of shape (B, Hq, L, Dv). Half types compute in float32 and round once.

Raises:
    ValueError: if shapes, dtypes or the mask do not fit.

>>> q = ones((1, 1, 2, 4))
>>> fast.scaled_dot_product_attention(q, q, q, scale=0.5).shape
(1, 1, 2, 4)
)",
    "fast");

}  // namespace

void register_attention(Registry& registry) { registry.add(attention_function); }

}  // namespace legato
