// Where an index points: flat offsets of elements from index arrays, in blocks, with every index
// checked.
#pragma once

#include <cstdint>
#include <vector>

#include "legato/array/shape.h"
#include "legato/runtime/backend.h"

namespace legato::cpu {

/// The offsets, in elements, of a row-major sequence of places: plain strides over the places' own
/// coordinates, plus index * stride for each index array.
class Offsets {
 public:
  /// Places counted by `shape`, each axis with its stride (0: it does not matter).
  Offsets(const Shape& shape, const Strides& strides);
  /// Adds indices into an axis of `size` elements with `stride`; `axis` is its name in errors.
  void add(const View& indices, int64_t axis, int64_t size, int64_t stride);
  /// Merges axes; to be called once, before fill.
  void finish();

  int64_t count() const { return count_; }
  /// Whether the offsets are 0, 1, 2, ...
  bool dense() const;
  /// Writes the offsets of places [begin, begin + count). Returns false, after l.fail with an
  /// IndexError, if an index is out of range; the offsets are then not to be used.
  bool fill(Launch& l, int64_t begin, int64_t count, int64_t* out) const;

 private:
  struct Term {
    const void* data;
    Dtype dtype;
    Strides strides;
    int64_t axis, size, stride;
  };
  void report(Launch& l, const Term& term, int64_t offset, int64_t stride, int64_t n) const;

  Shape shape_;
  Strides strides_;
  std::vector<Term> terms_;
  int64_t count_;
};

/// The places of gather and its kin: outer axes, index places, inner axes, one behind the other.
struct Places {
  Offsets outer, index, inner;
};

/// Places of gather(a, indices, axes, at), in an array laid out as `strides`.
Places gather_places(const Shape& a, const Strides& strides, std::span<const View> indices,
                     const Dims& axes, int64_t at);
/// Places of take_along_axis(a, indices, axis).
Places along_places(const Shape& a, const Strides& strides, const View& indices, int64_t axis);

}  // namespace legato::cpu
