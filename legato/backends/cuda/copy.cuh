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

inline constexpr int kCopyTile = 32,
                     kCopyRows = 8;  // a block moves 32 x 32 elements, 8 rows at once

/// A matrix of rows x cols that is consecutive along its columns in `to` and along its rows in
/// `from`, for each index of the other axes.
struct TileCopyParams {
  void* to;
  const void* from;
  long long rows, cols, to_row, from_col, row_tiles, col_tiles;
  int axes;
  long long size[kMaxAxes], to_stride[kMaxAxes], from_stride[kMaxAxes];
};

}  // namespace legato::cuda
