// Programs and reductions over the same rows, as they are given to a backend that runs them as one
// kernel (Backend::run_rows).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "legato/fuse/program.h"
#include "legato/runtime/backend.h"

namespace legato {

/// A value that the steps read or make: elements of rows, one behind the other, or one a row.
struct RowValue {
  Dtype dtype = Dtype::float32;
  bool wide = false;       // n elements a row; else one
  bool made = false;       // by a step; else it is read from memory
  bool stored = false;     // made, and written to memory, row by row without gaps
  int64_t row_stride = 0;  // what is read: elements from a row to the next; 0: the same for all
  void* data = nullptr;    // element 0 of row 0; null while the backend is only asked
};

struct RowStep {
  // A program over what is wide, or over one value a row,
  const fuse::Program* program = nullptr;
  std::span<const fuse::LiteralValue> literals;
  bool wide = false;
  // or a kernel that makes one value of each row: a reduction, or one that picks an element of
  // in[0] by an index for each row, in[1].
  const Kernel* kernel = nullptr;
  const void* attrs = nullptr;
  std::vector<uint32_t> in, out;  // values
  bool picks() const { return kernel && kernel->picks; }
};

struct RowCall {
  int64_t rows = 0, n = 0;
  std::vector<RowValue> values;
  std::vector<RowStep> steps;  // in order
  bool asked = false;  // whether such a call could be run; layouts and addresses are not known
  /// Where the backend puts the check of each step that picks, in their order.
  std::vector<Ref<DeviceCheck>>* checks = nullptr;
};

}  // namespace legato
