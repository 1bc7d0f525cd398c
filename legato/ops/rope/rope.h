// Rotary position embedding.
#pragma once

#include <optional>

#include "legato/array/array.h"
#include "legato/array/operand.h"

namespace legato {

/// Turns pairs of the first `dims` features of `a` (..., T, D) by an angle that grows with their
/// position: the pair i of position t by (offset + t) * scale * base^(-2 i / dims), or by (offset +
/// t)
/// * scale / freqs[i]. Pairs are neighbours if `traditional`, else i and i + dims / 2; further
/// features pass through. `offset` is a number, or integers of shape (B,), one for each entry of
/// the first axis. Half types compute in float32. Differentiable in `a`. Throws ValueError for
/// fewer than 3 dimensions, odd or too many dims, or unless exactly one of base and freqs is given.
LEGATO_API Array rope(const Array& a, int dims, bool traditional, const std::optional<double>& base,
                      double scale, const Operand& offset, const std::optional<Array>& freqs = {});

}  // namespace legato
