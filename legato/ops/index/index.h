// Selecting and replacing elements: NumPy's indexing, gather and scatter, masks.
//
// Index arrays hold integers of any width; negative ones count from the end. An index outside its
// axis is an IndexError: at the call for a number, when the value is computed for an array.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "legato/array/operand.h"

namespace legato {

/// One entry of an index, as between the brackets of a[1, 2:5, ..., None, array].
struct IndexItem {
  enum class Kind : uint8_t { integer, slice, ellipsis, newaxis, array };
  Kind kind = Kind::slice;
  int64_t value = 0;                         // integer
  std::optional<int64_t> start, stop, step;  // slice
  Array indices;                             // array: integers, or bool for a mask

  IndexItem() = default;  // a full slice
  IndexItem(int64_t v) : kind(Kind::integer), value(v) {}
  IndexItem(const Array& a) : kind(Kind::array), indices(a) {}
  static IndexItem slice(std::optional<int64_t> start, std::optional<int64_t> stop = {},
                         std::optional<int64_t> step = {}) {
    IndexItem item;
    item.start = start;
    item.stop = stop;
    item.step = step;
    return item;
  }
  static IndexItem ellipsis() { return of(Kind::ellipsis); }
  static IndexItem newaxis() { return of(Kind::newaxis); }

 private:
  static IndexItem of(Kind kind) {
    IndexItem item;
    item.kind = kind;
    return item;
  }
};

/// a[items...], with NumPy's rules: index arrays broadcast against each other, and their dimensions
/// stand where the arrays stood if those are neighbours, else in front; a mask counts as the
/// positions of its true elements, for which it is evaluated at the call.
/// Throws IndexError, ValueError for a step of 0, AxisError for too many entries.
LEGATO_API Array index(const Array& a, std::span<const IndexItem> items);

/// How an update meets what is there. All but `set` accumulate where an index occurs several times.
enum class UpdateMode : uint8_t { set, add, multiply, divide, maximum, minimum };

/// `a` with the selection a[items...] replaced by, or combined with, `value`, which is cast to
/// `a`'s dtype and broadcast to the selection. Where an index occurs several times, `set` keeps the
/// last. After a mask that is the only entry, `value` may also have one entry for each true
/// element, in order; more are ignored, fewer are a ValueError of the evaluation.
LEGATO_API Array index_update(const Array& a, std::span<const IndexItem> items, const Array& value,
                              UpdateMode mode = UpdateMode::set);

/// Elements of `a` at `indices` along `axis`; without one, of the flattened array. The dimensions
/// of `indices` replace the axis.
LEGATO_API Array take(const Array& a, const Operand& indices, std::optional<int64_t> axis = {});

/// result[i, j, k] = a[i, indices[i, j, k], k] for axis 1, and so on. The other axes broadcast.
LEGATO_API Array take_along_axis(const Array& a, const Array& indices,
                                 std::optional<int64_t> axis = -1);

/// `a` with a[i, indices[i, j, k], k] = values[i, j, k] for axis 1, and so on.
LEGATO_API Array put_along_axis(const Array& a, const Array& indices, const Array& values,
                                std::optional<int64_t> axis = {},
                                UpdateMode mode = UpdateMode::set);

/// Index arrays, broadcast against each other, on `axes` of `a`, everything on the others. Their
/// dimensions stand at place `at` among the others in the result.
LEGATO_API Array gather(const Array& a, std::span<const Array> indices, const Dims& axes,
                        int64_t at);

/// `a` with `updates`, of a shape that broadcasts to gather's result, written where gather reads.
/// The result does not depend on the number of threads.
LEGATO_API Array scatter(const Array& a, std::span<const Array> indices, const Dims& axes,
                         int64_t at, const Array& updates, UpdateMode mode);

/// The part of `slice_size` on `axes` that begins at `start_indices` (1-d, one an axis).
LEGATO_API Array dynamic_slice(const Array& a, const Array& start_indices, const Dims& axes,
                               const Dims& slice_size);

/// `a` with the part of the size of `update` that begins at `start_indices` on `axes` replaced.
LEGATO_API Array dynamic_slice_update(const Array& a, const Array& update,
                                      const Array& start_indices, const Dims& axes);

/// Positions of the elements that are not 0, in row-major order: one index array an axis. Evaluates
/// `a`.
LEGATO_API std::vector<Array> nonzero(const Array& a);

/// The first `size` rows of `a` whose entry in `mask` is true, then zeros: a selection by a mask
/// whose size is known beforehand. `mask` has the shape of the leading axes of `a`.
LEGATO_API Array masked_select(const Array& a, const Array& mask, int64_t size);

}  // namespace legato
