// Reading and writing places that index arrays name.
#include "legato/ops/index/places.cuh"
#include "legato/ops/index/scatter.cuh"

namespace legato::cuda {

struct alignas(16) Sixteen {
  uint64_t half[2];
};

/// Single units, a few on the way at once. A block takes neighbours, which often come from the same
/// lines of memory.
template <class T>
LEGATO_INLINE void gather_units(const GatherParams& g) {
  constexpr int U = kGatherEach;
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
      valid[u] = e < end && source_of(p, e, offset);
      if (valid[u]) v[u] = static_cast<const T*>(g.from)[offset];
    }
#pragma unroll
    for (int u = 0; u < U; ++u)
      if (valid[u]) static_cast<T*>(g.to)[first + u * kGatherThreads] = v[u];
  }
}

/// What is read or written once in a large array need not stay in the caches.
template <class T>
LEGATO_INLINE T read_once(const T* from) {
#ifdef LEGATO_EMULATED
  return *from;
#else
  return __ldcs(from);
#endif
}
template <class T>
LEGATO_INLINE void write_once(T* to, const T& v) {
#ifndef LEGATO_EMULATED
  if constexpr (sizeof(T) <= 8) return __stcs(to, v);
#endif
  *to = v;
}
/// Single units by one index each, of many: all loads of a step are on the way before the first one
/// is waited for.
template <class T, class I>
LEGATO_INLINE void gather_single(const GatherParams& g) {
  constexpr int U = 2 * kGatherEach;
  const PlacesParams& p = g.places;
  const long long n = p.n_index, size = p.term_size[0], stride = p.term_stride[0];
  const long long begin = static_cast<long long>(blockIdx.x) * g.chunk,
                  end = begin + g.chunk < n ? begin + g.chunk : n;
  const I* indices = static_cast<const I*>(p.term_data[0]);
  for (long long first = begin + threadIdx.x; first < end; first += U * kGatherThreads) {
    I index[U];
    T v[U];
    bool valid[U];
#pragma unroll
    for (int u = 0; u < U; ++u) {
      valid[u] = first + u * kGatherThreads < end;
      if (valid[u]) index[u] = read_once(indices + first + u * kGatherThreads);
    }
#pragma unroll
    for (int u = 0; u < U; ++u) {
      if (!valid[u]) continue;
      const long long at = index[u] < 0 ? index[u] + size : index[u];
      valid[u] = at >= 0 && at < size;
      if (valid[u])
        v[u] = static_cast<const T*>(g.from)[at * stride];
      else
        report_value(p.report, p.term_axis[0], index[u], size);
    }
#pragma unroll
    for (int u = 0; u < U; ++u)
      if (valid[u]) write_once(static_cast<T*>(g.to) + first + u * kGatherThreads, v[u]);
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
  else if (g.single == 4)
    gather_single<T, int32_t>(g);
  else if (g.single == 8)
    gather_single<T, int64_t>(g);
  else
    gather_units<T>(g);
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
