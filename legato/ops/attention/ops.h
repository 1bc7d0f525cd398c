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
  static constexpr auto fields() {
    return std::tuple(field("scale", &AttentionAttrs::scale),
                      field("causal", &AttentionAttrs::causal),
                      field("has_mask", &AttentionAttrs::has_mask),
                      field("has_sinks", &AttentionAttrs::has_sinks));
  }
};

/// The widest heads (D and Dv) that the ops take; wider ones are composed of other ops at once.
inline constexpr int64_t kWidestHead = 256;

extern const Op attention_op;
/// The inputs of attention without sinks, then the cotangent of its output; gives the cotangents of
/// q, k and v.
extern const Op attention_vjp_op;

}  // namespace legato
