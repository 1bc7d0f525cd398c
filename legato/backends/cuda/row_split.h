// How the kernels of packs.cuh share a row among threads.
#pragma once

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
  std::span<const RowInstance> odd;  // of halves, for Note [Odd rows]; may be empty
  std::span<const RowInstance> of(Dtype dtype) const {
    return size_of(dtype) == 2 ? half : size_of(dtype) == 4 ? single : twice;
  }
};

struct RowSplit {
  RowInstance instance{};
  bool odd = false;
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
int load_width(Dtype dtype, int64_t n, std::initializer_list<const void*> pointers);

/// The instance that costs least for rows of n elements at these addresses.
RowSplit split_row(const RowInstances& instances, Dtype dtype, int64_t n,
                   std::initializer_list<const void*> pointers);

/// How rows that do not fit a block are cut, so that they fill the device.
struct RowParts {
  int64_t count, size;
};
RowParts cut_rows(int64_t rows, int64_t n, int multiprocessors);

}  // namespace legato::cuda
