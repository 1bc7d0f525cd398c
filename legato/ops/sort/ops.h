// The op records of the family, for its kernels.
#pragma once

#include "legato/op/op.h"

namespace legato {

struct SortAttrs {
  int64_t axis = -1;
  static constexpr auto fields() { return std::tuple(field("axis", &SortAttrs::axis)); }
};

struct TopkAttrs {
  int64_t k = 0, axis = -1;
  static constexpr auto fields() {
    return std::tuple(field("k", &TopkAttrs::k), field("axis", &TopkAttrs::axis));
  }
};

/// The first `lead` axes of the sequence and of the values are common to both; then follow the
/// sorted axis of the sequence, and whatever axes of the values.
struct SearchAttrs {
  bool right = false;
  int64_t lead = 0;
  static constexpr auto fields() {
    return std::tuple(field("right", &SearchAttrs::right), field("lead", &SearchAttrs::lead));
  }
};

extern const Op sort_op, argsort_op, topk_op, searchsorted_op;

}  // namespace legato
