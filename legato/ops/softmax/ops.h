// The op records of the family, for its kernels.
#pragma once

#include "legato/op/op.h"

namespace legato {

/// The axis along which rows run; it counts from the end if negative.
struct SoftmaxAttrs {
  int64_t axis = -1;
  static constexpr auto fields() { return std::tuple(field("axis", &SoftmaxAttrs::axis)); }
};

// softmax_vjp(y, g) and log_softmax_vjp(y, g): the derivative applied to g, from the output y.
extern const Op softmax_op, log_softmax_op, logsumexp_op, softmax_vjp_op, log_softmax_vjp_op;

}  // namespace legato
