// How the kernels of packs.cuh share a row among threads.
#pragma once

#include <bit>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "legato/array/dtype.h"

namespace legato::cuda {

inline constexpr int kLongThreads = 512;  // as in packs.cuh

/// An instance of a row kernel: `packs` loads of `wide` elements a thread, `most` threads a block.
struct RowInstance {
  int wide, packs, most;
};

/// All instances of a kernel, by size of the elements.
struct RowInstances {
  std::span<const RowInstance> half, single, twice;
  std::span<const RowInstance> of(Dtype dtype) const {
    return size_of(dtype) == 2 ? half : size_of(dtype) == 4 ? single : twice;
  }
};

struct RowSplit {
  RowInstance instance{};
  int group = 0,
      threads = 0;  // threads of a row and of a block; group 0: no instance is long enough
  int64_t blocks(int64_t rows) const {
    const int64_t per = threads / group;
    return (rows + per - 1) / per;
  }
  /// "_w8_k4", the ending of the instance's name before the dtype's.
  std::string ending() const {
    return "_w" + std::to_string(instance.wide) + "_k" + std::to_string(instance.packs);
  }
};

/// Elements that one load takes: 16 bytes where rows of n begin at multiples of that, else one.
inline int load_width(Dtype dtype, int64_t n, std::initializer_list<const void*> pointers) {
  const int64_t wide = 16 / size_of(dtype);
  bool aligned = n % wide == 0;
  for (const void* p : pointers) aligned &= reinterpret_cast<uintptr_t>(p) % 16 == 0;
  return aligned ? static_cast<int>(wide) : 1;
}

/// The instance that wastes the fewest threads; among equals, the one with the most packs a thread.
inline RowSplit split_row(const RowInstances& instances, Dtype dtype, int wide, int64_t n) {
  RowSplit best;
  int64_t least = INT64_MAX;
  for (const RowInstance& i : instances.of(dtype)) {
    const int64_t one = int64_t{i.wide} * i.packs;
    if (i.wide != wide || n > one * i.most) continue;
    const auto group = static_cast<int>(std::bit_ceil(static_cast<uint64_t>((n + one - 1) / one)));
    if (group > i.most) continue;
    const int64_t slots = group * one;
    if (slots > least) continue;
    least = slots;
    best = {i, group, group > 128 ? group : 128};
  }
  return best;
}

/// How rows that do not fit a block are cut, so that they fill the device.
struct RowParts {
  int64_t count, size;
};
inline RowParts cut_rows(int64_t rows, int64_t n, int multiprocessors) {
  constexpr int64_t kShortest = 16384;  // elements: below, a cut costs more than it brings
  const int64_t wanted = int64_t{multiprocessors} * 4;
  if (rows * 2 >= wanted) return {1, n};
  const int64_t even = n / (wanted / rows),
                size = ((even > kShortest ? even : kShortest) + 7) / 8 * 8;
  return {(n + size - 1) / size, size};
}

}  // namespace legato::cuda
