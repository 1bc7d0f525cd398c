// Attention and the transformer of Vaswani et al., 2017.
#pragma once

#include <string>

#include "legato/nn/activations.h"
#include "legato/nn/layers.h"

namespace legato::nn {

/// Where attention may look: everywhere (by default), "causal" (at no later position), or an array
/// that broadcasts with (B, heads, L, S), boolean (true where to look) or added to the scores.
struct LEGATO_API Mask : ArrayOrText {
  Mask() = default;
  Mask(const Array& mask) : ArrayOrText{mask, {}} {}
  Mask(const char* word) : ArrayOrText{{}, word} {}
  Mask(std::string word) : ArrayOrText{{}, std::move(word)} {}
  bool given() const { return array || !text.empty(); }
};

struct AttentionOptions {
  // Numbers of features; 0 for the default.
  int64_t query_input_dims = 0;   // dims
  int64_t key_input_dims = 0;     // dims
  int64_t value_input_dims = 0;   // that of the keys
  int64_t value_dims = 0;         // of the values of all heads together: dims
  int64_t value_output_dims = 0;  // dims
  bool bias = false;              // of the projections
};
/// Attention with several heads, softmax(Q Kᵀ / √d + mask) V for each, on learned projections:
/// queries (B, L, .), keys and values (B, S, .) to (B, L, value_output_dims). ValueError unless
/// `num_heads` divides dims and value_dims.
struct LEGATO_API MultiHeadAttention : Module {
  int64_t num_heads;
  Linear query_proj, key_proj, value_proj, out_proj;
  MultiHeadAttention(int64_t dims, int64_t num_heads, const AttentionOptions& options = {});
  LEGATO_MEMBERS(query_proj, key_proj, value_proj, out_proj)
  Array operator()(const Array& queries, const Array& keys, const Array& values,
                   const Mask& mask = {}) const;
  /// A mask (n, n) to add to scores, with the lowest finite value where the key is later than the
  /// query.
  static Array create_additive_causal_mask(int64_t n, Dtype dtype = Dtype::float32);
};

struct TransformerOptions {
  int64_t mlp_dims = 0;  // hidden features of the perceptrons; 0 for 4 * dims
  double dropout = 0;    // probability to drop outputs of attention and hidden features
  Array (*activation)(const Array&) = &relu;
  bool norm_first = true;   // normalize before attention and perceptron, or after the residuals
  bool checkpoint = false;  // whether gradients compute layers again
};

/// Self-attention, then a perceptron, with residuals and layer norms. Maps x (B, L, dims) to the
/// same shape.
struct LEGATO_API TransformerEncoderLayer : Module {
  MultiHeadAttention attention;
  LayerNorm ln1, ln2;
  Linear linear1, linear2;
  Dropout dropout1, dropout2;
  TransformerOptions options;
  TransformerEncoderLayer(int64_t dims, int64_t num_heads, const TransformerOptions& options = {});
  LEGATO_MEMBERS(attention, ln1, ln2, linear1, linear2, dropout1, dropout2)
  Array operator()(const Array& x, const Mask& mask = {}) const;
};

/// A stack of encoder layers with a layer norm at the end.
struct LEGATO_API TransformerEncoder : Module {
  std::vector<TransformerEncoderLayer> layers;
  LayerNorm ln;
  TransformerEncoder(int64_t num_layers, int64_t dims, int64_t num_heads,
                     const TransformerOptions& options = {});
  LEGATO_MEMBERS(layers, ln)
  Array operator()(const Array& x, const Mask& mask = {});
};

/// Self-attention, attention to the memory (B, S, dims), then a perceptron.
struct LEGATO_API TransformerDecoderLayer : Module {
  MultiHeadAttention self_attention, cross_attention;
  LayerNorm ln1, ln2, ln3;
  Linear linear1, linear2;
  Dropout dropout1, dropout2, dropout3;
  TransformerOptions options;
  TransformerDecoderLayer(int64_t dims, int64_t num_heads, const TransformerOptions& options = {});
  LEGATO_MEMBERS(self_attention, cross_attention, ln1, ln2, ln3, linear1, linear2, dropout1,
                 dropout2, dropout3)
  Array operator()(const Array& x, const Array& memory, const Mask& x_mask = {},
                   const Mask& memory_mask = {}) const;
};

/// A stack of decoder layers with a layer norm at the end.
struct LEGATO_API TransformerDecoder : Module {
  std::vector<TransformerDecoderLayer> layers;
  LayerNorm ln;
  TransformerDecoder(int64_t num_layers, int64_t dims, int64_t num_heads,
                     const TransformerOptions& options = {});
  LEGATO_MEMBERS(layers, ln)
  Array operator()(const Array& x, const Array& memory, const Mask& x_mask = {},
                   const Mask& memory_mask = {});
};

/// An encoder and a decoder that attends to its output: src (B, S, dims) and tgt (B, L, dims) to
/// (B, L, dims).
struct LEGATO_API Transformer : Module {
  TransformerEncoder encoder;
  TransformerDecoder decoder;
  explicit Transformer(int64_t dims = 512, int64_t num_heads = 8, int64_t num_encoder_layers = 6,
                       int64_t num_decoder_layers = 6, const TransformerOptions& options = {});
  LEGATO_MEMBERS(encoder, decoder)
  Array operator()(const Array& src, const Array& tgt, const Mask& src_mask = {},
                   const Mask& tgt_mask = {}, const Mask& memory_mask = {});
};

}  // namespace legato::nn
