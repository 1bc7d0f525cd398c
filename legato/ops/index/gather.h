// Records of gather, scatter and their kin along an axis, for their kernels.
#pragma once

#include "legato/op/op.h"
#include "legato/ops/index/index.h"

namespace legato {

// Inputs of gather: the array, the index arrays (all of one shape). Of scatter: the array, the
// updates, the index arrays.
struct GatherAttrs {
  Dims axes;  // one an index array, counted from the front
  int64_t at;
  UpdateMode mode;  // of a scatter
  static constexpr auto fields() {
    return std::tuple(field("axes", &GatherAttrs::axes), field("at", &GatherAttrs::at),
                      field("mode", &GatherAttrs::mode));
  }
};

// Inputs of take_along_axis: the array, the indices, of one shape but for the axis. Of
// put_along_axis: the array, the updates, the indices.
struct AlongAttrs {
  int64_t axis;
  UpdateMode mode;  // of a put
  static constexpr auto fields() {
    return std::tuple(field("axis", &AlongAttrs::axis), field("mode", &AlongAttrs::mode));
  }
};

extern const Op gather_op, scatter_op, take_along_axis_op, put_along_axis_op;

void register_gather(class Registry& registry);

}  // namespace legato
