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

}  // namespace legato
