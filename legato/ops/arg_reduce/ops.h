// The op records of the family, for its kernels.
#pragma once

#include <optional>

#include "legato/op/op.h"

namespace legato {

struct ArgReduceAttrs {
  std::optional<int64_t> axis;  // nothing: the flattened array
  bool keepdims = false;
  static constexpr auto fields() {
    return std::tuple(field("axis", &ArgReduceAttrs::axis),
                      field("keepdims", &ArgReduceAttrs::keepdims));
  }
};

extern const Op argmax_op, argmin_op;

}  // namespace legato
