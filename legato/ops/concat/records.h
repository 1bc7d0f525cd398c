// The record of concatenate, for its kernel.
#pragma once

#include "legato/op/op.h"

namespace legato {

struct ConcatAttrs {
  int64_t axis;  // counted from the front
  static constexpr auto fields() { return std::tuple(field("axis", &ConcatAttrs::axis)); }
};
extern const Op concatenate_op;

}  // namespace legato
