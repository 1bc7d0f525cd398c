// Gathers of single elements from anywhere: packs of indices and of results, and reads that leave
// the first-level cache alone, since what they bring there is hardly met again. The memory's
// response to random sectors is the limit.
#include "legato/backends/cuda/lane.cuh"
#include "legato/backends/cuda/report.cuh"
#include "legato/ops/index/flat.cuh"

namespace legato::cuda {

struct alignas(16) Sixteen {
  uint64_t half[2];
};

template <class T>
LEGATO_INLINE T read_past_cache(const T* from) {
#ifndef LEGATO_EMULATED
  if constexpr (sizeof(T) == 4) {
    uint32_t v;
    asm("ld.global.nc.L1::no_allocate.b32 %0, [%1];" : "=r"(v) : "l"(from));
    return v;
  } else if constexpr (sizeof(T) == 8) {
    unsigned long long v;
    asm("ld.global.nc.L1::no_allocate.b64 %0, [%1];" : "=l"(v) : "l"(from));
    return v;
  }
#endif
  return *from;
}

/// Where an index leads. One out of range is reported, and leads to the first element.
template <class I>
LEGATO_INLINE long long place_of(const FlatParams& p, I given) {
  const auto v = static_cast<long long>(given);
  const long long at = v < 0 ? v + p.size : v;
  if (at >= 0 && at < p.size) return at * p.stride;
  report_value(p.report, p.axis, v, p.size);
  return 0;
}

template <class T, class I>
LEGATO_INLINE void gather_flat(const FlatParams& p) {
  constexpr int V = flat_each<sizeof(T)>;
  const T* from = static_cast<const T*>(p.from);
  const I* indices = static_cast<const I*>(p.indices);
  T* to = static_cast<T*>(p.to);
  const long long first = (static_cast<long long>(blockIdx.x) * kFlatThreads + threadIdx.x) * V;
  if (p.packs && first + V <= p.n) {
    const Pack<I, V> index = load_pack<I, V>(indices + first);
    Pack<T, V> v;
#pragma unroll
    for (int k = 0; k < V; ++k) v.at[k] = read_past_cache(from + place_of(p, index.at[k]));
    store_pack<T, V>(to + first, v);
    return;
  }
  for (long long i = first; i < first + V && i < p.n; ++i)
    to[i] = read_past_cache(from + place_of(p, indices[i]));
}

template <class T>
LEGATO_INLINE void gather_flat(const FlatParams& p) {
  if (p.index_bytes == -4)
    gather_flat<T, int32_t>(p);
  else if (p.index_bytes == -8)
    gather_flat<T, int64_t>(p);
  else
    gather_flat<T, uint32_t>(p);
}
LEGATO_KERNEL(gather_flat_1, FlatParams, kFlatThreads) { gather_flat<uint8_t>(p); }
LEGATO_KERNEL(gather_flat_2, FlatParams, kFlatThreads) { gather_flat<uint16_t>(p); }
LEGATO_KERNEL(gather_flat_4, FlatParams, kFlatThreads) { gather_flat<uint32_t>(p); }
LEGATO_KERNEL(gather_flat_8, FlatParams, kFlatThreads) { gather_flat<uint64_t>(p); }
LEGATO_KERNEL(gather_flat_16, FlatParams, kFlatThreads) { gather_flat<Sixteen>(p); }

}  // namespace legato::cuda
