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
/// of packs. Fewer axes than kFewAxes have some of size 1 before them: walks of known length take
/// half as long.
inline constexpr int kFewAxes = 4;
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
  int to_packs, from_packs;  // whether lines begin at multiples of 16 bytes
  int axes;
  unsigned size[kMaxAxes];
  long long to_stride[kMaxAxes], from_stride[kMaxAxes];
};

/// Lines of elements that are consecutive on both sides, and begin anywhere. Strides are of the
/// axes before that of the lines.
struct LineCopyParams {
  void* to;
  const void* from;
  long long length;  // elements of a line
  unsigned n;        // lines * packs
  int axes;
  Divider packs;  // of a line, also the one that its beginning cuts
  unsigned packs_a_line;
  unsigned size[kMaxAxes];
  Divider divider[kMaxAxes];
  long long to_strides[kMaxAxes], from_strides[kMaxAxes];
};

inline constexpr int kCopyThreads = 256;
inline constexpr int kCopyEach = 2;  // packs that a thread has on the way
/// Elements on a side of a tile, by the bytes of one.
template <int bytes>
inline constexpr int copy_tile = bytes == 1   ? 128
                                 : bytes == 8 ? 32
                                              : 64;

/// Tiles whose lines of the target begin anywhere, see copy_windows; by the bytes of an element.
template <int bytes>
struct CopyWindow {
  static constexpr int rows = bytes == 8 ? 32 : 64, cols = bytes == 2 ? 128 : 64,
                       halo = 32 / bytes - 1;
  /// Elements between lines in shared memory: an odd number of words or double words.
  static constexpr int line = bytes == 2 ? cols + halo + 3 : cols + halo;
};

}  // namespace legato::cuda
