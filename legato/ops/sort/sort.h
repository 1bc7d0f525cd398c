// Sorting, selecting and searching along one axis.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "legato/array/array.h"
#include "legato/array/operand.h"

namespace legato {

// In all of these: `axis` counts from the end if negative, nothing flattens the array first; nan
// sorts behind everything else; complex numbers compare by real, then by imaginary part; an axis
// beyond the rank throws AxisError.

/// Sorted copy. Differentiable.
LEGATO_API Array sort(const Array& a, const std::optional<int>& axis = -1);
/// Indices that sort, uint32. Stable: equal elements keep their order.
LEGATO_API Array argsort(const Array& a, const std::optional<int>& axis = -1);
/// The elements such that the kth is where sorting would put it, none before it is larger and none
/// behind it smaller. Throws ValueError unless -size <= kth < size. Differentiable.
LEGATO_API Array partition(const Array& a, int kth, const std::optional<int>& axis = -1);
/// Indices of such a partition, uint32.
LEGATO_API Array argpartition(const Array& a, int kth, const std::optional<int>& axis = -1);
/// The k largest elements, in rising order. Throws ValueError unless 0 <= k <= size.
/// Differentiable.
LEGATO_API Array topk(const Array& a, int k, const std::optional<int>& axis = -1);
/// For each value the index, uint32, at which to insert it into the sorted 1-d sequence: before
/// equal elements for side "left", behind them for "right".
LEGATO_API Array searchsorted(const Array& sorted_sequence, const Array& values,
                              const std::string& side = "left");

/// The sorted distinct elements of the flattened array, padded to `size` with `fill_value` (the
/// first if nothing is given) or cut to it; and, as far as asked for, in this order: the index of
/// the first appearance of each (uint32), for each element the index of its equal (uint32, in the
/// shape of `a`; the last one for those cut off), and how often each appears (int32; 0 for
/// padding). nan equals nan if `equal_nan`.
LEGATO_API std::vector<Array> unique(const Array& a, int64_t size, bool return_index = false,
                                     bool return_inverse = false, bool return_counts = false,
                                     const std::optional<Operand>& fill_value = {},
                                     bool equal_nan = true);
/// The same with as many elements as there are distinct ones. Reads the values at the call: inside
/// vmap and compile it throws TransformError; there, give a size.
LEGATO_API std::vector<Array> unique(const Array& a, bool return_index = false,
                                     bool return_inverse = false, bool return_counts = false,
                                     bool equal_nan = true);

}  // namespace legato
