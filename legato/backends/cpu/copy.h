// Copies of elements between layouts: rows, broadcasts, blocked transposes, in parallel where it
// pays.
#pragma once

#include <cstdint>

#include "legato/array/shape.h"
#include "legato/base/export.h"

namespace legato::cpu {

/// An array of any layout read as the flat, row-major sequence of its elements.
class StridedSource {
 public:
  static constexpr int kMaxRank = 16;

  StridedSource() {}  // nothing, until init(): a program has room for many and uses few
  /// Merges axes where the layout allows. `strides` in elements; `elem_size` one of 1, 2, 4, 8, 16.
  /// Returns false if more than kMaxRank axes remain.
  bool init(const void* data, const Shape& shape, const Strides& strides, int64_t elem_size);

  bool contiguous() const { return rank_ == 1 && strides_[0] == 1; }
  bool scalar() const { return rank_ == 1 && strides_[0] == 0; }
  /// A row that repeats: its length, else 0.
  int64_t period() const {
    return rank_ == 2 && strides_[0] == 0 && strides_[1] == 1 ? shape_[1] : 0;
  }
  /// Elements that repeat along each row: how often, else 0.
  int64_t run() const { return rank_ == 2 && strides_[0] != 0 && strides_[1] == 0 ? shape_[1] : 0; }
  /// Where the element lies that repeats at position `at` of the sequence.
  const char* run_element(int64_t at) const {
    return data_ + at / shape_[1] * strides_[0] * elem_size_;
  }
  /// Whether neighbours in memory lie in different rows, so that whole blocks of rows should be
  /// read at once.
  bool transposed() const {
    return rank_ >= 2 && strides_[rank_ - 2] == 1 && strides_[rank_ - 1] > 1;
  }
  int64_t row_length() const { return shape_[rank_ - 1]; }
  const void* data() const { return data_; }

  /// Writes elements [begin, begin + count) of the sequence to `dst`, without gaps.
  void gather(void* dst, int64_t begin, int64_t count) const;

 private:
  const char* data_;
  int rank_;
  int64_t elem_size_;
  int64_t shape_[kMaxRank];
  int64_t strides_[kMaxRank];  // in elements
};

/// dst[i] = src[i] for each index of `shape`. Strides in elements, any sign; dst's elements must be
/// distinct and must not overlap the source's. `elem_size` one of 1, 2, 4, 8, 16.
LEGATO_API void copy_strided(void* dst, const Strides& dst_strides, const void* src,
                             const Strides& src_strides, const Shape& shape, int64_t elem_size);

}  // namespace legato::cpu
