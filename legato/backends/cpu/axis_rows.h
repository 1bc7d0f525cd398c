// Runs a kernel of contiguous rows along any axis of row-major arrays, on the threads of the pool.
#pragma once

#include <cstdint>
#include <span>

#include "legato/array/shape.h"
#include "legato/base/function_ref.h"
#include "legato/runtime/backend.h"

namespace legato::cpu {

/// A row-major operand as (outer, n, inner): its length along the axis (1 where the operand was
/// reduced) and the size of its elements.
struct RowOperand {
  void* data;
  int64_t n;
  int64_t bytes;  // of an element
};

/// A shape seen from one axis.
struct AxisSplit {
  int64_t outer = 1, n = 1, inner = 1;
};
AxisSplit split_axis(const Shape& shape, int axis);

/// Calls body(pointers, rows) for groups of rows: pointers[k] is the first of `rows` rows of
/// operand k, each of operands[k].n elements, one behind the other. The first `inputs` operands are
/// only read, the others only written. Where inner > 1 the rows are gathered from, and scattered
/// to, their places. `cost` is the time of an element in nanoseconds, by which the work is divided;
/// the division has no influence on results.
void for_axis_rows(std::span<const RowOperand> operands, int inputs, const AxisSplit& split,
                   double cost, FunctionRef<void(void* const* pointers, int64_t rows)> body);

/// The operand for a view.
inline RowOperand row_operand(const View& v, int64_t n) { return {v.data, n, size_of(v.dtype)}; }

}  // namespace legato::cpu
