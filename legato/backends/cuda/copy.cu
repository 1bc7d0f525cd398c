// Copies between layouts, by the size of an element.
#include "legato/backends/cuda/copy.cuh"
#include "legato/backends/cuda/lane.cuh"

namespace legato::cuda {

struct alignas(16) Sixteen {
  uint64_t half[2];
};

/// One element a thread, in the order of `to`'s axes.
template <class T, class Index, class Offset>
LEGATO_INLINE void copy_walk(const CopyParams& p) {
  const Index n = static_cast<Index>(p.n), step = static_cast<Index>(gridDim.x) * blockDim.x;
  for (Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step) {
    Index rest = i;
    Offset to = 0, from = 0;
    for (int axis = p.axes - 1; axis >= 0; --axis) {
      const Index size = static_cast<Index>(p.size[axis]), next = rest / size;
      const Offset at = static_cast<Offset>(rest - next * size);
      to += at * static_cast<Offset>(p.to_stride[axis]);
      from += at * static_cast<Offset>(p.from_stride[axis]);
      rest = next;
    }
    static_cast<T*>(p.to)[to] = static_cast<const T*>(p.from)[from];
  }
}

/// Reads along the source's lines into shared memory, writes along the target's. The extra column
/// keeps the threads of a warp in different banks.
template <class T>
LEGATO_INLINE void copy_tile(const TileCopyParams& p, T (*tile)[kCopyTile + 1]) {
  long long block = blockIdx.x;
  const long long col0 = block % p.col_tiles * kCopyTile;
  block /= p.col_tiles;
  const long long row0 = block % p.row_tiles * kCopyTile;
  block /= p.row_tiles;
  long long to = 0, from = 0;
  for (int axis = p.axes - 1; axis >= 0; --axis) {
    const long long at = block % p.size[axis];
    block /= p.size[axis];
    to += at * p.to_stride[axis];
    from += at * p.from_stride[axis];
  }
  const int x = threadIdx.x % kCopyTile, y = threadIdx.x / kCopyTile;
  for (int j = y; j < kCopyTile; j += kCopyRows)
    if (row0 + x < p.rows && col0 + j < p.cols)
      tile[j][x] = static_cast<const T*>(p.from)[from + row0 + x + (col0 + j) * p.from_col];
  __syncthreads();
  for (int j = y; j < kCopyTile; j += kCopyRows)
    if (row0 + j < p.rows && col0 + x < p.cols)
      static_cast<T*>(p.to)[to + (row0 + j) * p.to_row + col0 + x] = tile[x][j];
}

#define LEGATO_COPY(bytes, T)                                                          \
  LEGATO_KERNEL(copy_##bytes, CopyParams, 256) { copy_walk<T, uint32_t, int32_t>(p); } \
  LEGATO_KERNEL(copy_wide_##bytes, CopyParams, 256) { copy_walk<T, uint64_t, int64_t>(p); }
#define LEGATO_COPY_TILES(bytes, T)                        \
  LEGATO_KERNEL(copy_tiles_##bytes, TileCopyParams, 256) { \
    __shared__ T tile[kCopyTile][kCopyTile + 1];           \
    copy_tile<T>(p, tile);                                 \
  }
LEGATO_COPY(1, uint8_t)
LEGATO_COPY(2, uint16_t)
LEGATO_COPY(4, uint32_t)
LEGATO_COPY(8, uint64_t)
LEGATO_COPY(16, Sixteen)
LEGATO_COPY_TILES(1, uint8_t)
LEGATO_COPY_TILES(2, uint16_t)
LEGATO_COPY_TILES(4, uint32_t)
LEGATO_COPY_TILES(8, uint64_t)

}  // namespace legato::cuda
