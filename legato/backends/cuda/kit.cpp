#include "legato/backends/cuda/kit.h"

#include <algorithm>

#include "legato/backends/cuda/copy.cuh"
#include "legato/base/error.h"
#include "legato/op/registry.h"

namespace legato::cuda {

const Op& op_named(const char* name) {
  const Op* op = registry().find_op(name);
  if (!op)
    throw InternalError(
        cat("CUDA kernels are registered for the op ", name, ", which does not exist"));
  return *op;
}

const char* suffix(Dtype t) {
  constexpr const char* names[kDtypeCount] = {"_bool", "_u8",  "_u16", "_u32", "_u64",
                                              "_i8",   "_i16", "_i32", "_i64", "_f16",
                                              "_bf16", "_f32", "_f64", "_c64", "_c128"};
  return names[static_cast<int>(t)];
}

MergedAxes merge_axes(const Shape& shape, std::span<const Strides* const> operands) {
  MergedAxes m;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    const int64_t size = shape[axis];
    m.count *= size;
    if (size == 1) continue;
    bool joins = m.n > 0;
    for (size_t k = 0; k < operands.size() && joins; ++k)
      joins = m.stride[k][m.n - 1] == (*operands[k])[axis] * size;
    if (!joins) {
      LEGATO_CHECK(m.n < 32, "an operand on the GPU has more than 32 axes that cannot be merged");
      m.size[m.n++] = 1;
    }
    m.size[m.n - 1] *= size;
    for (size_t k = 0; k < operands.size(); ++k) m.stride[k][m.n - 1] = (*operands[k])[axis];
  }
  if (m.n == 0) {
    m.n = 1;
    m.size[0] = 1;
    for (size_t k = 0; k < operands.size(); ++k) m.stride[k][0] = 1;
  }
  return m;
}

namespace {

// Copies whose innermost axes differ go through tiles, so that both sides move whole lines.
bool copy_tiles(char* to, const char* from, const MergedAxes& m, int64_t bytes) {
  if (bytes > 8 || m.n < 2 || m.n > kMaxAxes) return false;
  const int last = m.n - 1;
  if (m.stride[0][last] != 1) return false;
  int across = -1;  // the axis along which the source is consecutive
  for (int i = 0; i < last; ++i)
    if (m.stride[1][i] == 1) across = i;
  if (across < 0 || m.size[across] < 16 || m.size[last] < 16) return false;
  TileCopyParams p{};
  p.to = to;
  p.from = from;
  p.rows = m.size[across];
  p.cols = m.size[last];
  p.to_row = m.stride[0][across];
  p.from_col = m.stride[1][last];
  p.row_tiles = (p.rows + kCopyTile - 1) / kCopyTile;
  p.col_tiles = (p.cols + kCopyTile - 1) / kCopyTile;
  int64_t others = 1;
  for (int i = 0; i < last; ++i) {
    if (i == across) continue;
    p.size[p.axes] = m.size[i];
    p.to_stride[p.axes] = m.stride[0][i];
    p.from_stride[p.axes++] = m.stride[1][i];
    others *= m.size[i];
  }
  const int64_t blocks = p.row_tiles * p.col_tiles * others;
  if (blocks > INT32_MAX) return false;
  launch_blocks("copy", cat("copy_tiles_", bytes), blocks, kCopyTile * kCopyRows, p);
  return true;
}

}  // namespace

void copy_elements(void* to, const Strides& to_strides, const void* from,
                   const Strides& from_strides, const Shape& shape, int64_t bytes) {
  const Strides* operands[] = {&to_strides, &from_strides};
  MergedAxes m = merge_axes(shape, operands);
  if (m.count == 0) return;
  char* t = static_cast<char*>(to);
  const char* f = static_cast<const char*>(from);
  if (m.n == 1 && m.stride[0][0] == 1 && m.stride[1][0] == 1) {
    check(driver().cuMemcpyDtoDAsync(reinterpret_cast<CUdeviceptr>(t),
                                     reinterpret_cast<CUdeviceptr>(f),
                                     static_cast<size_t>(m.count * bytes), current().queue()),
          "copying on the GPU");
    return;
  }
  if (copy_tiles(t, f, m, bytes)) return;
  // More axes than a kernel walks: one launch for each index of the outermost ones.
  if (m.n > kMaxAxes) {
    const int extra = m.n - kMaxAxes;
    int64_t index[32] = {};
    for (;;) {
      CopyParams p{};
      p.to = t;
      p.from = f;
      p.axes = kMaxAxes;
      p.n = 1;
      for (int i = 0; i < extra; ++i) {
        p.to = static_cast<char*>(p.to) + index[i] * m.stride[0][i] * bytes;
        p.from = static_cast<const char*>(p.from) + index[i] * m.stride[1][i] * bytes;
      }
      for (int i = 0; i < kMaxAxes; ++i) {
        p.size[i] = m.size[extra + i];
        p.to_stride[i] = m.stride[0][extra + i];
        p.from_stride[i] = m.stride[1][extra + i];
        p.n *= p.size[i];
      }
      launch_over("copy", cat("copy_wide_", bytes), p.n, p);
      int axis = extra - 1;
      while (axis >= 0 && ++index[axis] == m.size[axis]) index[axis--] = 0;
      if (axis < 0) return;
    }
  }
  CopyParams p{};
  p.to = t;
  p.from = f;
  p.n = m.count;
  p.axes = m.n;
  int64_t reach = m.count;
  for (int k = 0; k < 2; ++k) {
    int64_t r = 0;
    for (int i = 0; i < m.n; ++i) r += (m.size[i] - 1) * std::abs(m.stride[k][i]);
    reach = std::max(reach, r);
  }
  for (int i = 0; i < m.n; ++i) {
    p.size[i] = m.size[i];
    p.to_stride[i] = m.stride[0][i];
    p.from_stride[i] = m.stride[1][i];
  }
  launch_over("copy", cat(reach < INT32_MAX - (1 << 24) ? "copy_" : "copy_wide_", bytes), p.n, p);
}

}  // namespace legato::cuda
