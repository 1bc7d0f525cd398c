#include "legato/runtime/rows.h"

namespace legato {

int leading_axes(const Shape& shape, int64_t rows) {
  int64_t n = 1;
  for (size_t i = 0; i < shape.size(); ++i) {
    n *= shape[i];
    if (n == rows) return static_cast<int>(i + 1);
    if (n == 0 || rows % n) return -1;
  }
  return -1;
}

std::optional<int64_t> row_stride(const Shape& shape, const Strides& strides, int n) {
  int64_t first = 0, expected = 0;
  bool found = false;
  for (int i = n; i-- > 0;) {
    const size_t axis = static_cast<size_t>(i);
    if (shape[axis] == 1) continue;
    if (found && strides[axis] != expected) return {};
    if (!found) first = strides[axis];
    found = true;
    expected = strides[axis] * shape[axis];
  }
  return first;
}

Dims tail(const Dims& d, int from) {
  return Dims(std::span<const int64_t>(d.begin() + from, d.end()));
}

int64_t count_leading(const Shape& shape, int n) {
  int64_t count = 1;
  for (int i = 0; i < n; ++i) count *= shape[static_cast<size_t>(i)];
  return count;
}

}  // namespace legato
