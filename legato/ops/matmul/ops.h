// The records of this family, for its kernels.
#pragma once

#include "legato/op/op.h"

namespace legato {

/// in: a (..., m, k), b (..., k, n) of one dtype, rank ≥ 2; out (..., m, n).
extern const Op matmul_op;

struct AddmmAttrs {
  double alpha = 1, beta = 1;
  static constexpr auto fields() {
    return std::tuple(field("alpha", &AddmmAttrs::alpha), field("beta", &AddmmAttrs::beta));
  }
};
/// in: a, b as above, c of the same dtype that broadcasts to the product; out alpha * a b + beta *
/// c.
extern const Op addmm_op;

/// in: a (x, m, k), b (y, k, n) of one dtype, two int64 (p,) with indices of matrices; out (p, m,
/// n).
extern const Op gather_mm_op;
/// in: a (m, k), b (k, n) of one dtype, int64 (p, 2) with the beginnings and ends of segments of k;
/// out (p, m, n).
extern const Op segmented_mm_op;

}  // namespace legato
