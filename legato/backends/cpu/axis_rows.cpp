#include "legato/backends/cpu/axis_rows.h"

#include <algorithm>
#include <cstring>

#include "legato/backends/cpu/scratch.h"
#include "legato/base/thread_pool.h"

namespace legato::cpu {
namespace {

constexpr double kTaskTime = 10000;  // ns; the pool costs 1-3 us
constexpr int kMaxOperands = 8;
constexpr int64_t kTileBytes = 64;  // a cache line of neighbouring rows is gathered at once

template <class T>
void transpose(const T* from, int64_t from_stride, T* to, int64_t to_stride, int64_t rows,
               int64_t cols) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < cols; ++j) to[j * to_stride + i] = from[i * from_stride + j];
}

// to(j, i) = from(i, j) for i < rows, j < cols; strides in elements.
void transpose(int64_t bytes, const char* from, int64_t from_stride, char* to, int64_t to_stride,
               int64_t rows, int64_t cols) {
  switch (bytes) {
    case 1:
      return transpose(reinterpret_cast<const uint8_t*>(from), from_stride,
                       reinterpret_cast<uint8_t*>(to), to_stride, rows, cols);
    case 2:
      return transpose(reinterpret_cast<const uint16_t*>(from), from_stride,
                       reinterpret_cast<uint16_t*>(to), to_stride, rows, cols);
    case 4:
      return transpose(reinterpret_cast<const uint32_t*>(from), from_stride,
                       reinterpret_cast<uint32_t*>(to), to_stride, rows, cols);
    case 8:
      return transpose(reinterpret_cast<const uint64_t*>(from), from_stride,
                       reinterpret_cast<uint64_t*>(to), to_stride, rows, cols);
    default:
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < cols; ++j)
          std::memcpy(to + (j * to_stride + i) * bytes, from + (i * from_stride + j) * bytes,
                      static_cast<size_t>(bytes));
  }
}

}  // namespace

AxisSplit split_axis(const Shape& shape, int axis) {
  AxisSplit s;
  for (int i = 0; i < axis; ++i) s.outer *= shape[static_cast<size_t>(i)];
  s.n = shape[static_cast<size_t>(axis)];
  for (size_t i = static_cast<size_t>(axis) + 1; i < shape.size(); ++i) s.inner *= shape[i];
  return s;
}

void for_axis_rows(std::span<const RowOperand> operands, int inputs, const AxisSplit& split,
                   double cost, FunctionRef<void(void* const* pointers, int64_t rows)> body) {
  const int64_t rows = split.outer * split.inner;
  if (rows == 0) return;
  const int64_t per_task = std::max<int64_t>(
      1, static_cast<int64_t>(kTaskTime /
                              (cost * static_cast<double>(std::max<int64_t>(1, split.n)) + 5)));
  auto run = [](int64_t tasks, FunctionRef<void(int64_t)> task) {
    if (tasks == 1)
      task(0);
    else
      parallel_for(tasks, task);
  };

  if (split.inner == 1) {
    run((rows + per_task - 1) / per_task, [&](int64_t task) {
      const int64_t first = task * per_task, count = std::min(per_task, rows - first);
      void* pointers[kMaxOperands];
      for (size_t k = 0; k < operands.size(); ++k)
        pointers[k] =
            static_cast<char*>(operands[k].data) + first * operands[k].n * operands[k].bytes;
      body(pointers, count);
    });
    return;
  }

  int64_t widest = 1, row_bytes = 0;
  for (const RowOperand& o : operands) {
    widest = std::max(widest, o.bytes);
    row_bytes += o.n * o.bytes + 64;
  }
  const int64_t tile = std::min(split.inner, std::max<int64_t>(1, kTileBytes / widest));
  const int64_t tiles = (split.inner + tile - 1) / tile;
  const int64_t groups = std::max<int64_t>(1, per_task / tile);
  run((split.outer * tiles + groups - 1) / groups, [&](int64_t task) {
    char* memory =
        scratch<char>(Scratch::rows, static_cast<size_t>(tile * row_bytes + 64 * kMaxOperands));
    void* pointers[kMaxOperands];
    for (size_t k = 0; k < operands.size(); ++k) {
      pointers[k] = memory;
      memory += (tile * operands[k].n * operands[k].bytes + 63) / 64 * 64;
    }
    const int64_t end = std::min(split.outer * tiles, (task + 1) * groups);
    for (int64_t g = task * groups; g < end; ++g) {
      const int64_t outer = g / tiles, column = g % tiles * tile,
                    count = std::min(tile, split.inner - column);
      auto place = [&](const RowOperand& o) {
        return static_cast<char*>(o.data) + (outer * o.n * split.inner + column) * o.bytes;
      };
      for (size_t k = 0; k < static_cast<size_t>(inputs); ++k) {
        const RowOperand& o = operands[k];
        transpose(o.bytes, place(o), split.inner, static_cast<char*>(pointers[k]), o.n, o.n, count);
      }
      body(pointers, count);
      for (size_t k = static_cast<size_t>(inputs); k < operands.size(); ++k) {
        const RowOperand& o = operands[k];
        transpose(o.bytes, static_cast<const char*>(pointers[k]), o.n, place(o), split.inner, count,
                  o.n);
      }
    }
  });
}

}  // namespace legato::cpu
