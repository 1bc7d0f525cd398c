// Copies between layouts, by the size of an element.
#include "legato/backends/cuda/copy.cuh"
#include "legato/backends/cuda/divide.cuh"
#include "legato/backends/cuda/lane.cuh"

namespace legato::cuda {

struct alignas(16) Sixteen {
  uint64_t half[2];
};

/// One element a thread, in the order of `to`'s axes. For what the other kernels do not take.
template <class T>
LEGATO_INLINE void copy_walk(const CopyParams& p) {
  const uint64_t n = static_cast<uint64_t>(p.n),
                 step = static_cast<uint64_t>(gridDim.x) * blockDim.x;
  for (uint64_t i = static_cast<uint64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n;
       i += step) {
    uint64_t rest = i;
    int64_t to = 0, from = 0;
#pragma unroll 1
    for (int axis = p.axes - 1; axis >= 0; --axis) {
      const uint64_t size = static_cast<uint64_t>(p.size[axis]), next = rest / size;
      const int64_t at = static_cast<int64_t>(rest - next * size);
      to += at * p.to_stride[axis];
      from += at * p.from_stride[axis];
      rest = next;
    }
    static_cast<T*>(p.to)[to] = static_cast<const T*>(p.from)[from];
  }
}

/// V elements that are consecutive in `to` at once, two such packs on the way.
template <class T, int V>
LEGATO_INLINE void copy_packs(const PackCopyParams& p) {
  constexpr int U = 2;
  const uint32_t step = gridDim.x * blockDim.x;
  for (uint64_t first = blockIdx.x * blockDim.x + threadIdx.x; first < p.n; first += U * step) {
    Pack<T, V> v[U];
    long long to[U];
#pragma unroll
    for (int u = 0; u < U; ++u) {
      uint32_t rest = static_cast<uint32_t>(first) + u * step;
      if (first + static_cast<uint64_t>(u) * step >= p.n) rest = static_cast<uint32_t>(first);
      long long from = 0;
      to[u] = 0;
#pragma unroll 1
      for (int axis = p.axes - 1; axis > 0; --axis) {
        const uint32_t next = divide(rest, p.divider[axis]), at = rest - next * p.size[axis];
        to[u] += at * p.to_strides[axis];
        from += at * p.from_strides[axis];
        rest = next;
      }
      to[u] += rest * p.to_strides[0];
      const T* source = static_cast<const T*>(p.from) + from + rest * p.from_strides[0];
      if (V > 1 && p.whole) {
        v[u] = load_pack<T, V>(source);
      } else {
#pragma unroll
        for (int e = 0; e < V; ++e) v[u].at[e] = source[e * p.from_stride];
      }
    }
#pragma unroll
    for (int u = 0; u < U; ++u)
      if (first + static_cast<uint64_t>(u) * step < p.n)
        store_pack<T, V>(static_cast<T*>(p.to) + to[u], v[u]);
  }
}

/// The tile of a block: how much of it there is, and where it begins on both sides.
template <class T>
struct Tile {
  const T* from;
  T* to;
  int rows, cols;
  LEGATO_INLINE explicit Tile(const TileCopyParams& p) {
    constexpr int side = copy_tile<sizeof(T)>;
    uint32_t block = blockIdx.x, next = block / p.col_tiles;
    const long long col0 = static_cast<long long>(block - next * p.col_tiles) * side;
    block = next;
    next = block / p.row_tiles;
    const long long row0 = static_cast<long long>(block - next * p.row_tiles) * side;
    block = next;
    from = static_cast<const T*>(p.from) + row0 + col0 * p.from_col;
    to = static_cast<T*>(p.to) + row0 * p.to_row + col0;
#pragma unroll 1
    for (int axis = p.axes - 1; axis >= 0; --axis) {
      next = block / p.size[axis];
      const long long at = block - next * p.size[axis];
      to += at * p.to_stride[axis];
      from += at * p.from_stride[axis];
      block = next;
    }
    rows = p.rows - row0 < side ? static_cast<int>(p.rows - row0) : side;
    cols = p.cols - col0 < side ? static_cast<int>(p.cols - col0) : side;
  }
  /// The V elements from `at` on, of which `count` exist, in pieces of `bytes` bytes.
  template <int V>
  static LEGATO_INLINE Pack<T, V> bring(const T* at, int count, int bytes) {
    Pack<T, V> v{};
    if (count >= V && bytes == 16) return load_pack<T, V>(at);
    if (count >= V && bytes >= 4) {
      uint32_t w[4];
#pragma unroll
      for (int e = 0; e < 4; ++e) w[e] = reinterpret_cast<const uint32_t*>(at)[e];
      memcpy(&v, w, sizeof v);
      return v;
    }
#pragma unroll
    for (int e = 0; e < V; ++e)
      if (e < count) v.at[e] = at[e];
    return v;
  }
  template <int V>
  static LEGATO_INLINE void put(T* at, const Pack<T, V>& v, int count, int bytes) {
    if (count >= V && bytes == 16) {
      store_pack<T, V>(at, v);
    } else if (count >= V && bytes >= 4) {
      uint32_t w[4];
      memcpy(w, &v, sizeof v);
#pragma unroll
      for (int e = 0; e < 4; ++e) reinterpret_cast<uint32_t*>(at)[e] = w[e];
    } else {
#pragma unroll
      for (int e = 0; e < V; ++e)
        if (e < count) at[e] = v.at[e];
    }
  }
};

/// Where an element of a tile lies in shared memory. Lines are one element longer than a tile, and
/// turned: neither those who write neighbours of a line nor those who read across lines meet in a
/// bank.
template <class T>
LEGATO_INLINE int tile_place(int line, int at) {
  constexpr int side = copy_tile<sizeof(T)>, lines = sizeof(T) == 4 ? 32 : 16;
  return line * (side + 1) + ((at + line / lines * (sizeof(T) == 4 ? 2 : 1)) & (side - 1));
}

/// Reads along the source's lines into shared memory, writes along the target's, 16 bytes at a
/// time.
template <class T>
LEGATO_INLINE void copy_tiles(const TileCopyParams& p, T* memory) {
  constexpr int side = copy_tile<sizeof(T)>, V = 16 / sizeof(T);
  constexpr int across = side / V, down = kCopyThreads / across, steps = side / down;
  const Tile<T> tile(p);
  const int x = static_cast<int>(threadIdx.x) % across * V,
            y = static_cast<int>(threadIdx.x) / across;
  Pack<T, V> v[steps];
#pragma unroll
  for (int k = 0; k < steps; ++k) {
    const int line = y + k * down;
    v[k] = Tile<T>::template bring<V>(tile.from + line * p.from_col + x,
                                      line < tile.cols ? tile.rows - x : 0, p.from_bytes);
  }
#pragma unroll
  for (int k = 0; k < steps; ++k)
#pragma unroll
    for (int e = 0; e < V; ++e) memory[tile_place<T>(y + k * down, x + e)] = v[k].at[e];
  __syncthreads();
#pragma unroll
  for (int k = 0; k < steps; ++k) {
    const int line = y + k * down;
    Pack<T, V> out;
#pragma unroll
    for (int e = 0; e < V; ++e) out.at[e] = memory[tile_place<T>(x + e, line)];
    Tile<T>::template put<V>(tile.to + line * p.to_row + x, out,
                             line < tile.rows ? tile.cols - x : 0, p.to_bytes);
  }
}

/// The same for elements of less than a word. A thread reads 16 bytes of each of as many lines as
/// elements fill a word, and turns them round in registers: words, which hold neighbours of a line
/// of the target, go through shared memory. There, too, lines are turned against each other.
template <class T>
LEGATO_INLINE void copy_word_tiles(const TileCopyParams& p, uint32_t* memory) {
  constexpr int side = copy_tile<sizeof(T)>, V = 16 / sizeof(T), K = 4 / sizeof(T);
  constexpr int across = side / V, words = side / K;  // threads along a line; words of a line
  static_assert(words == 32 && across == 8 && kCopyThreads == across * words);
  const Tile<T> tile(p);
  const int x = static_cast<int>(threadIdx.x) % across, y = static_cast<int>(threadIdx.x) / across;
  Pack<T, V> v[K];
#pragma unroll
  for (int k = 0; k < K; ++k) {
    const int line = y * K + k;
    v[k] = Tile<T>::template bring<V>(tile.from + line * p.from_col + x * V,
                                      line < tile.cols ? tile.rows - x * V : 0, p.from_bytes);
  }
#pragma unroll
  for (int e = 0; e < V; ++e) {
    Pack<T, K> word;
#pragma unroll
    for (int k = 0; k < K; ++k) word.at[k] = v[k].at[e];
    memory[(x * V + e) * words + ((y + 4 * x) & (words - 1))] = __builtin_bit_cast(uint32_t, word);
  }
  __syncthreads();
#pragma unroll
  for (int k = 0; k < K; ++k) {
    const int line = y + k * words;  // of the target
    const int turned = (4 * x + 4 * (line / V)) & (words - 1);
    const auto four = load_pack<uint32_t, 4>(memory + line * words + turned);
    using TPack = Pack<T, V>;
    const auto out = __builtin_bit_cast(TPack, four);
    Tile<T>::template put<V>(tile.to + line * p.to_row + x * V, out,
                             line < tile.rows ? tile.cols - x * V : 0, p.to_bytes);
  }
}

#define LEGATO_COPY_WALK(bytes, T) \
  LEGATO_KERNEL(copy_walk_##bytes, CopyParams, kCopyThreads) { copy_walk<T>(p); }
#define LEGATO_COPY_PACKS(bytes, T, V) \
  LEGATO_KERNEL(copy_##bytes##x##V, PackCopyParams, kCopyThreads) { copy_packs<T, V>(p); }
#define LEGATO_COPY_TILES(bytes, T)                                 \
  LEGATO_KERNEL(copy_tiles_##bytes, TileCopyParams, kCopyThreads) { \
    __shared__ T memory[copy_tile<bytes> * (copy_tile<bytes> + 1)]; \
    copy_tiles<T>(p, memory);                                       \
  }
#define LEGATO_COPY_WORD_TILES(bytes, T)                                                \
  LEGATO_KERNEL(copy_tiles_##bytes, TileCopyParams, kCopyThreads) {                     \
    __shared__ __attribute__((                                                          \
        aligned(16))) uint32_t memory[copy_tile<bytes> * copy_tile<bytes> * bytes / 4]; \
    copy_word_tiles<T>(p, memory);                                                      \
  }
LEGATO_COPY_WALK(1, uint8_t)
LEGATO_COPY_WALK(2, uint16_t)
LEGATO_COPY_WALK(4, uint32_t)
LEGATO_COPY_WALK(8, uint64_t)
LEGATO_COPY_WALK(16, Sixteen)
LEGATO_COPY_PACKS(1, uint8_t, 16)
LEGATO_COPY_PACKS(1, uint8_t, 4)
LEGATO_COPY_PACKS(1, uint8_t, 1)
LEGATO_COPY_PACKS(2, uint16_t, 8)
LEGATO_COPY_PACKS(2, uint16_t, 2)
LEGATO_COPY_PACKS(2, uint16_t, 1)
LEGATO_COPY_PACKS(4, uint32_t, 4)
LEGATO_COPY_PACKS(4, uint32_t, 2)
LEGATO_COPY_PACKS(4, uint32_t, 1)
LEGATO_COPY_PACKS(8, uint64_t, 2)
LEGATO_COPY_PACKS(8, uint64_t, 1)
LEGATO_COPY_PACKS(16, Sixteen, 1)
LEGATO_COPY_WORD_TILES(1, uint8_t)
LEGATO_COPY_WORD_TILES(2, uint16_t)
LEGATO_COPY_TILES(4, uint32_t)
LEGATO_COPY_TILES(8, uint64_t)

}  // namespace legato::cuda
