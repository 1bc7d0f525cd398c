// The op records of the family, for its kernels.
#pragma once

#include "legato/op/op.h"

namespace legato {

/// One entry a spatial dimension.
struct PoolAttrs {
  Dims kernel, stride, low, high;
  Dims size;  // of avg_pool_transpose only: the spatial sizes of its result
  static constexpr auto fields() {
    return std::tuple(field("kernel", &PoolAttrs::kernel), field("stride", &PoolAttrs::stride),
                      field("low", &PoolAttrs::low), field("high", &PoolAttrs::high),
                      field("size", &PoolAttrs::size));
  }
};

// max_pool_vjp(x, y, g): the cotangent of x. avg_pool_transpose(g): the same for the mean.
extern const Op max_pool_op, avg_pool_op, max_pool_vjp_op, avg_pool_transpose_op;

}  // namespace legato
