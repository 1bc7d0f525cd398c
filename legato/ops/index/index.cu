// Reading and writing places that index arrays name.
#include "legato/ops/index/places.cuh"
#include "legato/ops/index/scatter.cuh"

namespace legato::cuda {

struct alignas(16) Sixteen {
  uint64_t half[2];
};

/// Single units, a few on the way at once. A block takes neighbours, which often come from the same
/// lines of memory.
template <class T, int U, bool once>
LEGATO_INLINE void gather_units(const GatherParams& g) {
  const PlacesParams& p = g.places;
  const long long n = p.n_outer * p.n_index * p.n_inner;
  const long long begin = static_cast<long long>(blockIdx.x) * g.chunk,
                  end = begin + g.chunk < n ? begin + g.chunk : n;
  for (long long first = begin + threadIdx.x; first < end; first += U * kGatherThreads) {
    T v[U];
    bool valid[U];
#pragma unroll
    for (int u = 0; u < U; ++u) {
      const long long e = first + u * kGatherThreads;
      long long offset;
      valid[u] = e < end && source_of<once>(p, e, offset);
      if (valid[u]) v[u] = static_cast<const T*>(g.from)[offset];
    }
#pragma unroll
    for (int u = 0; u < U; ++u)
      if (valid[u]) write_element<once>(static_cast<T*>(g.to) + first + u * kGatherThreads, v[u]);
  }
}

/// Rows of units that lie one behind the other: `group` threads take one, and look its place up
/// once.
template <class T>
LEGATO_INLINE void gather_rows(const GatherParams& g) {
  constexpr int U = kGatherEach;
  const PlacesParams& p = g.places;
  const long long rows = p.n_outer * p.n_index;
  const int per_block = kGatherThreads / g.group, k = static_cast<int>(threadIdx.x) % g.group;
  const long long row = static_cast<long long>(blockIdx.x) * per_block + threadIdx.x / g.group;
  if (row >= rows) return;
  const Split outer = p.n_outer == 1 ? Split{0, row} : split(p, row, p.n_index, p.by_index);
  long long offset;
  if (!index_offset(p, outer.rest, offset)) return;
  if (p.n_outer > 1)
    offset += walk(p, outer.whole, p.outer_axes, p.outer_size, p.outer_stride, p.outer_divider);
  const T* from = static_cast<const T*>(g.from) + offset;
  T* to = static_cast<T*>(g.to) + row * p.n_inner;
  for (long long j = k; j < p.n_inner; j += U * g.group) {
    T v[U];
#pragma unroll
    for (int u = 0; u < U; ++u)
      if (j + u * g.group < p.n_inner) v[u] = from[j + u * g.group];
#pragma unroll
    for (int u = 0; u < U; ++u)
      if (j + u * g.group < p.n_inner) to[j + u * g.group] = v[u];
  }
}
template <class T>
LEGATO_INLINE void gather(const GatherParams& g) {
  if (g.group)
    gather_rows<T>(g);
  else if (g.once)
    gather_units<T, 2 * kGatherEach, true>(g);
  else
    gather_units<T, kGatherEach, false>(g);
}
LEGATO_KERNEL(gather_1, GatherParams, kGatherThreads) { gather<uint8_t>(p); }
LEGATO_KERNEL(gather_2, GatherParams, kGatherThreads) { gather<uint16_t>(p); }
LEGATO_KERNEL(gather_4, GatherParams, kGatherThreads) { gather<uint32_t>(p); }
LEGATO_KERNEL(gather_8, GatherParams, kGatherThreads) { gather<uint64_t>(p); }
LEGATO_KERNEL(gather_16, GatherParams, kGatherThreads) { gather<Sixteen>(p); }

LEGATO_KERNEL(index_keys, KeysParams, 256) {
  const long long step = static_cast<long long>(gridDim.x) * blockDim.x;
  for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
       i < p.places.n_index; i += step) {
    long long offset;
    const unsigned key =
        index_offset(p.places, i, offset) ? static_cast<unsigned>(offset / p.unit) : p.none;
    p.keys[i] = key;
    if (p.named && key != p.none) p.named[key] = 1;
  }
}

}  // namespace legato::cuda
