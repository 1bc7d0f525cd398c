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
  const uint32_t first = blockIdx.x * (kCopyEach * kCopyThreads) + threadIdx.x;
  constexpr int U = kCopyEach;
  if (first >= p.n) return;
  Pack<T, V> v[U];
  long long to[U];
#pragma unroll
  for (int u = 0; u < U; ++u) {
    uint32_t rest = first + u * kCopyThreads;
    if (rest >= p.n) rest = first;
    long long from = 0;
    to[u] = 0;
    auto step_in = [&](int axis) {
      const uint32_t next = divide(rest, p.divider[axis]), at = rest - next * p.size[axis];
      to[u] += at * p.to_strides[axis];
      from += at * p.from_strides[axis];
      rest = next;
    };
    if (p.axes == kFewAxes) {
#pragma unroll
      for (int axis = kFewAxes - 1; axis > 0; --axis) step_in(axis);
    } else {
#pragma unroll 1
      for (int axis = p.axes - 1; axis > 0; --axis) step_in(axis);
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
    if (first + u * kCopyThreads < p.n) store_pack<T, V>(static_cast<T*>(p.to) + to[u], v[u]);
}

/// 16 bytes of elements that begin anywhere, by the words that hold them.
template <class T, int V>
LEGATO_INLINE Pack<T, V> load_anywhere(const T* from) {
  static_assert(sizeof(T) * V == 16);
  const auto at = reinterpret_cast<uintptr_t>(from);
  if (at % 16 == 0) return load_pack<T, V>(from);
  const auto* words = reinterpret_cast<const uint32_t*>(at & ~uintptr_t{3});
  const unsigned shift = static_cast<unsigned>(at % 4) * 8;
  struct {
    uint32_t at[5];
  } w;
#pragma unroll
  for (int k = 0; k < 4; ++k) w.at[k] = words[k];
  w.at[4] = shift ? words[4] : 0;
  struct alignas(16) {
    uint32_t at[4];
  } v;
#pragma unroll
  for (int k = 0; k < 4; ++k)
    v.at[k] = shift ? w.at[k] >> shift | w.at[k + 1] << (32 - shift) : w.at[k];
  using TPack = Pack<T, V>;
  return __builtin_bit_cast(TPack, v);
}

/// A thread writes what lies in 16 bytes of a line of the target, wherever it begins.
template <class T>
LEGATO_INLINE void copy_lines(const LineCopyParams& p) {
  constexpr int V = 16 / sizeof(T), U = kCopyEach;
  const uint32_t item = blockIdx.x * (kCopyEach * kCopyThreads) + threadIdx.x;
  Pack<T, V> v[U];
  T* to[U];
  const T* from[U];
  int begin[U], end[U];
#pragma unroll
  for (int u = 0; u < U; ++u) {
    begin[u] = end[u] = 0;
    const uint32_t i = item + u * kCopyThreads;
    if (i >= p.n) continue;
    uint32_t rest = divide(i, p.packs);
    const uint32_t pack = i - rest * p.packs_a_line;
    to[u] = static_cast<T*>(p.to);
    from[u] = static_cast<const T*>(p.from);
#pragma unroll 1
    for (int axis = p.axes - 1; axis >= 0; --axis) {
      const uint32_t next = divide(rest, p.divider[axis]), at = rest - next * p.size[axis];
      to[u] += at * p.to_strides[axis];
      from[u] += at * p.from_strides[axis];
      rest = next;
    }
    const long long first =
        static_cast<long long>(pack) * V -
        static_cast<int>(reinterpret_cast<uintptr_t>(to[u]) / sizeof(T) & (V - 1));
    to[u] += first;
    from[u] += first;
    begin[u] = first < 0 ? static_cast<int>(-first) : 0;
    end[u] = p.length - first < V ? static_cast<int>(p.length - first) : V;
    if (end[u] - begin[u] == V) v[u] = load_anywhere<T, V>(from[u]);
  }
#pragma unroll
  for (int u = 0; u < U; ++u)
    if (end[u] - begin[u] == V)
      store_pack<T, V>(to[u], v[u]);
    else
      for (int e = begin[u]; e < end[u]; ++e) to[u][e] = from[u][e];
}

/// The tile of a block: how much of it there is, and where it begins on both sides.
template <class T>
struct Tile {
  const T* from;
  T* to;
  int rows, cols;
  long long col0;  // of the target's columns
  bool whole;
  LEGATO_INLINE Tile(const TileCopyParams& p, int most_rows, int most_cols) {
    uint32_t block = blockIdx.x, next = block / p.col_tiles;
    col0 = static_cast<long long>(block - next * p.col_tiles) * most_cols;
    block = next;
    next = block / p.row_tiles;
    const long long row0 = static_cast<long long>(block - next * p.row_tiles) * most_rows;
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
    rows = p.rows - row0 < most_rows ? static_cast<int>(p.rows - row0) : most_rows;
    cols = p.cols - col0 < most_cols ? static_cast<int>(p.cols - col0) : most_cols;
    whole = rows == most_rows && cols == most_cols;
  }
  template <int V>
  static LEGATO_INLINE void put(T* at, const Pack<T, V>& v, int count) {
    if (count >= V) {
      store_pack<T, V>(at, v);
    } else {
#pragma unroll
      for (int e = 0; e < V; ++e)
        if (e < count) at[e] = v.at[e];
    }
  }
};

/// Packs at element x of n lines of the source, from line y on. All loads of a whole tile are on
/// the way before the first one is waited for.
template <class T, int V, int n>
LEGATO_INLINE void bring_lines(const Tile<T>& tile, const TileCopyParams& p, int x, int y, int step,
                               Pack<T, V> (&v)[n]) {
  if (tile.whole && p.from_packs) {
#pragma unroll
    for (int k = 0; k < n; ++k) v[k] = load_pack<T, V>(tile.from + (y + k * step) * p.from_col + x);
    return;
  }
#pragma unroll
  for (int k = 0; k < n; ++k) {
    const int line = y + k * step, count = line < tile.cols ? tile.rows - x : 0;
    const T* from = tile.from + line * p.from_col + x;
#pragma unroll
    for (int e = 0; e < V; ++e) v[k].at[e] = e < count ? from[e] : T{};
  }
}

/// Where an element of a tile lies in shared memory. Lines are one element longer than a tile, and
/// turned: neither those who write neighbours of a line nor those who read across lines meet in a
/// bank.
template <class T>
LEGATO_INLINE int tile_place(int line, int at) {
  constexpr int side = copy_tile<sizeof(T)>, lines = sizeof(T) == 4 ? 32 : 16;
  return line * (side + 1) + ((at + line / lines * (sizeof(T) == 4 ? 2 : 1)) & (side - 1));
}

/// Reads along the source's lines into shared memory, writes along the target's: 16 bytes at a time
/// where lines begin at multiples of that, else neighbouring threads take neighbouring elements.
template <class T>
LEGATO_INLINE void copy_tiles(const TileCopyParams& p, T* memory) {
  constexpr int side = copy_tile<sizeof(T)>, V = 16 / sizeof(T);
  constexpr int across = side / V, down = kCopyThreads / across, steps = side / down;
  constexpr int lines = kCopyThreads / side, turns = side / lines;  // element by element
  const Tile<T> tile(p, side, side);
  const int thread = static_cast<int>(threadIdx.x), x = thread % across * V, y = thread / across,
            at = thread % side, first = thread / side;
  if (p.from_packs) {
    Pack<T, V> v[steps];
    bring_lines<T, V, steps>(tile, p, x, y, down, v);
#pragma unroll
    for (int k = 0; k < steps; ++k)
#pragma unroll
      for (int e = 0; e < V; ++e) memory[tile_place<T>(y + k * down, x + e)] = v[k].at[e];
  } else {
    T v[turns];
#pragma unroll
    for (int k = 0; k < turns; ++k) {
      const int line = first + k * lines;
      v[k] = line < tile.cols && at < tile.rows ? tile.from[line * p.from_col + at] : T{};
    }
#pragma unroll
    for (int k = 0; k < turns; ++k) memory[tile_place<T>(first + k * lines, at)] = v[k];
  }
  __syncthreads();
  if (p.to_packs) {
#pragma unroll
    for (int k = 0; k < steps; ++k) {
      const int line = y + k * down;
      Pack<T, V> out;
#pragma unroll
      for (int e = 0; e < V; ++e) out.at[e] = memory[tile_place<T>(x + e, line)];
      Tile<T>::template put<V>(tile.to + line * p.to_row + x, out,
                               line < tile.rows ? tile.cols - x : 0);
    }
  } else {
#pragma unroll
    for (int k = 0; k < turns; ++k) {
      const int line = first + k * lines;
      if (line < tile.rows && at < tile.cols)
        tile.to[line * p.to_row + at] = memory[tile_place<T>(at, line)];
    }
  }
}

/// The same for elements of less than a word. A thread reads 16 bytes of each of as many lines as
/// elements fill a word, and turns them round in registers: words, which hold neighbours of a line
/// of the target, go through shared memory. There, too, lines are turned against each other. A line
/// of the target that begins anywhere is written by whole words all the same, but for its ends.
template <class T>
LEGATO_INLINE void copy_word_tiles(const TileCopyParams& p, uint32_t* memory) {
  constexpr int side = copy_tile<sizeof(T)>, V = 16 / sizeof(T), K = 4 / sizeof(T);
  constexpr int across = side / V, words = side / K;  // threads along a line; words of a line
  static_assert(words == 32 && across == 8 && kCopyThreads == across * words);
  const Tile<T> tile(p, side, side);
  const int thread = static_cast<int>(threadIdx.x), x = thread % across, y = thread / across;
  Pack<T, V> v[K];
  bring_lines<T, V, K>(tile, p, x * V, y * K, 1, v);
#pragma unroll
  for (int e = 0; e < V; ++e) {
    Pack<T, K> word;
#pragma unroll
    for (int k = 0; k < K; ++k) word.at[k] = v[k].at[e];
    memory[(x * V + e) * words + ((y + 4 * x) & (words - 1))] = __builtin_bit_cast(uint32_t, word);
  }
  __syncthreads();
  if (p.to_packs) {
#pragma unroll
    for (int k = 0; k < K; ++k) {
      const int line = y + k * words;  // of the target
      const int turned = (4 * x + 4 * (line / V)) & (words - 1);
      const auto four = load_pack<uint32_t, 4>(memory + line * words + turned);
      using TPack = Pack<T, V>;
      const auto out = __builtin_bit_cast(TPack, four);
      Tile<T>::template put<V>(tile.to + line * p.to_row + x * V, out,
                               line < tile.rows ? tile.cols - x * V : 0);
    }
    return;
  }
  const T* elements = reinterpret_cast<const T*>(memory);
  const int lane = thread % 32, warp = thread / 32;
  for (int line = warp; line < side && line < tile.rows; line += kCopyThreads / 32) {
    T* to = tile.to + line * p.to_row;
    const int head = (K - static_cast<int>(reinterpret_cast<uintptr_t>(to) / sizeof(T))) & (K - 1);
    auto element = [&](int at) {
      return elements[line * side + ((at / K + 4 * (line / V)) & (words - 1)) * K + at % K];
    };
    const int at = head + lane * K;
    if (at + K <= tile.cols) {
      Pack<T, K> word;
#pragma unroll
      for (int k = 0; k < K; ++k) word.at[k] = element(at + k);
      store_pack<T, K>(to + at, word);
    } else {
#pragma unroll
      for (int k = 0; k < K; ++k)
        if (at + k < tile.cols) to[at + k] = element(at + k);
    }
    if (lane < head && lane < tile.cols) to[lane] = element(lane);
  }
}

/// Where lines of the target begin between multiples of 32 bytes, which is what memory takes whole:
/// a block writes to each of them what lies between two such multiples, and reads as many lines
/// of the source more as that may be shifted by. Neighbouring threads take neighbouring elements.
template <class T>
LEGATO_INLINE void copy_windows(const TileCopyParams& p, T* memory) {
  using Size = CopyWindow<sizeof(T)>;
  constexpr int lines = kCopyThreads / Size::rows,
                turns = (Size::cols + Size::halo + lines - 1) / lines;
  const Tile<T> tile(p, Size::rows, Size::cols);
  const long long left = p.cols - tile.col0;  // columns from the tile's first one on
  const int reach = Size::cols + Size::halo, cols = left < reach ? static_cast<int>(left) : reach,
            at = static_cast<int>(threadIdx.x) % Size::rows,
            first = static_cast<int>(threadIdx.x) / Size::rows;
  T v[turns];
#pragma unroll
  for (int k = 0; k < turns; ++k) {
    const int line = first + k * lines;
    v[k] = line < cols && at < tile.rows ? tile.from[line * p.from_col + at] : T{};
  }
#pragma unroll
  for (int k = 0; k < turns; ++k) {
    const int line = first + k * lines;
    if (line < reach) memory[at * Size::line + line] = v[k];
  }
  __syncthreads();
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  for (int line = warp; line < tile.rows; line += kCopyThreads / 32) {
    T* to = tile.to + line * p.to_row;
    const int behind = static_cast<int>(reinterpret_cast<uintptr_t>(to) / sizeof(T)) & Size::halo,
              shift = behind ? Size::halo + 1 - behind : 0, end = Size::cols + shift;
    for (int x = (tile.col0 ? shift : 0) + lane; x < (end < cols ? end : cols); x += 32)
      to[x] = memory[line * Size::line + x];
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
#define LEGATO_COPY_WINDOWS(bytes, T)                                       \
  LEGATO_KERNEL(copy_windows_##bytes, TileCopyParams, kCopyThreads) {       \
    __shared__ T memory[CopyWindow<bytes>::rows * CopyWindow<bytes>::line]; \
    copy_windows<T>(p, memory);                                             \
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
LEGATO_KERNEL(copy_lines_1, LineCopyParams, kCopyThreads) { copy_lines<uint8_t>(p); }
LEGATO_KERNEL(copy_lines_2, LineCopyParams, kCopyThreads) { copy_lines<uint16_t>(p); }
LEGATO_KERNEL(copy_lines_4, LineCopyParams, kCopyThreads) { copy_lines<uint32_t>(p); }
LEGATO_KERNEL(copy_lines_8, LineCopyParams, kCopyThreads) { copy_lines<uint64_t>(p); }
LEGATO_COPY_WORD_TILES(1, uint8_t)
LEGATO_COPY_WORD_TILES(2, uint16_t)
LEGATO_COPY_WINDOWS(2, uint16_t)
LEGATO_COPY_WINDOWS(4, uint32_t)
LEGATO_COPY_WINDOWS(8, uint64_t)
LEGATO_COPY_TILES(4, uint32_t)
LEGATO_COPY_TILES(8, uint64_t)

}  // namespace legato::cuda
