// The op records of the family, for its kernels.
#pragma once

#include "legato/op/op.h"

namespace legato {

/// Inputs: q (B, Hq, L, D), k (B, Hkv, S, D) and v (B, Hkv, S, Dv) of one floating dtype; the mask,
/// which broadcasts to (B, Hq, L, S), and the sinks, (1 or B, Hq), as far as they are there. A mask
/// that is not bool is added; it and the sinks are floating.
struct AttentionAttrs {
  double scale = 1;
  bool causal = false;  // aligned at the last key
  bool has_mask = false, has_sinks = false;
  bool keeps_sums = false;  // see attention_op and attention_vjp_op
  static constexpr auto fields() {
    return std::tuple(field("scale", &AttentionAttrs::scale),
                      field("causal", &AttentionAttrs::causal),
                      field("has_mask", &AttentionAttrs::has_mask),
                      field("has_sinks", &AttentionAttrs::has_sinks),
                      field("keeps_sums", &AttentionAttrs::keeps_sums));
  }
};

/// The widest heads (D and Dv) that the ops take; wider ones are composed of other ops at once.
inline constexpr int64_t kWidestHead = 256;

/// The numbers that concern one head of the keys, with its derivative.
inline int64_t small_numbers(int64_t queries, int64_t keys, int64_t width, int64_t value_width) {
  return (2 * keys + queries) * (width + value_width + 2) + 2 * queries * (keys + 1);
}
/// How many of them fit the shared memory of a block on any GPU, in float32.
inline constexpr int64_t kMostSmallNumbers = 24 << 10;

/// With keeps_sums, which is bound where a derivative is likely to follow, a second output: the
/// maximum of each row of scores and the inverse of its sum of exponentials, (B, Hq, L, 2).
extern const Op attention_op;
/// The inputs of attention; with keeps_sums its outputs; then the cotangent of its first output.
/// Gives the cotangents of q, k and v.
extern const Op attention_vjp_op;
/// The same ops, bound for at most kMostSmallNumbers: a block does a head alone.
extern const Op small_attention_op, small_attention_vjp_op;

}  // namespace legato
