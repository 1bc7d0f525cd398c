// Sums of single updates that come in any order, and are the same every time.
//
// Note [Exact sums]: floats do not add up to the same in every order, but integers do. A place has
// a few words of 64 bits; word w counts in units of 2^-bits of word w - 1, and an update is cut at
// these borders, which loses nothing. So words are added to atomically. Each has room for as many
// updates as there are. What words come to is rounded once, in double, and once more when it is
// stored.
//
// Word 0 begins at the highest bit of the largest update; kExactWords of them hold 100 bits and
// more, most often all that there is. A round adds up that many words. Where updates reach further
// down, further rounds follow; kernels of rounds that are not needed return at once.
//
// Infinities and nans go to the target as they are: whatever their order, the sum is the same.
#include "legato/ops/index/exact.cuh"
#include "legato/ops/index/exact_bits.cuh"

namespace legato::cuda {

/// Bits are numbered from that of the smallest float. Those of updates lie in [low, high).
struct Range {
  int low, high;
};
LEGATO_INLINE Range range_of(const ExactParams& p) {
  const unsigned top = p.range[0];
  return {512 - static_cast<int>(p.range[1]), cut(top).shift + 24};
}
/// Words of this round that updates reach.
LEGATO_INLINE int words_of(const ExactParams& p, Range r) {
  const int words = (r.high - r.low + p.bits - 1) / p.bits - p.round * kExactWords;
  return p.range[0] == 0 || words < 0 ? 0 : words < kExactWords ? words : kExactWords;
}

template <class T>
LEGATO_INLINE void exact_range(const ExactParams& p, unsigned (*shared)[kExactThreads / 32]) {
  constexpr int V = 16 / sizeof(T), ahead = 4;
  const T* updates = static_cast<const T*>(p.updates);
  const long long n = p.single ? 1 : p.count,
                  first = static_cast<long long>(blockIdx.x) * kExactThreads + threadIdx.x,
                  step = static_cast<long long>(gridDim.x) * kExactThreads;
  const long long packs = reinterpret_cast<uintptr_t>(updates) % 16 ? 0 : n / V;
  Reach reach;
  auto take = [&](T v) { reach.take(__builtin_bit_cast(uint32_t, read(v)) & ~0x80000000u); };
  for (long long i = first; i < packs; i += ahead * step) {
    Pack<T, V> v[ahead];
#pragma unroll
    for (int u = 0; u < ahead; ++u)
      if (i + u * step < packs) v[u] = load_pack<T, V>(updates + (i + u * step) * V);
#pragma unroll
    for (int u = 0; u < ahead; ++u)
      if (i + u * step < packs)
#pragma unroll
        for (int k = 0; k < V; ++k) take(v[u].at[k]);
  }
  for (long long i = packs * V + first; i < n; i += step) take(updates[i]);
  reach.give(p.range, shared);
}

/// Zeroes the words that the first round needs.
LEGATO_KERNEL(exact_clear, ExactParams, kExactThreads) {
  const long long n = words_of(p, range_of(p)) * p.size,
                  step = static_cast<long long>(gridDim.x) * kExactThreads;
  for (long long i = static_cast<long long>(blockIdx.x) * kExactThreads + threadIdx.x; i < n;
       i += step)
    p.words[i] = 0;
}

/// Adds the parts of an update to the words of this round; `highest`: the bit where they begin.
template <class T>
LEGATO_INLINE void add_parts(const ExactParams& p, int highest, long long at, T v) {
  const float x = read(v);
  const unsigned bits = __builtin_bit_cast(uint32_t, x), magnitude = bits & ~0x80000000u;
  if (magnitude >= kInfinity) {
    if (p.round == 0) add_directly(static_cast<T*>(p.to) + at, x);
    return;
  }
  const Cut c = cut(magnitude);
  const unsigned long long mask = (1ull << p.bits) - 1;
  int shift = c.shift - highest;  // from the lowest bit of the word to that of the mantissa
#pragma unroll
  for (int w = 0; w < kExactWords; ++w) {
    shift += p.bits;
    unsigned long long part = 0;
    if (shift >= 0) {
      if (shift < p.bits) part = static_cast<unsigned long long>(c.mantissa) << shift & mask;
    } else if (shift > -24) {
      part = c.mantissa >> -shift & mask;
    }
    if (part) atomicAdd(&p.words[w * p.size + at], bits >> 31 ? 0 - part : part);
  }
}

/// One index array that names elements of the target: packs of four.
template <class T, class I>
LEGATO_INLINE void exact_add_flat(const ExactParams& p, int highest) {
  constexpr int V = kExactPack;
  const I* indices = static_cast<const I*>(p.places.term_data[0]);
  const T* updates = static_cast<const T*>(p.updates);
  const long long size = p.places.term_size[0], stride = p.places.term_stride[0],
                  step = static_cast<long long>(gridDim.x) * kExactThreads * V;
  for (long long i = (static_cast<long long>(blockIdx.x) * kExactThreads + threadIdx.x) * V;
       i < p.count; i += step) {
    const int n = p.count - i < V ? static_cast<int>(p.count - i) : V;
    Pack<I, V> index{};
    Pack<T, V> v{};
    if (n == V) {
      index = load_pack<I, V>(indices + i);
      v = load_pack<T, V>(updates + i);
    } else {
#pragma unroll
      for (int k = 0; k < V; ++k)
        if (k < n) {
          index.at[k] = indices[i + k];
          v.at[k] = updates[i + k];
        }
    }
#pragma unroll
    for (int k = 0; k < V; ++k) {
      const auto given = static_cast<long long>(index.at[k]);
      const long long at = given < 0 ? given + size : given;
      if (k >= n) continue;
      if (static_cast<unsigned long long>(at) < static_cast<unsigned long long>(size))
        add_parts(p, highest, at * stride, v.at[k]);
      else
        report_wrong(p.places, given);
    }
  }
}

template <class T>
LEGATO_INLINE void exact_add(const ExactParams& p) {
  constexpr int ahead = 4;
  const Range range = range_of(p);
  const int words = words_of(p, range);
  if (p.round > 0 && words == 0) return;
  const int highest = range.high - p.round * kExactWords * p.bits;  // of this round
  if (p.flat == 4) return exact_add_flat<T, int32_t>(p, highest);
  if (p.flat == 8) return exact_add_flat<T, int64_t>(p, highest);
  const long long step = static_cast<long long>(gridDim.x) * kExactThreads;
  const T* updates = static_cast<const T*>(p.updates);
  for (long long e = static_cast<long long>(blockIdx.x) * kExactThreads + threadIdx.x; e < p.count;
       e += ahead * step) {
    long long at[ahead];
    T v[ahead];
#pragma unroll
    for (int u = 0; u < ahead; ++u) {
      const long long i = e + u * step;
      at[u] = -1;
      if (i >= p.count) continue;
      long long offset;
      if (source_of(p.places, i, offset)) at[u] = offset;
      v[u] = updates[p.single ? 0 : i];
    }
#pragma unroll
    for (int u = 0; u < ahead; ++u)
      if (at[u] >= 0) add_parts(p, highest, at[u], v[u]);
  }
}

template <class T>
LEGATO_INLINE void exact_finish(const ExactParams& p) {
  const Range range = range_of(p);
  const int words = words_of(p, range);
  if (words == 0) return;
  const bool again = range.high - (p.round + 1) * kExactWords * p.bits > range.low;
  const int highest = range.high - p.round * kExactWords * p.bits - 149;
  const long long step = static_cast<long long>(gridDim.x) * kExactThreads;
  T* to = static_cast<T*>(p.to);
  for (long long i = static_cast<long long>(blockIdx.x) * kExactThreads + threadIdx.x; i < p.size;
       i += step) {
    double sum = 0;
    unsigned long long any = 0;
    for (int w = 0; w < words; ++w) {
      const unsigned long long word = p.words[w * p.size + i];
      any |= word;
      sum += static_cast<double>(static_cast<long long>(word)) *
             power_of_two(highest - (w + 1) * p.bits);
      if (again) p.words[w * p.size + i] = 0;
    }
    // A place without updates keeps what it has, a negative zero as well.
    if (any) to[i] = written<T>(static_cast<float>(static_cast<double>(read(to[i])) + sum));
  }
}

#define LEGATO_EXACT(end, T)                                                      \
  LEGATO_KERNEL(exact_range_##end, ExactParams, kExactThreads) {                  \
    __shared__ unsigned shared[2][kExactThreads / 32];                            \
    exact_range<T>(p, shared);                                                    \
  }                                                                               \
  LEGATO_KERNEL(exact_add_##end, ExactParams, kExactThreads) { exact_add<T>(p); } \
  LEGATO_KERNEL(exact_finish_##end, ExactParams, kExactThreads) { exact_finish<T>(p); }
LEGATO_EXACT(f16, f16)
LEGATO_EXACT(bf16, bf16)
LEGATO_EXACT(f32, float)

}  // namespace legato::cuda
