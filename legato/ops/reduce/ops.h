// What the sources of the family share: attributes and op records.
#pragma once

#include "legato/op/op.h"

namespace legato {

/// Attributes of every reduction. An axis counts from the end if negative; nothing means all axes,
/// an empty list none.
struct ReduceAttrs {
  Axes axis;
  bool keepdims = false;
  static constexpr auto fields() {
    return std::tuple(field("axis", &ReduceAttrs::axis), field("keepdims", &ReduceAttrs::keepdims));
  }
};

/// Attributes of var.
struct VarAttrs {
  Axes axis;
  bool keepdims = false;
  int64_t ddof = 0;
  static constexpr auto fields() {
    return std::tuple(field("axis", &VarAttrs::axis), field("keepdims", &VarAttrs::keepdims),
                      field("ddof", &VarAttrs::ddof));
  }
};

/// Puts back what a reduction removed: `a`, reduced over `axis` from an array of rank `rank`, with
/// these axes of size 1.
Array restore_reduced(const Array& a, const char* op, const ReduceAttrs& attrs, size_t rank);

extern const Op sum_op, prod_op, max_op, min_op, all_op, any_op, mean_op;

}  // namespace legato
