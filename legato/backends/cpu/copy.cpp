#include "legato/backends/cpu/copy.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "legato/base/error.h"
#include "legato/base/thread_pool.h"

namespace legato::cpu {
namespace {

constexpr int64_t kMinChunkBytes = 64 << 10;  // below this a second thread costs more than it saves

struct Bytes16 {
  uint64_t a, b;
};

/// Calls f with a value of an unsigned type of `elem_size` bytes.
template <class F>
void with_element_type(int64_t elem_size, F&& f) {
  if (elem_size == 4) return f(uint32_t{});
  if (elem_size == 2) return f(uint16_t{});
  if (elem_size == 8) return f(uint64_t{});
  if (elem_size == 1) return f(uint8_t{});
  LEGATO_CHECK(elem_size == 16, "element size is not 1, 2, 4, 8 or 16");
  f(Bytes16{});
}

template <class T>
void copy_row(T* dst, int64_t dst_stride, const T* src, int64_t src_stride, int64_t n) {
  if (dst_stride == 1) {
    if (src_stride == 1) {
      std::memcpy(dst, src, static_cast<size_t>(n) * sizeof(T));
    } else if (src_stride == 0) {
      std::fill_n(dst, n, *src);
    } else {
      for (int64_t i = 0; i < n; ++i) dst[i] = src[i * src_stride];
    }
  } else {
    for (int64_t i = 0; i < n; ++i) dst[i * dst_stride] = src[i * src_stride];
  }
}

typedef uint32_t Vec4 __attribute__((vector_size(16)));
typedef uint32_t Vec4u __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint16_t Vec8 __attribute__((vector_size(16)));
typedef uint16_t Vec8u __attribute__((vector_size(16), aligned(1), may_alias));

// dst[r * dr + c] = src[c * sc + r] for an N x N block: rows of the source become columns.
inline void transpose_block(uint32_t* dst, int64_t dr, const uint32_t* src, int64_t sc) {
  Vec4 a = *reinterpret_cast<const Vec4u*>(src), b = *reinterpret_cast<const Vec4u*>(src + sc);
  Vec4 c = *reinterpret_cast<const Vec4u*>(src + 2 * sc),
       d = *reinterpret_cast<const Vec4u*>(src + 3 * sc);
  Vec4 ab0 = __builtin_shufflevector(a, b, 0, 4, 1, 5),
       ab1 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  Vec4 cd0 = __builtin_shufflevector(c, d, 0, 4, 1, 5),
       cd1 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  *reinterpret_cast<Vec4u*>(dst) = __builtin_shufflevector(ab0, cd0, 0, 1, 4, 5);
  *reinterpret_cast<Vec4u*>(dst + dr) = __builtin_shufflevector(ab0, cd0, 2, 3, 6, 7);
  *reinterpret_cast<Vec4u*>(dst + 2 * dr) = __builtin_shufflevector(ab1, cd1, 0, 1, 4, 5);
  *reinterpret_cast<Vec4u*>(dst + 3 * dr) = __builtin_shufflevector(ab1, cd1, 2, 3, 6, 7);
}
inline void transpose_block(uint16_t* dst, int64_t dr, const uint16_t* src, int64_t sc) {
  Vec8 v[8], w[8];
  for (int i = 0; i < 8; ++i) v[i] = *reinterpret_cast<const Vec8u*>(src + i * sc);
  // Three rounds of the perfect shuffle of rows i and i + 4.
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 4; ++i) {
      w[2 * i] = __builtin_shufflevector(v[i], v[i + 4], 0, 8, 1, 9, 2, 10, 3, 11);
      w[2 * i + 1] = __builtin_shufflevector(v[i], v[i + 4], 4, 12, 5, 13, 6, 14, 7, 15);
    }
    for (int i = 0; i < 8; ++i) v[i] = w[i];
  }
  for (int i = 0; i < 8; ++i) *reinterpret_cast<Vec8u*>(dst + i * dr) = v[i];
}
template <class T>
inline void transpose_block(T* dst, int64_t dr, const T* src, int64_t sc) {
  for (int c = 0; c < 4; ++c)
    for (int r = 0; r < 4; ++r) dst[r * dr + c] = src[c * sc + r];
}
template <class T>
constexpr int64_t kBlock = sizeof(T) == 2 ? 8 : 4;

// dst[r * dr + c] = src[r + c * sc]: the destination has rows, the source columns. Blocks of one
// cache line of source.
template <class T>
void transpose(T* dst, int64_t dr, const T* src, int64_t sc, int64_t rows, int64_t cols) {
  constexpr int64_t n = kBlock<T>;
  constexpr int64_t line = std::max<int64_t>(n, 64 / static_cast<int64_t>(sizeof(T)));
  for (int64_t r0 = 0; r0 < rows; r0 += line) {
    const int64_t r1 = std::min(rows, r0 + line);
    int64_t c = 0;
    for (; c + n <= cols; c += n) {
      int64_t r = r0;
      for (; r + n <= r1; r += n) transpose_block(dst + r * dr + c, dr, src + c * sc + r, sc);
      for (; r < r1; ++r)
        for (int64_t i = 0; i < n; ++i) dst[r * dr + c + i] = src[r + (c + i) * sc];
    }
    for (; c < cols; ++c)
      for (int64_t r = r0; r < r1; ++r) dst[r * dr + c] = src[r + c * sc];
  }
}

template <class T>
void copy_2d(T* dst, int64_t dr, int64_t dc, const T* src, int64_t sr, int64_t sc, int64_t rows,
             int64_t cols) {
  if (dc == 1 && sr == 1 && sc != 1 && sc != 0 && rows > 1)
    return transpose(dst, dr, src, sc, rows, cols);
  if (dr == 1 && sc == 1 && dc != 1 && rows > 1) {  // the same, seen from the source: swap the axes
    return transpose(dst, dc, src, sr, cols, rows);
  }
  for (int64_t r = 0; r < rows; ++r) copy_row(dst + r * dr, dc, src + r * sr, sc, cols);
}

template <class T>
void repeat_row(T* dst, const T* row, int64_t period, int64_t begin, int64_t count) {
  const int64_t phase = begin % period;
  const int64_t head = std::min(period - phase, count);
  std::memcpy(dst, row + phase, static_cast<size_t>(head) * sizeof(T));
  int64_t filled = std::min(period, count);
  if (filled > head) std::memcpy(dst + head, row, static_cast<size_t>(filled - head) * sizeof(T));
  while (filled < count) {  // dst holds whole periods: double them
    const int64_t n = std::min(filled, count - filled);
    std::memcpy(dst + filled, dst, static_cast<size_t>(n) * sizeof(T));
    filled += n;
  }
}

}  // namespace

bool StridedSource::init(const void* data, const Shape& shape, const Strides& strides,
                         int64_t elem_size) {
  data_ = static_cast<const char*>(data);
  elem_size_ = elem_size;
  rank_ = 0;
  for (size_t i = 0; i < shape.size(); ++i) {
    const int64_t n = shape[i], s = strides[i];
    if (n == 1) continue;
    if (rank_ > 0 && strides_[rank_ - 1] == s * n) {
      shape_[rank_ - 1] *= n;
      strides_[rank_ - 1] = s;
    } else {
      if (rank_ == kMaxRank) return false;
      shape_[rank_] = n;
      strides_[rank_] = s;
      ++rank_;
    }
  }
  if (rank_ == 0) {
    rank_ = 1;
    shape_[0] = 1;
    strides_[0] = 1;
  }
  return true;
}

void StridedSource::gather(void* dst_bytes, int64_t begin, int64_t count) const {
  if (count <= 0) return;
  with_element_type(elem_size_, [&]<class T>(T) {
    T* dst = static_cast<T*>(dst_bytes);
    const T* src = reinterpret_cast<const T*>(data_);
    if (rank_ == 1) return copy_row(dst, 1, src + begin * strides_[0], strides_[0], count);
    const int64_t cols = shape_[rank_ - 1], sc = strides_[rank_ - 1];
    if (period() && count > cols) return repeat_row(dst, src, cols, begin, count);

    // The position of `begin`: column, row within the innermost matrix, and the axes above.
    int64_t at[kMaxRank];
    int64_t rest = begin, offset = 0;
    for (int i = rank_ - 1; i >= 0; --i) {
      at[i] = rest % shape_[i];
      rest /= shape_[i];
      offset += at[i] * strides_[i];
    }
    const int r = rank_ - 2;
    const int64_t rows = shape_[r], sr = strides_[r];
    while (count > 0) {
      int64_t done;
      if (at[rank_ - 1] == 0 && count >= cols) {  // whole rows, as many as this matrix has
        const int64_t n = std::min(rows - at[r], count / cols);
        copy_2d(dst, cols, 1, src + offset, sr, sc, n, cols);
        done = n * cols;
        at[r] += n;
        offset += n * sr;
      } else {
        done = std::min(cols - at[rank_ - 1], count);
        copy_row(dst, 1, src + offset, sc, done);
        at[rank_ - 1] += done;
        offset += done * sc;
        if (at[rank_ - 1] == cols) {
          at[rank_ - 1] = 0;
          offset += sr - cols * sc;
          ++at[r];
        }
      }
      dst += done;
      count -= done;
      for (int i = r; i > 0 && at[i] == shape_[i]; --i) {
        at[i] = 0;
        offset += strides_[i - 1] - shape_[i] * strides_[i];
        ++at[i - 1];
      }
    }
  });
}

void copy_strided(void* dst_bytes, const Strides& dst_strides, const void* src_bytes,
                  const Strides& src_strides, const Shape& shape, int64_t elem_size) {
  struct Axis {
    int64_t n, d, s;
  };
  std::vector<Axis> axes;
  int64_t total = 1;
  int64_t dst_offset = 0, src_offset = 0;
  for (size_t i = 0; i < shape.size(); ++i) {
    total *= shape[i];
    if (shape[i] == 1) continue;
    Axis a{shape[i], dst_strides[i], src_strides[i]};
    if (a.d < 0) {  // walk the destination upwards
      dst_offset += a.d * (a.n - 1);
      src_offset += a.s * (a.n - 1);
      a.d = -a.d;
      a.s = -a.s;
    }
    axes.push_back(a);
  }
  if (total == 0) return;
  std::stable_sort(axes.begin(), axes.end(),
                   [](const Axis& a, const Axis& b) { return a.d > b.d; });
  size_t kept = 0;
  for (size_t i = 1; i < axes.size(); ++i) {
    Axis &outer = axes[kept], &inner = axes[i];
    if (outer.d == inner.d * inner.n && outer.s == inner.s * inner.n)
      outer = {outer.n * inner.n, inner.d, inner.s};
    else
      axes[++kept] = inner;
  }
  axes.resize(axes.empty() ? 0 : kept + 1);
  // Two innermost axes for copy_2d: the destination's densest, and beside it the one where the
  // source is dense.
  if (axes.size() > 2 && axes.back().s != 1) {
    for (size_t i = 0; i + 2 < axes.size(); ++i)
      if (axes[i].s == 1)
        std::rotate(axes.begin() + static_cast<int64_t>(i),
                    axes.begin() + static_cast<int64_t>(i) + 1, axes.end() - 1);
  }
  while (axes.size() < 2) axes.insert(axes.begin(), Axis{1, 0, 0});

  const Axis row = axes[axes.size() - 2], col = axes.back();
  const size_t outer_rank = axes.size() - 2;
  int64_t matrices = 1;
  for (size_t i = 0; i < outer_rank; ++i) matrices *= axes[i].n;
  const int64_t bytes = total * elem_size;
  const int64_t wanted = std::clamp<int64_t>(bytes / kMinChunkBytes, 1, 4 * num_threads());

  with_element_type(elem_size, [&]<class T>(T) {
    T* dst = static_cast<T*>(dst_bytes) + dst_offset;
    const T* src = static_cast<const T*>(src_bytes) + src_offset;
    auto matrix_at = [&](int64_t m, int64_t& d, int64_t& s) {
      d = s = 0;
      for (size_t i = outer_rank; i-- > 0;) {
        const int64_t at = m % axes[i].n;
        m /= axes[i].n;
        d += at * axes[i].d;
        s += at * axes[i].s;
      }
    };
    // Split over the matrices, or over the longer axis of a single one, in units of a cache line.
    const bool split_rows = row.n >= col.n;
    const int64_t length = split_rows ? row.n : col.n;
    const int64_t parts = matrices >= wanted ? 1
                                             : std::min((wanted + matrices - 1) / matrices,
                                                        std::max<int64_t>(1, length / 64));
    const int64_t groups = parts > 1 ? matrices : std::min(wanted, matrices);
    parallel_for(groups * parts, [&](int64_t chunk) {
      const int64_t group = chunk / parts, part = chunk % parts;
      const int64_t lo = part == 0 ? 0 : length * part / parts / 64 * 64;
      const int64_t hi = part + 1 == parts ? length : length * (part + 1) / parts / 64 * 64;
      for (int64_t m = matrices * group / groups; m < matrices * (group + 1) / groups; ++m) {
        int64_t d, s;
        matrix_at(m, d, s);
        if (split_rows)
          copy_2d(dst + d + lo * row.d, row.d, col.d, src + s + lo * row.s, row.s, col.s, hi - lo,
                  col.n);
        else
          copy_2d(dst + d + lo * col.d, row.d, col.d, src + s + lo * col.s, row.s, col.s, row.n,
                  hi - lo);
      }
    });
  });
}

}  // namespace legato::cpu
