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

template <class T>
struct Lanes {  // 16 bytes
  static constexpr int kCount = 16 / static_cast<int>(sizeof(T));
  typedef T type __attribute__((vector_size(16)));
  typedef T unaligned __attribute__((vector_size(16), aligned(1), may_alias));
};
// a0 b0 a1 b1 ... of the lower, or the upper, halves.
inline Lanes<uint32_t>::type zip_low(Lanes<uint32_t>::type a, Lanes<uint32_t>::type b) {
  return __builtin_shufflevector(a, b, 0, 4, 1, 5);
}
inline Lanes<uint32_t>::type zip_high(Lanes<uint32_t>::type a, Lanes<uint32_t>::type b) {
  return __builtin_shufflevector(a, b, 2, 6, 3, 7);
}
inline Lanes<uint16_t>::type zip_low(Lanes<uint16_t>::type a, Lanes<uint16_t>::type b) {
  return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}
inline Lanes<uint16_t>::type zip_high(Lanes<uint16_t>::type a, Lanes<uint16_t>::type b) {
  return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}
inline Lanes<uint8_t>::type zip_low(Lanes<uint8_t>::type a, Lanes<uint8_t>::type b) {
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}
inline Lanes<uint8_t>::type zip_high(Lanes<uint8_t>::type a, Lanes<uint8_t>::type b) {
  return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15,
                                 31);
}

// dst[r * dr + c] = src[c * sc + r] for r, c below the number of lanes: log2(lanes) rounds of the
// perfect shuffle of row i and row i + lanes / 2.
template <class T>
inline void transpose_lanes(T* dst, int64_t dr, const T* src, int64_t sc) {
  constexpr int n = Lanes<T>::kCount;
  using V = typename Lanes<T>::type;
  using U = typename Lanes<T>::unaligned;
  V v[n], w[n];
  for (int i = 0; i < n; ++i) v[i] = *reinterpret_cast<const U*>(src + i * sc);
#pragma GCC unroll 4
  for (int round = n; round > 1; round /= 2) {
#pragma GCC unroll 16
    for (int i = 0; i < n / 2; ++i) {
      w[2 * i] = zip_low(v[i], v[i + n / 2]);
      w[2 * i + 1] = zip_high(v[i], v[i + n / 2]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < n; ++i) v[i] = w[i];
  }
  for (int i = 0; i < n; ++i) *reinterpret_cast<U*>(dst + i * dr) = v[i];
}

// The same for a block of a cache line squared. Source lines are read whole into a small buffer and
// destination lines are written whole: with sizes that are powers of two the lines of a column fall
// into one set of the cache, and would be thrown out between a part and the next.
template <class T>
void transpose_line_block(T* dst, int64_t dr, const T* src, int64_t sc) {
  constexpr int64_t line = 64 / static_cast<int64_t>(sizeof(T));
  alignas(64) T in[line * line], out[line * line];
  for (int64_t c = 0; c < line; ++c) std::memcpy(in + c * line, src + c * sc, 64);
  if constexpr (sizeof(T) <= 4) {
    constexpr int64_t n = Lanes<T>::kCount;
    for (int64_t r = 0; r < line; r += n)
      for (int64_t c = 0; c < line; c += n)
        transpose_lanes(out + r * line + c, line, in + c * line + r, line);
  } else {
    for (int64_t r = 0; r < line; ++r)
      for (int64_t c = 0; c < line; ++c) out[r * line + c] = in[c * line + r];
  }
  for (int64_t r = 0; r < line; ++r) std::memcpy(dst + r * dr, out + r * line, 64);
}

// dst[r * dr + c] = src[r + c * sc]: the destination has rows, the source columns. In panels of
// kPanel columns, whose source pages the address cache of the processor can hold.
template <class T>
void transpose(T* dst, int64_t dr, const T* src, int64_t sc, int64_t rows, int64_t cols) {
  constexpr int64_t line = 64 / static_cast<int64_t>(sizeof(T));
  constexpr int64_t kPanel = 512;
  for (int64_t c0 = 0; c0 < cols; c0 += kPanel) {
    const int64_t c1 = std::min(cols, c0 + kPanel);
    int64_t r = 0;
    for (; r + line <= rows; r += line) {
      int64_t c = c0;
      for (; c + line <= c1; c += line) {
        // Strides of whole rows are beyond what the processor's own prefetching follows.
        if (c + 3 * line <= c1)
          for (int64_t i = 2 * line; i < 3 * line; ++i) __builtin_prefetch(src + (c + i) * sc + r);
        transpose_line_block(dst + r * dr + c, dr, src + c * sc + r, sc);
      }
      for (; c < c1; ++c)
        for (int64_t i = 0; i < line; ++i) dst[(r + i) * dr + c] = src[r + i + c * sc];
    }
    for (int64_t c = c0; c < c1; ++c)
      for (int64_t i = r; i < rows; ++i) dst[i * dr + c] = src[i + c * sc];
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
