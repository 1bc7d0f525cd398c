// Public header of regular selections: start, stop and step on each axis, known when the graph is
// built (slice) or read from an array (dynamic_slice), and the updates of such a part.
#pragma once

#include "legato/op/op.h"

namespace legato {

/// No bound was given: the end of the axis in the direction of the step.
inline constexpr int64_t kNoBound = INT64_MIN;

/// One entry an axis, in the caller's form: negative bounds count from the end and are clipped as
/// Python clips them. A step of 0 marks a single index: start, which drops the axis.
struct SliceAttrs {
  Dims start, stop, step;
  static constexpr auto fields() {
    return std::tuple(field("start", &SliceAttrs::start), field("stop", &SliceAttrs::stop),
                      field("step", &SliceAttrs::step));
  }
};

/// Everything of an array of `rank` dimensions: to be narrowed on some axes.
LEGATO_API SliceAttrs full_slice(size_t rank);

/// What a slice selects from an array: the first element on each axis, the steps between them, the
/// numbers of elements (1 for a single index), and the shape of the result.
struct SliceRegion {
  Dims begin, step, count;
  Shape shape;
};
/// Throws IndexError for a single index outside its axis.
LEGATO_API SliceRegion resolve_slice(const char* op, const SliceAttrs& attrs, const Shape& shape);

/// The selected part, without a copy.
LEGATO_API Array slice(const Array& a, const SliceAttrs& attrs);
/// One entry an axis; `step` may be empty for ones.
LEGATO_API Array slice(const Array& a, const Dims& start, const Dims& stop, const Dims& step = {});

/// `a` with the selected part replaced by `update`, which has the part's shape and `a`'s dtype.
LEGATO_API Array slice_update(const Array& a, const Array& update, const SliceAttrs& attrs);

struct DynamicSliceAttrs {
  Dims axes, size;  // size: of each of `axes` in dynamic_slice, empty in its update
  static constexpr auto fields() {
    return std::tuple(field("axes", &DynamicSliceAttrs::axes),
                      field("size", &DynamicSliceAttrs::size));
  }
};

extern const Op slice_update_op, dynamic_slice_op, dynamic_slice_update_op;

/// Adds the records to the registry.
void register_slices(class Registry& registry);

}  // namespace legato
