#include "legato/array/shape.h"

#include <algorithm>

#include "legato/base/error.h"

namespace legato {

void Dims::grow(size_t n) {
  size_t capacity = std::max<size_t>(n, 2 * this->capacity());
  int64_t* fresh = new int64_t[capacity];
  std::memcpy(fresh, data(), size_ * sizeof(int64_t));
  delete[] heap_;
  heap_ = fresh;
  capacity_ = static_cast<uint32_t>(capacity);
}

void Dims::free_heap() noexcept { delete[] std::exchange(heap_, nullptr); }

void append_text(std::string& out, const Dims& dims) {
  out += '(';
  for (size_t i = 0; i < dims.size(); ++i) {
    if (i) out += ", ";
    append_text(out, dims[i]);
  }
  out += dims.size() == 1 ? ",)" : ")";
}

int64_t element_count(const Shape& shape) {
  int64_t n = 1;
  bool overflow = false;
  for (int64_t v : shape) {
    if (v == 0) return 0;
    overflow |= __builtin_mul_overflow(n, v, &n);
  }
  if (overflow)
    throw ValueError(
        cat("an array of shape ", shape, " has more elements than a 63-bit count can hold"));
  return n;
}

Strides row_major_strides(const Shape& shape) {
  Strides s;
  s.resize(shape.size());
  int64_t step = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    s[i] = step;
    step *= std::max<int64_t>(shape[i], 1);
  }
  return s;
}

bool is_row_major(const Shape& shape, const Strides& strides) {
  int64_t step = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] == 0) return true;
    if (shape[i] != 1 && strides[i] != step) return false;
    step *= shape[i];
  }
  return true;
}

Shape broadcast_shapes(const char* op, const Shape& a, const Shape& b) {
  if (a == b) return a;
  const Shape& longer = a.size() >= b.size() ? a : b;
  const Shape& shorter = a.size() >= b.size() ? b : a;
  Shape out = longer;
  size_t lead = longer.size() - shorter.size();
  for (size_t i = 0; i < shorter.size(); ++i) {
    int64_t x = longer[lead + i], y = shorter[i];
    if (x == y || y == 1) continue;
    if (x != 1)
      throw ValueError(cat(op, ": shapes ", a, " and ", b, " cannot be broadcast: axis ",
                           static_cast<int64_t>(i) - static_cast<int64_t>(shorter.size()),
                           " has sizes ", a.size() >= b.size() ? x : y, " and ",
                           a.size() >= b.size() ? y : x,
                           ", which must be equal or one of them 1."));
    out[lead + i] = y;
  }
  return out;
}

Strides broadcast_strides(const Shape& from, const Strides& strides, const Shape& to) {
  Strides out;
  out.resize(to.size());
  size_t lead = to.size() - from.size();
  for (size_t i = 0; i < from.size(); ++i)
    out[lead + i] = from[i] == 1 && to[lead + i] != 1 ? 0 : strides[i];
  return out;
}

int normalize_axis(const char* op, int64_t axis, size_t rank) {
  int64_t n = static_cast<int64_t>(rank);
  if (axis < -n || axis >= n)
    throw AxisError(cat(op, ": axis ", axis, " is out of range for an array with ", n,
                        n == 1 ? " dimension" : " dimensions"));
  return static_cast<int>(axis < 0 ? axis + n : axis);
}

}  // namespace legato
