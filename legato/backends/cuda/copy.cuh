// Parameters of the copy kernels, for both sides.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"

namespace legato::cuda {

struct CopyParams {
  void* to;
  const void* from;
  long long n;  // elements
  int axes;
  long long size[kMaxAxes], to_stride[kMaxAxes], from_stride[kMaxAxes];
};

/// Packs of elements that are consecutive in `to`. The last axis counts packs, and its strides are
/// of packs.
struct PackCopyParams {
  void* to;
  const void* from;
  unsigned n;  // packs
  int axes;
  int whole;              // whether a pack is consecutive and aligned in `from` as well
  long long from_stride;  // of the elements of a pack
  unsigned size[kMaxAxes];
  Divider divider[kMaxAxes];
  long long to_strides[kMaxAxes], from_strides[kMaxAxes];
};

/// A matrix of rows x cols that is consecutive along its columns in `to` and along its rows in
/// `from`, for each index of the other axes.
struct TileCopyParams {
  void* to;
  const void* from;
  long long rows, cols, to_row, from_col;
  unsigned row_tiles, col_tiles;
  int to_bytes, from_bytes;  // what lines begin at multiples of: 16 or an element
  int axes;
  unsigned size[kMaxAxes];
  long long to_stride[kMaxAxes], from_stride[kMaxAxes];
};

inline constexpr int kCopyThreads = 256;
/// Elements on a side of a tile, by the bytes of one.
template <int bytes>
inline constexpr int copy_tile = bytes == 1   ? 128
                                 : bytes == 8 ? 32
                                              : 64;

}  // namespace legato::cuda
