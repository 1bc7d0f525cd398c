// Gathers along the last axis: a block brings whole rows to shared memory, by neighbours, and picks
// there. Picked from memory, each element would cost a sector of 32 bytes.
#include "legato/backends/cuda/divide.cuh"
#include "legato/backends/cuda/lane.cuh"
#include "legato/backends/cuda/mma.cuh"
#include "legato/backends/cuda/report.cuh"
#include "legato/ops/index/staged.cuh"

namespace legato::cuda {

struct alignas(16) Sixteen {
  uint64_t half[2];
};

/// The rows that were copied are there, for all threads of the block.
LEGATO_INLINE void staged() {
  wait_copies<0>();
  __syncthreads();
}

/// Where an index leads within a row. One out of range is reported, and leads to the first element.
template <class I>
LEGATO_INLINE int place_of(const StagedParams& p, I given) {
  const auto v = static_cast<long long>(given);
  const long long at = v < 0 ? v + p.length : v;
  if (at >= 0 && at < p.length) return static_cast<int>(at);
  report_value(p.report, p.axis, v, p.length);
  return 0;
}

/// The elements of a block's rows, packs of V.
template <class T, class I, int V>
LEGATO_INLINE void pick(const StagedParams& p, const T* tile, long long first, int rows) {
  constexpr int U = V > 4 ? 16 / V : 4;  // packs of a thread at once
  const int begin = static_cast<int>(threadIdx.x) * V, total = rows * p.count;
  const I* indices = static_cast<const I*>(p.indices) + (p.shared ? 0 : first * p.count);
  T* to = static_cast<T*>(p.to) + first * p.count;
  for (int e = begin; e - begin < total; e += U * V * kStagedThreads) {
    Pack<I, V> index[U];
    int row[U];
#pragma unroll
    for (int u = 0; u < U; ++u) {
      const int at = e + u * V * kStagedThreads;
      if (at >= total) break;
      row[u] = static_cast<int>(divide(static_cast<uint32_t>(at), p.by_count));
      index[u] = load_pack<I, V>(indices + (p.shared ? at - row[u] * p.count : at));
    }
    if (e == begin) staged();  // indices come at the same time
#pragma unroll
    for (int u = 0; u < U; ++u) {
      const int at = e + u * V * kStagedThreads;
      if (at >= total) break;
      Pack<T, V> v;
#pragma unroll
      for (int k = 0; k < V; ++k) v.at[k] = tile[row[u] * p.length + place_of(p, index[u].at[k])];
      store_pack<T, V>(to + at, v);
    }
  }
}

template <class T, class I>
LEGATO_INLINE void pick_by(const StagedParams& p, const T* tile, long long first, int rows) {
  if (p.packs)
    pick<T, I, 16 / sizeof(T)>(p, tile, first, rows);
  else
    pick<T, I, 1>(p, tile, first, rows);
}

template <class T>
LEGATO_INLINE void gather_staged(const StagedParams& p, T* tile) {
  const long long first = static_cast<long long>(blockIdx.x) * p.block_rows;
  const int rows = p.rows - first < p.block_rows ? static_cast<int>(p.rows - first) : p.block_rows;
  const int thread = static_cast<int>(threadIdx.x), units = rows * p.length;
  const T* from = static_cast<const T*>(p.from) + first * p.length;
  const int bytes = units * static_cast<int>(sizeof(T));
  const int packs = p.whole_packs ? bytes / 16 : 0;
  for (int i = thread; i < packs; i += kStagedThreads)
    copy_16(reinterpret_cast<Sixteen*>(tile) + i, reinterpret_cast<const Sixteen*>(from) + i, true);
  commit_copies();
  for (int i = packs * 16 / static_cast<int>(sizeof(T)) + thread; i < units; i += kStagedThreads)
    tile[i] = from[i];
  if (p.index_bytes == -4)
    pick_by<T, int32_t>(p, tile, first, rows);
  else if (p.index_bytes == -8)
    pick_by<T, int64_t>(p, tile, first, rows);
  else
    pick_by<T, uint32_t>(p, tile, first, rows);
}

#define LEGATO_STAGED(bytes, T)                                        \
  LEGATO_KERNEL(gather_staged_##bytes, StagedParams, kStagedThreads) { \
    LEGATO_DYNAMIC_SHARED(memory);                                     \
    gather_staged<T>(p, reinterpret_cast<T*>(memory));                 \
  }
LEGATO_STAGED(1, uint8_t)
LEGATO_STAGED(2, uint16_t)
LEGATO_STAGED(4, uint32_t)
LEGATO_STAGED(8, uint64_t)
LEGATO_STAGED(16, Sixteen)

}  // namespace legato::cuda
