// Helpers of op rules about axes and shapes.
#pragma once

#include "legato/op/op.h"

namespace legato::rules {

/// (first, rest...).
inline Dims prepend(int64_t first, const Dims& rest) {
  Dims out;
  out.push_back(first);
  for (int64_t v : rest) out.push_back(v);
  return out;
}

/// The shape of input `i` as the unbatched op sees it.
inline Shape unbatched_shape(const BatchedCall& c, int i = 0) {
  Shape s = c.in[i].shape();
  if (c.batched[i]) s.erase(0);
  return s;
}

/// `axis` of an unbatched array of `rank` in the array with a leading batch axis. Counted from the
/// front, and checked.
inline int64_t batched_axis(const char* op, int64_t axis, size_t rank) {
  return normalize_axis(op, axis, rank) + 1;
}

/// For an op of one input that is linear in it and shape-preserving apart from its axes: the rule
/// that binds the op as it is, because a leading axis changes nothing for it.
inline void batch_unchanged(const BatchedCall& c, std::span<Array> out) {
  out[0] = bind(c.op, c.in, c.raw_attrs);
}

/// Axes counted from the front. Throws AxisError beyond `rank`, ValueError for one named twice.
inline Dims normalize_axes(const char* op, const Dims& axes, size_t rank) {
  Dims out;
  for (int64_t axis : axes) {
    int64_t n = normalize_axis(op, axis, rank);
    for (int64_t seen : out)
      if (seen == n) throw ValueError(cat(op, ": axis ", axis, " is named twice in ", axes));
    out.push_back(n);
  }
  return out;
}

}  // namespace legato::rules
