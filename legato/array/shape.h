// Shape and Strides: short lists of 64-bit integers, inline up to five entries. And the arithmetic
// of layouts.
#pragma once

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>

#include "legato/base/export.h"

namespace legato {

/// A list of int64 with inline room for five: sizes, strides or axes of an array. Any rank is
/// allowed.
class LEGATO_API Dims {
 public:
  static constexpr int kInline = 5;

  Dims() = default;
  Dims(std::initializer_list<int64_t> values) { assign(values.begin(), values.size()); }
  explicit Dims(std::span<const int64_t> values) { assign(values.data(), values.size()); }
  /// `size` copies of `value`.
  static Dims filled(size_t size, int64_t value) {
    Dims d;
    d.resize(size);
    for (auto& v : d) v = value;
    return d;
  }
  Dims(const Dims& o) { copy(o); }
  Dims(Dims&& o) noexcept { take(o); }
  Dims& operator=(const Dims& o) {
    if (this != &o) copy(o);
    return *this;
  }
  Dims& operator=(Dims&& o) noexcept {
    if (this != &o) {
      if (heap_) free_heap();
      take(o);
    }
    return *this;
  }
  ~Dims() {
    if (heap_) free_heap();
  }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  int64_t* data() { return heap_ ? heap_ : inline_; }
  const int64_t* data() const { return heap_ ? heap_ : inline_; }
  int64_t* begin() { return data(); }
  int64_t* end() { return data() + size_; }
  const int64_t* begin() const { return data(); }
  const int64_t* end() const { return data() + size_; }
  int64_t& operator[](size_t i) { return data()[i]; }
  int64_t operator[](size_t i) const { return data()[i]; }
  int64_t back() const { return data()[size_ - 1]; }
  int64_t& back() { return data()[size_ - 1]; }

  void clear() { size_ = 0; }
  /// New entries are 0.
  void resize(size_t n) {
    if (n > capacity()) grow(n);
    for (size_t i = size_; i < n; ++i) data()[i] = 0;
    size_ = static_cast<uint32_t>(n);
  }
  void push_back(int64_t v) {
    if (size_ == capacity()) grow(size_ + 1);
    data()[size_++] = v;
  }
  void insert(size_t at, int64_t v) {
    push_back(v);
    int64_t* d = data();
    std::memmove(d + at + 1, d + at, (size_ - 1 - at) * sizeof(int64_t));
    d[at] = v;
  }
  void erase(size_t at) {
    int64_t* d = data();
    std::memmove(d + at, d + at + 1, (size_ - 1 - at) * sizeof(int64_t));
    --size_;
  }
  friend bool operator==(const Dims& a, const Dims& b) {
    if (a.size_ != b.size_) return false;
    const int64_t *x = a.data(), *y = b.data();
    for (uint32_t i = 0; i < a.size_; ++i)  // short: a call of memcmp costs more
      if (x[i] != y[i]) return false;
    return true;
  }
  operator std::span<const int64_t>() const { return {data(), size_}; }

 private:
  size_t capacity() const { return heap_ ? capacity_ : kInline; }
  void assign(const int64_t* from, size_t n) {
    size_ = 0;
    int64_t* to = data();
    if (n > capacity()) {  // the compiler must see that more than kInline entries never go inline
      grow(n);
      to = heap_;
    }
    std::memcpy(to, from, n * sizeof(int64_t));
    size_ = static_cast<uint32_t>(n);
  }
  void copy(const Dims& o) {
    if (heap_ || o.heap_) return assign(o.data(), o.size_);
    size_ = o.size_;
    std::memcpy(inline_, o.inline_, sizeof inline_);  // all of it: a fixed size is no call
  }
  void take(Dims& o) noexcept {
    size_ = std::exchange(o.size_, 0u);
    capacity_ = o.capacity_;
    heap_ = std::exchange(o.heap_, nullptr);
    if (!heap_) std::memcpy(inline_, o.inline_, sizeof inline_);
  }
  void grow(size_t n);
  void free_heap() noexcept;

  int64_t* heap_ = nullptr;  // null while the entries fit inline
  uint32_t size_ = 0;
  uint32_t capacity_ = kInline;
  int64_t inline_[kInline] = {};
};

using Shape = Dims;
using Strides = Dims;  // in elements, not bytes

/// "(2, 3)", "(4,)", "()".
LEGATO_API void append_text(std::string& out, const Dims& dims);

/// Number of elements. Throws ValueError if the product does not fit in 63 bits.
LEGATO_API int64_t element_count(const Shape& shape);

/// Strides of a row-major array of this shape. Axes of size 0 count as 1.
LEGATO_API Strides row_major_strides(const Shape& shape);

/// Whether elements of `shape` at `strides` lie row-major without gaps. Axes of size 1 may have any
/// stride.
LEGATO_API bool is_row_major(const Shape& shape, const Strides& strides);

/// The shape to which both broadcast, by NumPy's rule. Throws ValueError naming `op` and both
/// shapes.
LEGATO_API Shape broadcast_shapes(const char* op, const Shape& a, const Shape& b);

/// Strides that show an array of `from` with `strides` as if it had the broadcast shape `to` (0 on
/// stretched axes). `from` must broadcast to `to`.
LEGATO_API Strides broadcast_strides(const Shape& from, const Strides& strides, const Shape& to);

/// `axis` counted from the front: -1 is the last. Throws AxisError naming `op`, the axis and the
/// rank.
LEGATO_API int normalize_axis(const char* op, int64_t axis, size_t rank);

/// How the elements of one value lie in its storage.
struct Layout {
  Strides strides;     // in elements, one an axis; may be negative or 0
  int64_t offset = 0;  // in elements from the storage's start to element (0, ..., 0)
};

}  // namespace legato
