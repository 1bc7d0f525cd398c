// Positions of extremes.
#pragma once

#include <optional>

#include "legato/array/array.h"
#include "legato/array/operand.h"

namespace legato {

/// Index along `axis` of the first nan, else of the first largest element, uint32; in the flattened
/// array if no axis is given. Complex numbers compare by real, then by imaginary part. Throws
/// ValueError if there is nothing to choose from, AxisError for an axis beyond the rank.
LEGATO_API Array argmax(const Array& a, const std::optional<int>& axis = {}, bool keepdims = false);
/// As argmax, of the smallest element.
LEGATO_API Array argmin(const Array& a, const std::optional<int>& axis = {}, bool keepdims = false);

}  // namespace legato
