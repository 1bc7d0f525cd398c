// Selection and assignment by boolean masks.
#pragma once

#include "legato/op/op.h"

namespace legato {

// masked_select: array (B, M, R), mask (B, M) → (B, size, R): the rows whose mask is true, in
// order, then zeros.
struct MaskedSelectAttrs {
  int64_t size;
  static constexpr auto fields() { return std::tuple(field("size", &MaskedSelectAttrs::size)); }
};
// masked_scatter: array (B, M, R), mask (B, M), values (B, N, R) → the array with the i-th row
// whose mask is true replaced by row i of the values. Where they are too few: an error if strict,
// else the array's own rows stay.
struct MaskedScatterAttrs {
  bool strict;
  static constexpr auto fields() {
    return std::tuple(field("strict", &MaskedScatterAttrs::strict));
  }
};

// true_places: mask (..., M) → (..., size): the positions of the first `size` true elements of each
// row, in order, then zeros.
extern const Op masked_select_op, masked_scatter_op, true_places_op;

/// `a` with the rows under a true mask replaced by the rows of `values`, in order. `mask` has the
/// shape of leading axes of `a`; `values` is (N, rest of a's axes).
Array masked_scatter(const Array& a, const Array& mask, const Array& values);

/// Positions of true elements of a mask in row-major order, int32 where they fit. Evaluates how
/// many there are.
Array flat_nonzero(const Array& mask);

void register_masked(class Registry& registry);

}  // namespace legato
