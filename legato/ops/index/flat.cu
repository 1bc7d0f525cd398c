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

/// Where an index leads; the first element, and `wrong`, if it is out of range.
template <class I>
LEGATO_INLINE long long place_of(const FlatParams& p, I given, bool& wrong) {
  const auto v = static_cast<long long>(given);
  const long long at = v < 0 ? v + p.size : v;
  const bool valid = static_cast<unsigned long long>(at) < static_cast<unsigned long long>(p.size);
  wrong |= !valid;
  return valid ? at * p.stride : 0;
}
/// Reports the first index out of range among `n`. By itself: what the reads of a thread wait for
/// is not to stand between them.
template <class I>
LEGATO_APART void report_wrong(const FlatParams& p, const I* indices, int n) {
  for (int k = 0; k < n; ++k) {
    bool wrong = false;
    place_of(p, indices[k], wrong);
    if (wrong) report_value(p.report, p.axis, static_cast<long long>(indices[k]), p.size);
  }
}

template <class T, class I>
LEGATO_INLINE void gather_flat(const FlatParams& p) {
  constexpr int V = flat_each<sizeof(T)>;
  const T* from = static_cast<const T*>(p.from);
  const I* indices = static_cast<const I*>(p.indices);
  T* to = static_cast<T*>(p.to);
  const long long first = (static_cast<long long>(blockIdx.x) * kFlatThreads + threadIdx.x) * V;
  const int n = first + V <= p.n ? V : first < p.n ? static_cast<int>(p.n - first) : 0;
  bool wrong = false;
  if (p.packs && n == V) {
    const Pack<I, V> index = load_pack<I, V>(indices + first);
    long long place[V];
    Pack<T, V> v;
#pragma unroll
    for (int k = 0; k < V; ++k) place[k] = place_of(p, index.at[k], wrong);
#pragma unroll
    for (int k = 0; k < V; ++k) v.at[k] = read_past_cache(from + place[k]);
    store_pack<T, V>(to + first, v);
  } else {
    for (int k = 0; k < n; ++k)
      to[first + k] = read_past_cache(from + place_of(p, indices[first + k], wrong));
  }
  if (wrong) report_wrong(p, indices + first, n);
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
