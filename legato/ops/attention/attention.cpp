// Attention: its meaning in terms of matmul and softmax, and what follows from it.
#include "legato/ops/attention/attention.h"

#include <limits>
#include <string_view>

#include "legato/op/algebra.h"
#include "legato/op/composed.h"
#include "legato/op/registry.h"
#include "legato/ops/attention/ops.h"
#include "legato/ops/concat/concat.h"
#include "legato/ops/create/create.h"
#include "legato/ops/matmul/matmul.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/reduce/reduce.h"
#include "legato/ops/shape/shape.h"
#include "legato/ops/softmax/ops.h"
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

// --- shapes
// ---------------------------------------------------------------------------------------

void check_shapes(const Shape& q, const Shape& k, const Shape& v) {
  if (q.size() != 4 || k.size() != 4 || v.size() != 4 || q[0] != k[0] || k[0] != v[0] ||
      q[3] != k[3] || k[2] != v[2] || k[1] != v[1] || k[1] == 0 || q[1] % k[1] != 0)
    throw ValueError(
        cat(kName, ": shapes do not fit: q is ", q, ", k ", k, ", v ", v,
            "; expected (B, Hq, L, D), (B, Hkv, S, D), (B, Hkv, S, Dv) with Hq a multiple of Hkv"));
}

void check_mask(const Shape& mask, const Shape& q, const Shape& k) {
  const Shape scores{q[0], q[1], q[2], k[2]};
  if (broadcast_shapes(kName, mask, scores) != scores)
    throw ValueError(
        cat(kName, ": the mask of shape ", mask, " does not broadcast to the scores' ", scores));
}

void check_inputs(Inference& in) {
  check_shapes(in.shape(0), in.shape(1), in.shape(2));
  const auto& attrs = in.attrs<AttentionAttrs>();
  if (attrs.has_mask) check_mask(in.shape(3), in.shape(0), in.shape(1));
}

void infer(Inference& in) {
  check_inputs(in);
  Shape out = in.shape(0);
  out[3] = in.shape(2)[3];
  in.result(out, in.dtype());
  if (!in.attrs<AttentionAttrs>().keeps_sums) return;
  out[3] = 2;
  in.result(out, compute_dtype(in.dtype()), 1);
}

int count_outputs(std::span<const Array>, const void* attrs) {
  return static_cast<const AttentionAttrs*>(attrs)->keeps_sums ? 2 : 1;
}

void infer_vjp(Inference& in) {
  check_inputs(in);
  for (int i = 0; i < 3; ++i) in.result(in.shape(i), in.dtype(), i);
}

// --- meaning
// --------------------------------------------------------------------------------------

// The inputs by name; arrays that are not there are null.
struct Operands {
  Array q, k, v, mask, sinks;
  const AttentionAttrs& attrs;

  Operands(Inputs in, const AttentionAttrs& a) : q(in[0]), k(in[1]), v(in[2]), attrs(a) {
    size_t next = 3;
    if (a.has_mask) mask = in[next++];
    if (a.has_sinks) sinks = in[next];
  }
  Dtype dtype() const { return q.dtype(); }
  Dtype compute() const { return compute_dtype(q.dtype()); }
  int64_t batch() const { return q.shape()[0]; }
  int64_t heads() const { return q.shape()[1]; }
  int64_t length() const { return q.shape()[2]; }
  int64_t kv_heads() const { return k.shape()[1]; }
  int64_t keys() const { return k.shape()[2]; }
  int64_t group() const { return heads() / kv_heads(); }
  /// (B, Hq, L, n) as (B, Hkv, Hq / Hkv, L, n).
  Array grouped(const Array& a) const {
    return reshape(a, {batch(), kv_heads(), group(), length(), a.shape()[3]});
  }
  Array joined(const Array& a) const {
    return reshape(a, {batch(), heads(), length(), a.shape()[4]});
  }
  /// A mask over (B, Hq, L, S) as one over (B, Hkv, Hq / Hkv, L, S).
  Array grouped_mask(const Array& m) const {
    Shape s = m.shape();
    if (s.size() < 3) return m;
    size_t axis = s.size() - 3;
    bool one = s[axis] == 1;
    s[axis] = one ? 1 : kv_heads();
    s.insert(axis + 1, one ? 1 : group());
    return reshape(m, s);
  }
  Array scaled_queries(const Array& x) const {
    return grouped(multiply(astype(x, compute()), attrs.scale));
  }
  Array transposed_keys(const Array& x) const {
    return expand_dims(swapaxes(astype(x, compute()), -1, -2), {2});
  }
  Array values(const Array& x) const { return expand_dims(astype(x, compute()), {2}); }
  Array sink_column(const Array& x) const {
    return broadcast_to(reshape(x, {x.shape()[0], kv_heads(), group(), 1, 1}),
                        {batch(), kv_heads(), group(), length(), 1});
  }
  /// Which scores stay as they are; null: all.
  Array kept() const {
    if (attrs.causal) {
      Array row = reshape(arange(Scalar(length())), {length(), 1}), column = arange(Scalar(keys()));
      return greater_equal(add(row, keys() - length()), column);
    }
    return mask && is_bool(mask.dtype()) ? grouped_mask(mask) : Array();
  }
};

Array joined_columns(const Array& a, const Array& b) {
  std::vector<Array> parts{a, b};
  return concatenate(parts, -1);
}

// What the forward pass knows at its end; the sinks are the last column of the weights.
struct Weights {
  Array queries, keys, kept, scores, all;
  Array of_keys(const Operands& o) const {
    return o.sinks ? split_at(all, {o.keys()}, -1)[0] : all;
  }
};

Weights weigh(const Operands& o) {
  Weights w{o.scaled_queries(o.q), o.transposed_keys(o.k), o.kept(), {}, {}};
  Array& scores = w.scores;
  scores = matmul(w.queries, w.keys);
  if (w.kept)
    scores = where(w.kept, scores, excluded(o.compute()));
  else if (o.mask)
    scores = add(scores, astype(o.grouped_mask(o.mask), o.compute()));
  if (o.sinks) scores = joined_columns(scores, o.sink_column(astype(o.sinks, o.compute())));
  w.all = softmax(scores, Axes(Dims{-1}));
  return w;
}

Array attend(const Operands& o, const Weights& w) {
  return astype(o.joined(matmul(w.of_keys(o), o.values(o.v))), o.dtype());
}

// The largest weight is that of the largest score: the inverse of the sum.
Array sums_of(const Operands& o, const Weights& w) {
  if (w.scores.shape()[4] == 0) return zeros({o.batch(), o.heads(), o.length(), 2}, o.compute());
  const Axes last(Dims{-1});
  Array most = max(w.scores, last, true);
  // As the kernels say of a row that a causal mask leaves no key: its scores are all alike.
  if (o.attrs.causal && !o.sinks && o.attrs.scale > 0 && o.keys() < o.length())
    most = where(equal(most, excluded(o.compute())), 0.0, most);
  return o.joined(joined_columns(most, max(w.all, last, true)));
}

void expand(const Call& c, std::span<Array> out) {
  const Operands o(c.inputs(), c.attrs<AttentionAttrs>());
  const Weights w = weigh(o);
  out[0] = attend(o, w);
  if (o.attrs.keeps_sums) out[1] = sums_of(o, w);
}

// --- derivatives
// ----------------------------------------------------------------------------------

Array derive_softmax(const Array& weights, const Array& direction) {
  return bind(softmax_vjp_op, {weights, direction}, SoftmaxAttrs{-1});
}

// The derivative with respect to a score that is kept: zero where another number stands for it.
Array of_kept(const Array& kept, const Array& d) { return kept ? where(kept, d, 0.0) : d; }

// The cotangents of q, k, v, the mask and the sinks, of the last two as far as asked for.
void pull_back(const Operands& o, const Array& cotangent, bool of_mask, bool of_sinks,
               std::span<Array> result) {
  const Weights w = weigh(o);
  const Array weights = w.of_keys(o), values = o.values(o.v);
  const Array g = o.grouped(astype(cotangent, o.compute()));
  Array d = matmul(g, swapaxes(values, -1, -2));
  result[2] = algebra::sum_to_shape(matmul(swapaxes(weights, -1, -2), g), values.shape());
  if (o.sinks) d = joined_columns(d, zeros_like(o.sink_column(astype(o.sinks, o.compute()))));
  d = derive_softmax(w.all, d);
  if (o.sinks) {
    std::vector<Array> parts = split_at(d, {o.keys()}, -1);
    d = parts[0];
    if (of_sinks)
      result[o.mask ? 4 : 3] =
          algebra::sum_to_shape(reshape(parts[1], {o.batch(), o.heads(), o.length()}),
                                Shape{o.sinks.shape()[0], o.heads(), 1});
  }
  if (of_mask) {
    const Shape shape = o.grouped_mask(o.mask).shape();
    result[3] = reshape(algebra::sum_to_shape(d, shape), o.mask.shape());
  }
  d = of_kept(w.kept, d);
  result[0] = multiply(o.joined(matmul(d, swapaxes(w.keys, -1, -2))), o.attrs.scale);
  result[1] = swapaxes(
      algebra::sum_to_shape(matmul(swapaxes(w.queries, -1, -2), d), w.keys.shape()), -1, -2);
  result[1] = astype(reshape(result[1], o.k.shape()), o.dtype());
  result[2] = astype(reshape(result[2], o.v.shape()), o.dtype());
  result[0] = astype(result[0], o.dtype());
}

void expand_vjp(const Call& c, std::span<Array> out) {
  const Operands o(c.inputs(), c.attrs<AttentionAttrs>());
  pull_back(o, c.inputs().back(), false, false, out);
}

// Of the sinks: their weight does not meet a value. From the outputs of an op with keeps_sums.
Array derive_sinks(const Operands& o, const Array& result, const Array& sums,
                   const Array& cotangent) {
  const std::vector<Array> parts = split_at(sums, {1}, -1);  // (B, Hq, L, 1)
  const Array sinks = astype(reshape(o.sinks, {o.sinks.shape()[0], o.heads(), 1, 1}), o.compute());
  const Array weights = multiply(exp(subtract(sinks, parts[0])), parts[1]);
  const Array inner = sum(multiply(astype(result, o.compute()), astype(cotangent, o.compute())),
                          Axes(Dims{-1}), true);
  return reshape(negative(algebra::sum_to_shape(multiply(weights, inner), sinks.shape())),
                 o.sinks.shape());
}

// The op of the derivative serves where nothing is asked of the mask, as kernels know it.
void vjp_rule(const Call& c, std::span<const Array> cotangents, std::span<Array> result) {
  const auto& attrs = c.attrs<AttentionAttrs>();
  const Operands o(c.inputs(), attrs);
  const int sinks_at = attrs.has_mask ? 4 : 3;
  const bool of_mask = attrs.has_mask && !is_bool(o.mask.dtype()) && c.wanted(3);
  if (of_mask || (attrs.has_sinks && !attrs.keeps_sums)) {
    pull_back(o, cotangents[0], of_mask, true, result);
    if (o.sinks) result[sinks_at] = reshape(result[sinks_at], o.sinks.shape());
    return;
  }
  std::vector<Array> in(c.inputs().begin(), c.inputs().end());
  if (attrs.keeps_sums) in.insert(in.end(), {c.out(0), c.out(1)});
  in.push_back(cotangents[0]);
  const Op& op = &c.op() == &small_attention_op ? small_attention_vjp_op : attention_vjp_op;
  std::vector<Array> d = bind_all(op, in, &attrs);
  for (size_t i = 0; i < d.size(); ++i) result[i] = std::move(d[i]);
  if (attrs.has_sinks && c.wanted(sinks_at))
    result[sinks_at] = derive_sinks(o, c.out(0), c.out(1), cotangents[0]);
}

void jvp_rule(const Call& c, std::span<const Array> tangents, std::span<Array> result) {
  const auto& attrs = c.attrs<AttentionAttrs>();
  const Operands o(c.inputs(), attrs);
  const Weights w = weigh(o);
  auto sum = [](const Array& a, Array&& b) { return a ? add(a, b) : std::move(b); };
  Array d;  // of the scores
  if (tangents[0]) d = matmul(o.scaled_queries(tangents[0]), w.keys);
  if (tangents[1]) d = sum(d, matmul(w.queries, o.transposed_keys(tangents[1])));
  if (d) d = of_kept(w.kept, d);
  const bool added = attrs.has_mask && !w.kept;
  if (added && tangents[3]) {
    Array of_mask = astype(o.grouped_mask(tangents[3]), o.compute());
    d = sum(d, broadcast_to(of_mask, {o.batch(), o.kv_heads(), o.group(), o.length(), o.keys()}));
  }
  const Array of_sinks = attrs.has_sinks ? tangents[attrs.has_mask ? 4 : 3] : Array();
  if (attrs.has_sinks && (d || of_sinks)) {
    const Array column =
        o.sink_column(of_sinks ? astype(of_sinks, o.compute()) : zeros_like(o.sinks, o.compute()));
    if (!d) d = zeros({o.batch(), o.kv_heads(), o.group(), o.length(), o.keys()}, o.compute());
    d = joined_columns(d, column);
  }
  Array mixed;
  if (d) {
    d = derive_softmax(w.all, d);
    mixed = matmul(o.sinks ? split_at(d, {o.keys()}, -1)[0] : d, o.values(o.v));
  }
  if (tangents[2]) mixed = sum(mixed, matmul(w.of_keys(o), o.values(tangents[2])));
  if (mixed) result[0] = astype(o.joined(mixed), o.dtype());
}

// --- batching
// -------------------------------------------------------------------------------------

// The batch axis joins the one that is there.
void batch(const BatchedCall& c, std::span<Array> out) {
  const auto& attrs = c.attrs<AttentionAttrs>();
  Array in[8];
  const size_t n = c.in.size();
  for (size_t i = 0; i < n; ++i) {
    const int at = static_cast<int>(i);
    const bool is_mask = attrs.has_mask && i == 3;
    const bool is_sinks = attrs.has_sinks && i == (attrs.has_mask ? 4u : 3u);
    if (!is_mask && !is_sinks) {
      in[i] = flatten(c.with_axis(at), 0, 1);
      continue;
    }
    // (n, 1 or B, ...), and without batch axes where all share one.
    const size_t rank = is_mask ? 4 : 2;
    Shape own = c.in[i].shape();
    if (c.batched[i]) own.erase(0);
    while (own.size() < rank) own.insert(0, 1);
    if (!c.batched[i] && own[0] == 1) {
      in[i] = c.in[i];
      continue;
    }
    const int64_t samples = c.in[0].shape()[c.batched[0] ? 1 : 0];
    Shape with = own;
    with.insert(0, c.batched[i] ? c.size : 1);
    Array a = reshape(c.in[i], with);
    with[0] = c.size;
    with[1] = samples;
    in[i] = flatten(broadcast_to(a, with), 0, 1);
  }
  std::vector<Array> flat = bind_all(c.op, std::span<const Array>(in, n), &attrs);
  for (size_t i = 0; i < flat.size(); ++i)
    out[i] = unflatten(flat[i], 0, {c.size, c.size ? flat[i].shape()[0] / c.size : -1});
}

}  // namespace

#define LEGATO_ATTENTION_OPS(prefix)                                                              \
  constinit const Op prefix##_op{.name = #prefix,                                                 \
                                 .attrs = &attrs_type<AttentionAttrs>,                            \
                                 .count_outputs = count_outputs,                                  \
                                 .infer = infer,                                                  \
                                 .expand = expand,                                                \
                                 .derive = Vjp(vjp_rule, jvp_rule),                               \
                                 .batch = batch};                                                 \
  constinit const Op prefix##_vjp_op {                                                            \
    .name = #prefix "_vjp", .attrs = &attrs_type<AttentionAttrs>, .n_out = 3, .infer = infer_vjp, \
    .expand = expand_vjp, .derive = ThroughExpand(), .batch = batch                               \
  }
LEGATO_ATTENTION_OPS(attention);
LEGATO_ATTENTION_OPS(small_attention);
#undef LEGATO_ATTENTION_OPS

namespace {

// Half types have kernels with tensor cores, which are better from a few dozen keys on.
bool prefers_small(const Array& q, const Array& k, const Array& v, Dtype t) {
  const int64_t queries = q.shape()[2], keys = k.shape()[2];
  if (queries * keys > (size_of(t) == 2 ? 1024 : 4096)) return false;
  return small_numbers(queries, keys, q.shape()[3], v.shape()[3]) <= kMostSmallNumbers;
}

// Whether a function is being captured whose derivative will be asked for. An op that was bound
// elsewhere and meets a derivative all the same costs its kernel another forward pass.
bool captured_for_derivative() {
  for (const CaptureMark* m = current_capture(); m; m = m->parent())
    for (const char* name : {"grad", "value_and_grad", "vjp"})
      if (std::string_view(m->transform()) == name) return true;
  return false;
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
  check_shapes(q.shape(), k.shape(), v.shape());
  const Dtype out = promote(promote(q.dtype(), k.dtype()), v.dtype());
  if (!is_floating(out)) throw ValueError(cat(kName, ": takes floating dtypes, got ", out));
  const Dtype compute = compute_dtype(out);
  AttentionAttrs attrs{.scale = scale};
  std::vector<Array> in{astype(q, out), astype(k, out), astype(v, out)};
  if (mask && !mask->text.empty()) {
    if (mask->text != "causal")
      throw ValueError(
          cat(kName, ": mask is \"", mask->text, "\"; the only word it knows is \"causal\""));
    attrs.causal = true;
  } else if (mask) {
    const Array& m = mask->array;
    check_mask(m.shape(), q.shape(), k.shape());
    if (!is_bool(m.dtype()) && promote(m.dtype(), out) != out)
      throw ValueError(
          cat(kName, ": the mask's dtype ", m.dtype(), " does not promote to the result's ", out));
    attrs.has_mask = true;
    in.push_back(is_bool(m.dtype()) || is_floating(m.dtype()) ? m : astype(m, compute));
  }
  if (sinks) {
    const int64_t heads = q.shape()[1];
    if (sinks->shape() != Shape{heads})
      throw ValueError(
          cat(kName, ": sinks need shape (", heads, ",), one a query head, got ", sinks->shape()));
    attrs.has_sinks = true;
    in.push_back(reshape(astype(*sinks, compute), {1, heads}));
  }
  if (std::max(q.shape()[3], v.shape()[3]) > kWidestHead) {
    const Operands o(in, attrs);
    return attend(o, weigh(o));
  }
  if (prefers_small(q, k, v, out)) return bind(small_attention_op, in, &attrs);
  attrs.keeps_sums = size_of(out) == 2 && captured_for_derivative();
  return bind_all(attention_op, in, &attrs)[0];
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

void register_attention(Registry& registry) {
  for (const Op* op :
       {&attention_op, &attention_vjp_op, &small_attention_op, &small_attention_vjp_op})
    registry.add(*op);
  registry.add(attention_function);
}

}  // namespace legato
