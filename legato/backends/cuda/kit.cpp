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

KeyForm key_form(Dtype t, bool zeros_equal) {
  KeyForm f{KeyForm::unsigned_, zeros_equal, 0, 0};
  if (is_signed_integer(t)) f.kind = KeyForm::signed_;
  if (is_floating(t)) f.kind = KeyForm::floating;
  if (t == Dtype::complex64) f.kind = KeyForm::complex64;
  if (t == Dtype::complex128) f.kind = KeyForm::complex128;
  if (t == Dtype::float16) f.infinity = 0x7c00, f.nan = 0x7e00;
  if (t == Dtype::bfloat16) f.infinity = 0x7f80, f.nan = 0x7fc0;
  if (t == Dtype::float32) f.infinity = 0x7f800000, f.nan = 0x7fc00000;
  if (t == Dtype::float64) f.infinity = 0x7ff0000000000000, f.nan = 0x7ff8000000000000;
  return f;
}

Divider divider_of(int64_t d) {
  unsigned log = 0;
  while ((int64_t{1} << log) < d) ++log;
  const auto top = (uint64_t{1} << log) - static_cast<uint64_t>(d);
  return {static_cast<unsigned>((top << 32) / static_cast<uint64_t>(d) + 1), log ? 1u : 0u,
          log ? log - 1 : 0};
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

/// Whether all but axis `skip` step by multiples of `by`, as the address does.
bool steps_by(const MergedAxes& m, int operand, const void* data, int skip, int64_t bytes,
              int64_t by) {
  if (reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(by * bytes)) return false;
  for (int i = 0; i < m.n; ++i)
    if (i != skip && m.stride[operand][i] % by) return false;
  return true;
}

struct TileSize {
  int64_t rows, cols;
};
TileSize tile_of(int64_t bytes, bool windows) {
  auto square = [](int64_t side) { return TileSize{side, side}; };
  auto window = [](auto size) { return TileSize{size.rows, size.cols}; };
  if (bytes == 1) return square(copy_tile<1>);
  if (bytes == 2) return windows ? window(CopyWindow<2>{}) : square(copy_tile<2>);
  if (bytes == 4) return windows ? window(CopyWindow<4>{}) : square(copy_tile<4>);
  return windows ? window(CopyWindow<8>{}) : square(copy_tile<8>);
}

// Copies whose innermost axes differ go through tiles, so that both sides move whole lines.
bool copy_through_tiles(char* to, const char* from, const MergedAxes& m, int64_t bytes) {
  if (bytes > 8 || m.n < 2 || m.n > kMaxAxes) return false;
  const int last = m.n - 1;
  if (m.stride[0][last] != 1) return false;
  int across = -1;  // the axis along which the source is consecutive
  for (int i = 0; i < last; ++i)
    if (m.stride[1][i] == 1) across = i;
  if (across < 0 || m.size[across] < 16 || m.size[last] < 16) return false;
  const bool windows = bytes > 1 && !steps_by(m, 0, to, last, bytes, 32 / bytes);
  const auto [rows, cols] = tile_of(bytes, windows);
  const int64_t row_tiles = (m.size[across] + rows - 1) / rows,
                col_tiles = (m.size[last] + cols - 1) / cols;
  TileCopyParams p{};
  p.to = to;
  p.from = from;
  p.rows = m.size[across];
  p.cols = m.size[last];
  p.to_row = m.stride[0][across];
  p.from_col = m.stride[1][last];
  p.to_packs = steps_by(m, 0, to, last, bytes, 16 / bytes);
  p.from_packs = steps_by(m, 1, from, across, bytes, 16 / bytes);
  double blocks = static_cast<double>(row_tiles) * static_cast<double>(col_tiles);
  for (int i = 0; i < last; ++i) {
    if (i == across) continue;
    p.size[p.axes] = static_cast<unsigned>(m.size[i]);
    p.to_stride[p.axes] = m.stride[0][i];
    p.from_stride[p.axes++] = m.stride[1][i];
    blocks *= static_cast<double>(m.size[i]);
  }
  if (blocks > INT32_MAX) return false;
  p.row_tiles = static_cast<unsigned>(row_tiles);
  p.col_tiles = static_cast<unsigned>(col_tiles);
  launch_blocks("copy", cat(windows ? "copy_windows_" : "copy_tiles_", bytes),
                static_cast<int64_t>(blocks), kCopyThreads, p);
  return true;
}

// Blocks that cover the work exactly, see Note [Bytes in flight] in print.cpp.
template <class Params>
void launch_packs(const std::string& kernel, const Params& p) {
  constexpr int64_t each = kCopyEach * kCopyThreads;
  launch_blocks("copy", kernel, (int64_t{p.n} + each - 1) / each, kCopyThreads, p);
}

// Lines that are consecutive on both sides, where one of them begins between multiples of 16 bytes.
bool copy_lines(char* to, const char* from, const MergedAxes& m, int64_t bytes) {
  constexpr int64_t kLeastBytes = 128;  // of a line
  const int last = m.n - 1;
  const int64_t pack = 16 / bytes, length = m.size[last];
  if (bytes > 8 || m.n > kMaxAxes || m.stride[0][last] != 1 || m.stride[1][last] != 1 ||
      length * bytes < kLeastBytes)
    return false;
  const bool aligned = length % pack == 0 && steps_by(m, 0, to, last, bytes, pack) &&
                       steps_by(m, 1, from, last, bytes, pack);
  const int64_t packs = (length + 2 * pack - 2) / pack, lines = m.count / length;
  if (aligned || lines * packs >= INT32_MAX) return false;
  LineCopyParams p{};
  p.to = to;
  p.from = from;
  p.length = length;
  p.n = static_cast<unsigned>(lines * packs);
  p.packs = divider_of(packs);
  p.packs_a_line = static_cast<unsigned>(packs);
  p.axes = last;
  for (int i = 0; i < last; ++i) {
    p.size[i] = static_cast<unsigned>(m.size[i]);
    p.divider[i] = divider_of(m.size[i]);
    p.to_strides[i] = m.stride[0][i];
    p.from_strides[i] = m.stride[1][i];
  }
  launch_packs(cat("copy_lines_", bytes), p);
  return true;
}

// As many elements at once as are consecutive in the target.
bool copy_in_packs(char* to, const char* from, const MergedAxes& m, int64_t bytes) {
  if (m.n > kMaxAxes) return false;
  const int last = m.n - 1;
  int64_t pack = 1;
  const int64_t widest = 16 / bytes, narrower = bytes == 1 ? 4 : bytes >= 8 ? 1 : 2;
  for (int64_t v : {widest, narrower})
    if (pack == 1 && m.stride[0][last] == 1 && m.size[last] % v == 0 &&
        steps_by(m, 0, to, last, bytes, v))
      pack = v;
  if (m.count / pack >= INT32_MAX) return false;
  PackCopyParams p{};
  p.to = to;
  p.from = from;
  p.n = static_cast<unsigned>(m.count / pack);
  p.axes = std::max(m.n, kFewAxes);
  p.from_stride = m.stride[1][last];
  p.whole = p.from_stride == 1 && steps_by(m, 1, from, last, bytes, pack);
  for (int k = 0; k < p.axes; ++k) {
    const int i = k - (p.axes - m.n);
    const int64_t each = i == last ? pack : 1;
    p.size[k] = i < 0 ? 1 : static_cast<unsigned>(m.size[i] / each);
    p.divider[k] = divider_of(p.size[k]);
    p.to_strides[k] = i < 0 ? 0 : m.stride[0][i] * each;
    p.from_strides[k] = i < 0 ? 0 : m.stride[1][i] * each;
  }
  launch_packs(cat("copy_", bytes, "x", pack), p);
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
  if (copy_through_tiles(t, f, m, bytes) || copy_lines(t, f, m, bytes) ||
      copy_in_packs(t, f, m, bytes))
    return;
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
      launch_over("copy", cat("copy_walk_", bytes), p.n, p);
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
  for (int i = 0; i < m.n; ++i) {
    p.size[i] = m.size[i];
    p.to_stride[i] = m.stride[0][i];
    p.from_stride[i] = m.stride[1][i];
  }
  launch_over("copy", cat("copy_walk_", bytes), p.n, p);
}

}  // namespace legato::cuda
