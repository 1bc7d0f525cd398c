#include "legato/nn/transformer.h"

#include <cmath>
#include <limits>

#include "legato/nn/check.h"
#include "legato/ops/attention/attention.h"
#include "legato/ops/create/create.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/shape/shape.h"

namespace legato::nn {
namespace {

int64_t or_else(int64_t given, int64_t otherwise) { return given ? given : otherwise; }

int64_t hidden(int64_t dims, const TransformerOptions& o) { return or_else(o.mlp_dims, 4 * dims); }

/// Checks before the projections are made.
int64_t checked_heads(int64_t dims, int64_t num_heads, const AttentionOptions& o) {
  check_sizes("MultiHeadAttention", {{"dims", dims}, {"num_heads", num_heads}});
  const int64_t values = or_else(o.value_dims, dims);
  if (dims % num_heads || values % num_heads)
    throw ValueError(cat("MultiHeadAttention: ", dims, " features of queries and keys and ", values,
                         " of values can't be divided among ", num_heads, " heads."));
  return num_heads;
}

Array in_heads(const Array& x, int64_t heads) {  // (B, L, heads · d) -> (B, heads, L, d)
  return swapaxes(unflatten(x, -1, {heads, -1}), -2, -3);
}

/// One layer of a stack, computed again for gradients if that is asked for.
template <class Layer, class... Masks>
Array run_layer(Layer& layer, const std::vector<Array>& in, const Masks&... masks) {
  auto call = [&](std::span<const Array> a) {
    if constexpr (sizeof...(masks) == 1)
      return std::vector<Array>{layer(a[0], masks...)};
    else
      return std::vector<Array>{layer(a[0], a[1], masks...)};
  };
  return layer.options.checkpoint ? run_checkpointed(layer, call, in)[0] : call(in)[0];
}

}  // namespace

MultiHeadAttention::MultiHeadAttention(int64_t dims, int64_t heads, const AttentionOptions& o)
    : num_heads(checked_heads(dims, heads, o)),
      query_proj(or_else(o.query_input_dims, dims), dims, o.bias),
      key_proj(or_else(o.key_input_dims, dims), dims, o.bias),
      value_proj(or_else(o.value_input_dims, or_else(o.key_input_dims, dims)),
                 or_else(o.value_dims, dims), o.bias),
      out_proj(or_else(o.value_dims, dims), or_else(o.value_output_dims, dims), o.bias) {}

Array MultiHeadAttention::operator()(const Array& queries, const Array& keys, const Array& values,
                                     const Mask& mask) const {
  const Array q = in_heads(query_proj(queries), num_heads);
  const Array k = in_heads(key_proj(keys), num_heads);
  const Array v = in_heads(value_proj(values), num_heads);
  const double scale = 1 / std::sqrt(static_cast<double>(q.shape(-1)));
  const std::optional<ArrayOrText> given =
      mask.given() ? std::optional<ArrayOrText>(mask) : std::nullopt;
  const Array y = swapaxes(scaled_dot_product_attention(q, k, v, scale, given), -2, -3);
  return out_proj(flatten(y, -2, -1));
}

Array MultiHeadAttention::create_additive_causal_mask(int64_t n, Dtype dtype) {
  const Array positions = arange(Scalar(n));
  const Array later = less(expand_dims(positions, {1}), expand_dims(positions, {0}));
  const double lowest = dtype == Dtype::float16   ? -65504.0
                        : dtype == Dtype::float64 ? std::numeric_limits<double>::lowest()
                        : dtype == Dtype::bfloat16
                            ? -3.3895313892515355e38
                            : static_cast<double>(std::numeric_limits<float>::lowest());
  return astype(later, dtype) * lowest;
}

TransformerEncoderLayer::TransformerEncoderLayer(int64_t dims, int64_t num_heads,
                                                 const TransformerOptions& o)
    : attention(dims, num_heads),
      ln1(dims),
      ln2(dims),
      linear1(dims, hidden(dims, o)),
      linear2(hidden(dims, o), dims),
      dropout1(o.dropout),
      dropout2(o.dropout),
      options(o) {}

Array TransformerEncoderLayer::operator()(const Array& input, const Mask& mask) const {
  auto attend = [&](const Array& x) { return dropout1(attention(x, x, x, mask)); };
  auto perceptron = [&](const Array& x) {
    return linear2(dropout2(options.activation(linear1(x))));
  };
  Array x = input;
  if (options.norm_first) {
    x += attend(ln1(x));
    return x + perceptron(ln2(x));
  }
  x = ln1(x + attend(x));
  return ln2(x + perceptron(x));
}

TransformerEncoder::TransformerEncoder(int64_t num_layers, int64_t dims, int64_t num_heads,
                                       const TransformerOptions& o)
    : ln(dims) {
  for (int64_t i = 0; i < num_layers; ++i) layers.emplace_back(dims, num_heads, o);
}

Array TransformerEncoder::operator()(const Array& input, const Mask& mask) {
  Array x = input;
  for (TransformerEncoderLayer& layer : layers) x = run_layer(layer, {x}, mask);
  return ln(x);
}

TransformerDecoderLayer::TransformerDecoderLayer(int64_t dims, int64_t num_heads,
                                                 const TransformerOptions& o)
    : self_attention(dims, num_heads),
      cross_attention(dims, num_heads),
      ln1(dims),
      ln2(dims),
      ln3(dims),
      linear1(dims, hidden(dims, o)),
      linear2(hidden(dims, o), dims),
      dropout1(o.dropout),
      dropout2(o.dropout),
      dropout3(o.dropout),
      options(o) {}

Array TransformerDecoderLayer::operator()(const Array& input, const Array& memory,
                                          const Mask& x_mask, const Mask& memory_mask) const {
  auto attend = [&](const Array& x) { return dropout1(self_attention(x, x, x, x_mask)); };
  auto attend_to_memory = [&](const Array& x) {
    return dropout2(cross_attention(x, memory, memory, memory_mask));
  };
  auto perceptron = [&](const Array& x) {
    return linear2(dropout3(options.activation(linear1(x))));
  };
  Array x = input;
  if (options.norm_first) {
    x += attend(ln1(x));
    x += attend_to_memory(ln2(x));
    return x + perceptron(ln3(x));
  }
  x = ln1(x + attend(x));
  x = ln2(x + attend_to_memory(x));
  return ln3(x + perceptron(x));
}

TransformerDecoder::TransformerDecoder(int64_t num_layers, int64_t dims, int64_t num_heads,
                                       const TransformerOptions& o)
    : ln(dims) {
  for (int64_t i = 0; i < num_layers; ++i) layers.emplace_back(dims, num_heads, o);
}

Array TransformerDecoder::operator()(const Array& input, const Array& memory, const Mask& x_mask,
                                     const Mask& memory_mask) {
  Array x = input;
  for (TransformerDecoderLayer& layer : layers)
    x = run_layer(layer, {x, memory}, x_mask, memory_mask);
  return ln(x);
}

Transformer::Transformer(int64_t dims, int64_t num_heads, int64_t num_encoder_layers,
                         int64_t num_decoder_layers, const TransformerOptions& o)
    : encoder(num_encoder_layers, dims, num_heads, o),
      decoder(num_decoder_layers, dims, num_heads, o) {}

Array Transformer::operator()(const Array& src, const Array& tgt, const Mask& src_mask,
                              const Mask& tgt_mask, const Mask& memory_mask) {
  return decoder(tgt, encoder(src, src_mask), tgt_mask, memory_mask);
}

}  // namespace legato::nn
