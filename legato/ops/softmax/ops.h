// Public header: the op records of the family, for its kernels and for derivatives that contain
// one.
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
// cross_entropy(logits, targets) and cross_entropy_vjp(logits, targets, g), g of the targets'
// shape. Targets are int64, or uint64 where they came as such.
extern const Op cross_entropy_op, cross_entropy_vjp_op;

}  // namespace legato
