// Shapes seen as rows: a number of leading axes, and what lies behind them.
#pragma once

#include <cstdint>
#include <optional>

#include "legato/array/shape.h"

namespace legato {

/// How many leading axes have `rows` indices together; -1 if no number of them has.
int leading_axes(const Shape& shape, int64_t rows);
/// The one stride that the first `n` axes amount to (0 if they are broadcast); nothing if they
/// cannot be walked as one axis.
std::optional<int64_t> row_stride(const Shape& shape, const Strides& strides, int n);
/// The axes from `from` on.
Dims tail(const Dims& d, int from);
/// Indices of the first `n` axes.
int64_t count_leading(const Shape& shape, int n);

}  // namespace legato
