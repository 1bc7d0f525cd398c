// The op records of the family, for its kernels.
#pragma once

#include "legato/op/op.h"

namespace legato {

/// Inputs are x, then weight and bias as far as they are there; those of a *_vjp op are x, weight
/// if there is one, and the cotangent of the output. Outputs of a *_vjp op: the cotangents of x,
/// weight and bias as far as they are there.
struct NormAttrs {
  double eps = 0;
  bool has_weight = false, has_bias = false;
  int64_t groups = 0;  // of group_norm
  static constexpr auto fields() {
    return std::tuple(field("eps", &NormAttrs::eps), field("has_weight", &NormAttrs::has_weight),
                      field("has_bias", &NormAttrs::has_bias), field("groups", &NormAttrs::groups));
  }
};

extern const Op layer_norm_op, rms_norm_op, group_norm_op;
extern const Op layer_norm_vjp_op, rms_norm_vjp_op, group_norm_vjp_op;

}  // namespace legato
