// Scaled dot-product attention.
#pragma once

#include <optional>

#include "legato/array/array.h"
#include "legato/array/operand.h"

namespace legato {

/// softmax(scale * q kᵀ + mask) v, for q (B, Hq, L, D), k (B, Hkv, S, D), v (B, Hkv, S, Dv) → (B,
/// Hq, L, Dv).
///
/// Hq is a multiple of Hkv: neighbouring query heads share a key head (grouped-query attention,
/// Ainslie et al. 2023). `mask` broadcasts to (B, Hq, L, S): bool keeps where true, floating is
/// added; "causal" keeps keys up to the query's position, aligned at the end. `sinks` (Hq,) are
/// logits of one more key per head whose value is zero. Half types compute in float32 and round
/// once. Differentiable in q, k, v, sinks and an added mask. Throws ValueError for shapes or masks
/// that do not fit.
LEGATO_API Array scaled_dot_product_attention(const Array& q, const Array& k, const Array& v,
                                              double scale,
                                              const std::optional<ArrayOrText>& mask = {},
                                              const std::optional<Array>& sinks = {},
                                              bool force_fused = false);

}  // namespace legato
