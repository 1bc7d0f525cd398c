// Exact sums of many single updates: what exact.cu computes, at the speed of memory.
//
// Note [Buckets]: atomic additions anywhere take longer than to bring updates together first. The
// target is cut into buckets of neighbouring places, as many as a block can add up in shared
// memory. One kernel sorts each tile of updates by their buckets, in any order within them, and
// leaves the tile as one piece, with a table of where its buckets begin. Another one gives a bucket
// to a block, which collects its segments from all tiles.
//
// A sum is a number of some words of 32 bits, as many as the range of the updates and their number
// need. An update changes one or two of them, and passes on what overflows: what all words come to
// does not depend on the order. Words begin at 2^31, so that sums around zero seldom borrow. The
// sum is rounded to double, and once more when it is stored.
//
// A bucket with many times the average of updates is cut into items, each of some tiles. Their
// words go to memory, and the block that ends last adds them up.
//
// Infinities and nans go to the target as they are: whatever their order, the sum is the same.
#include "legato/backends/cuda/at_once.cuh"
#include "legato/backends/cuda/block_sums.cuh"
#include "legato/ops/index/buckets.cuh"
#include "legato/ops/index/exact_bits.cuh"

namespace legato::cuda {

inline constexpr unsigned kNowhere = ~0u, kMiddle = 0x80000000u;

// --- tiles of updates by their buckets

template <class T>
struct CutMemory {
  T values[kBucketTile];  // before: with locals, where updates go
  unsigned short locals[kBucketTile];
  unsigned counts[kMostBuckets];
  unsigned sums[kCutWarps], met[2][kCutWarps];
};

/// The place of update i, or kNowhere where the index is wrong; by itself, since it is long.
template <class T>
LEGATO_APART unsigned place_of(const BucketParams& p, long long i) {
  long long offset;
  return source_of(p.places, i, offset) ? static_cast<unsigned>(offset) : kNowhere;
}
/// Reports what is wrong with updates that a thread has by packs, and gives what is no finite
/// number to the target.
template <class T>
LEGATO_APART void mend_pack(const BucketParams& p, long long i) {
#pragma unroll 1
  for (int k = 0; k < kCutPack && i + k < p.count; ++k) {
    const unsigned at = place_of<T>(p, i + k);
    const float x = read(static_cast<const T*>(p.updates)[i + k]);
    if (at != kNowhere && (__builtin_bit_cast(uint32_t, x) & ~0x80000000u) >= kInfinity)
      add_directly(static_cast<T*>(p.to) + at, x);
  }
}

/// Where the updates of a thread go, and what they are, by packs of a whole tile; returns a bit for
/// each pack that is to be mended in the end.
template <class T, class I>
LEGATO_INLINE unsigned bring_flat(const BucketParams& p, long long begin, unsigned (&at)[kCutItems],
                                  T (&v)[kCutItems]) {
  constexpr int V = kCutPack;
  using Wide = std::conditional_t<sizeof(I) == 8, uint64_t, unsigned>;
  const I* indices = static_cast<const I*>(p.places.term_data[0]);
  const T* updates = static_cast<const T*>(p.updates);
  const Wide size = static_cast<Wide>(p.places.term_size[0]);
  const unsigned stride = static_cast<unsigned>(p.places.term_stride[0]);
  Pack<I, V> index[kCutItems / V];
  Pack<T, V> some[kCutItems / V];
#pragma unroll
  for (int j = 0; j < kCutItems / V; ++j) {
    const long long i = begin + (j * kCutThreads + static_cast<int>(threadIdx.x)) * V;
    index[j] = load_pack<I, V>(indices + i);
    some[j] = load_pack<T, V>(updates + i);
  }
  unsigned odd = 0;
#pragma unroll
  for (int j = 0; j < kCutItems / V; ++j)
#pragma unroll
    for (int k = 0; k < V; ++k) {
      v[j * V + k] = some[j].at[k];
      const Wide given = static_cast<Wide>(index[j].at[k]),
                 place = index[j].at[k] < 0 ? given + size : given;
      const unsigned magnitude = __builtin_bit_cast(uint32_t, read(some[j].at[k])) & ~0x80000000u;
      const bool right = place < size && magnitude < kInfinity;
      odd |= static_cast<unsigned>(!right) << j;
      at[j * V + k] = right ? static_cast<unsigned>(place) * stride : kNowhere;
    }
  return odd;
}

/// The same for any indices and any updates.
template <class T>
LEGATO_INLINE void bring_any(const BucketParams& p, long long begin, unsigned* stage,
                             unsigned (&at)[kCutItems], T (&v)[kCutItems]) {
  const T* updates = static_cast<const T*>(p.updates);
  const int thread = static_cast<int>(threadIdx.x);
#pragma unroll 1
  for (int j = thread; j < kBucketTile; j += kCutThreads) {
    unsigned to = begin + j < p.count ? place_of<T>(p, begin + j) : kNowhere;
    if (to != kNowhere) {
      const float x = read(updates[p.single ? 0 : begin + j]);
      if ((__builtin_bit_cast(uint32_t, x) & ~0x80000000u) >= kInfinity) {
        add_directly(static_cast<T*>(p.to) + to, x);
        to = kNowhere;
      }
    }
    stage[j] = to;
  }
#pragma unroll
  for (int j = 0; j < kCutItems; ++j) {
    const long long i = begin + j * kCutThreads + thread;
    at[j] = stage[j * kCutThreads + thread];
    v[j] = updates[p.single || i >= p.count ? 0 : i];
  }
}

template <class T>
LEGATO_INLINE void bucket_cut(const BucketParams& p, CutMemory<T>& m) {
  const int thread = static_cast<int>(threadIdx.x);
  const int buckets = static_cast<int>(p.buckets);
  const long long begin = static_cast<long long>(blockIdx.x) * kBucketTile;
  for (int b = thread; b < buckets; b += kCutThreads) m.counts[b] = 0;
  unsigned at[kCutItems];
  T v[kCutItems];
  static_assert(sizeof m.values + sizeof m.locals >= kBucketTile * sizeof(unsigned));
  unsigned odd = 0;
  const int flat = begin + kBucketTile <= p.count ? p.flat : 0;
  if (flat == 4)
    odd = bring_flat<T, int32_t>(p, begin, at, v);
  else if (flat == 8)
    odd = bring_flat<T, int64_t>(p, begin, at, v);
  else
    bring_any<T>(p, begin, reinterpret_cast<unsigned*>(&m), at, v);
  __syncthreads();
  unsigned to[kCutItems];  // the bucket, and how many of it came before
  Reach reach;
#pragma unroll
  for (int j = 0; j < kCutItems; ++j) {
    if (at[j] == kNowhere) continue;
    reach.take(__builtin_bit_cast(uint32_t, read(v[j])) & ~0x80000000u);
    const unsigned b = divide(at[j], p.by_each);
    at[j] -= b * p.each;
    to[j] = b << 16 | atomicAdd(&m.counts[b], 1u);
  }
  reach.give<kCutWarps>(p.range, m.met);
  __syncthreads();
  // Counts become starts.
  constexpr int some = kMostBuckets / kCutThreads;
  unsigned here[some], all = 0;
#pragma unroll
  for (int k = 0; k < some; ++k) {
    const int b = thread * some + k;
    here[k] = b < buckets ? m.counts[b] : 0;
    all += here[k];
  }
  unsigned start = sum_before<kCutThreads>(all, m.sums);
  unsigned short* starts = p.starts + static_cast<long long>(blockIdx.x) * (buckets + 1);
#pragma unroll
  for (int k = 0; k < some; ++k) {
    const int b = thread * some + k;
    if (b >= buckets) break;
    m.counts[b] = start;
    starts[b] = static_cast<unsigned short>(start);
    start += here[k];
    if (b == buckets - 1) starts[buckets] = static_cast<unsigned short>(start);
    if (here[k]) atomicAdd(&p.totals[b], here[k]);
  }
  __syncthreads();
#pragma unroll
  for (int j = 0; j < kCutItems; ++j) {
    if (at[j] == kNowhere) continue;
    const unsigned place = m.counts[to[j] >> 16] + (to[j] & 0xffff);
    m.values[place] = v[j];
    m.locals[place] = static_cast<unsigned short>(at[j]);
  }
  __syncthreads();
  constexpr int V = 16 / sizeof(T), U = 16 / sizeof(unsigned short);
  for (int i = thread; i < kBucketTile / V; i += kCutThreads)
    store_pack<T, V>(static_cast<T*>(p.values) + begin + i * V, load_pack<T, V>(m.values + i * V));
  for (int i = thread; i < kBucketTile / U; i += kCutThreads)
    store_pack<unsigned short, U>(p.locals + begin + i * U,
                                  load_pack<unsigned short, U>(m.locals + i * U));
  for (int j = 0; odd != 0; ++j, odd >>= 1)
    if (odd & 1) mend_pack<T>(p, begin + (j * kCutThreads + thread) * kCutPack);
}

// --- sums of buckets

/// What a block adds up: item `item` of `items` of a bucket.
struct BucketItem {
  unsigned bucket, item, items, part;  // part: the first one of the bucket
};
struct SumMemory {
  BucketItem item;
  unsigned sums[kSumWarps];
  unsigned segment[kSumThreads];  // of a tile: where it begins and ends
  unsigned longer[kSumThreads];   // tiles whose segments are longer than a group takes
  unsigned n_longer;
  int last;
};

static_assert(sizeof(SumMemory) <= kSumMemory);

/// The item of this block; its bucket is kNowhere where there are less items than blocks.
LEGATO_INLINE BucketItem item_of(const BucketParams& p, int words, SumMemory& m) {
  const unsigned b = threadIdx.x, total = b < p.buckets ? p.totals[b] : 0;
  unsigned items = b < p.buckets ? 1 : 0;
  if (total > p.most && words <= kPartWords) items = (total + p.most - 1) / p.most;
  if (b == 0) m.item.bucket = kNowhere;
  const unsigned first = sum_before<kSumThreads>(items, m.sums),
                 part = sum_before<kSumThreads>(items > 1 ? items : 0, m.sums);
  if (blockIdx.x >= first && blockIdx.x < first + items)
    m.item = {b, blockIdx.x - first, items, part};
  __syncthreads();
  return m.item;
}

/// Words of sums, of `places` places in shared memory.
struct Sums {
  unsigned* words;  // [word][place]
  int n, low;       // words; the lowest bit
  unsigned from, places;

  /// `known`: how many words there are, or 0.
  template <int known>
  LEGATO_INLINE void add(unsigned place, float x) const {
    const unsigned bits = __builtin_bit_cast(uint32_t, x);
    const Cut c = cut(bits & ~0x80000000u);
    place -= from;
    if (place >= places || c.mantissa == 0) return;
    // Where the lowest bit of the word is above that of the mantissa there are zeros.
    const int shift = c.shift - low;
    const uint64_t parts = shift < 0 ? c.mantissa >> -shift : uint64_t{c.mantissa} << (shift & 31);
    int64_t rest = static_cast<int64_t>(bits >> 31 ? 0 - parts : parts);
    int w = shift < 0 ? 0 : shift >> 5;
    unsigned* to = words + static_cast<unsigned>(w) * places + place;
    auto step = [&] {
      const unsigned part = static_cast<unsigned>(rest);
      unsigned overflow = 0;
      if (part) overflow = atomicAdd(to, part) + part < part;
      rest = (rest >> 32) + overflow;
      to += places;
      ++w;
    };
    if constexpr (known > 0) {
#pragma unroll
      for (int k = 0; k < known; ++k) {
        if (w >= known || rest == 0) break;
        step();
      }
    } else {
      while (w < n && rest != 0) step();
    }
  }
};

template <class T, int known>
LEGATO_INLINE void add_segments(const BucketParams& p, const BucketItem& item, const Sums& sums,
                                SumMemory& m) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const unsigned first =
                     static_cast<unsigned>(static_cast<uint64_t>(p.tiles) * item.item / item.items),
                 end = static_cast<unsigned>(static_cast<uint64_t>(p.tiles) * (item.item + 1) /
                                             item.items);
  // All of a thread's values are on their way before the first one is added.
  auto add = [&](long long tile, unsigned i, unsigned step, unsigned stop) {
    const T* values = static_cast<const T*>(p.values) + tile * kBucketTile;
    const unsigned short* locals = p.locals + tile * kBucketTile;
    T v[kGroupEach];
    unsigned place[kGroupEach];
#pragma unroll
    for (int k = 0; k < kGroupEach; ++k)
      if (i + k * step < stop) {
        v[k] = values[i + k * step];
        place[k] = locals[i + k * step];
      }
#pragma unroll
    for (int k = 0; k < kGroupEach; ++k)
      if (i + k * step < stop) sums.add<known>(place[k], read(v[k]));
  };
  for (unsigned tile = first; tile < end; tile += kSumThreads) {
    __syncthreads();
    const unsigned have = end - tile < kSumThreads ? end - tile : kSumThreads;
    if (threadIdx.x < have) {
      const unsigned short* starts =
          p.starts + static_cast<long long>(tile + threadIdx.x) * (p.buckets + 1) + item.bucket;
      m.segment[threadIdx.x] = starts[0] | static_cast<unsigned>(starts[1]) << 16;
    }
    if (thread == 0) m.n_longer = 0;
    __syncthreads();
    for (unsigned t = threadIdx.x / kGroup; t < have; t += kSumThreads / kGroup) {
      const unsigned start = m.segment[t] & 0xffff, stop = m.segment[t] >> 16;
      add(tile + t, start + threadIdx.x % kGroup, kGroup, stop);
      if (stop - start > kGroup * kGroupEach && threadIdx.x % kGroup == 0)
        m.longer[atomicAdd(&m.n_longer, 1u)] = t;
    }
    __syncthreads();
    for (unsigned k = static_cast<unsigned>(warp); k < m.n_longer; k += kSumWarps) {
      const unsigned t = m.longer[k], start = m.segment[t] & 0xffff, stop = m.segment[t] >> 16;
      for (unsigned i = start + kGroup * kGroupEach; i < stop; i += 32 * kGroupEach)
        add(tile + t, i + static_cast<unsigned>(lane), 32, stop);
    }
  }
  __syncthreads();
}

/// A sum of `n` words, `apart` from each other, in units of 2^unit, rounded once.
LEGATO_INLINE double sum_of(unsigned* words, int n, unsigned apart, int unit) {
  const bool negative = words[(n - 1) * apart] >> 31;
  if (negative) {
    unsigned carry = 1;
    for (int w = 0; w < n; ++w) {
      const unsigned v = ~words[w * apart] + carry;
      carry &= v == 0;
      words[w * apart] = v;
    }
  }
  int top = n - 1;
  while (top > 0 && words[top * apart] == 0) --top;
  const unsigned high = words[top * apart];
  if (high == 0) return 0;
  // The highest 64 bits; the last of them also stands for all that follow.
  const int zeros = __clz(static_cast<int>(high));
  uint64_t bits = static_cast<uint64_t>(high) << 32;
  if (top > 0) bits |= words[(top - 1) * apart];
  bits <<= zeros;
  unsigned below = 0;
  if (top > 1) {
    const unsigned next = words[(top - 2) * apart];
    bits |= zeros ? next >> (32 - zeros) : 0;
    below = next << zeros;
  }
  for (int w = top - 3; w >= 0; --w) below |= words[w * apart];
  bits |= below != 0;
  const double sum = static_cast<double>(bits) * power_of_two(unit + 32 * (top - 1) - zeros);
  return negative ? -sum : sum;
}

/// Stores the sums of places; `parts`: null, or the words of each item, [item][word][each].
template <class T>
LEGATO_INLINE void give_sums(const BucketParams& p, const BucketItem& item, const Sums& sums,
                             unsigned n_places, const unsigned* parts) {
  T* to = static_cast<T*>(p.to) + static_cast<long long>(item.bucket) * p.each + sums.from;
  const long long part = static_cast<long long>(sums.n) * p.each;
  for (unsigned i = threadIdx.x; i < n_places; i += kSumThreads) {
    unsigned* words = sums.words + i;
    unsigned any = 0;
    int64_t rest = 0;
    for (int w = 0; w < sums.n; ++w) {
      if (parts) {
        const unsigned* from = parts + static_cast<long long>(w) * p.each + sums.from + i;
        for (unsigned k = 0; k < item.items; ++k) {
          const unsigned v = from[k * part];
          any |= v ^ kMiddle;
          rest += static_cast<int64_t>(v) - kMiddle;
        }
      } else {
        const unsigned v = words[w * sums.places];
        any |= v ^ kMiddle;
        rest += static_cast<int64_t>(v) - kMiddle;
      }
      words[w * sums.places] = static_cast<unsigned>(rest);
      rest >>= 32;
    }
    // A place without updates keeps what it has, a negative zero as well.
    if (any)
      to[i] = written<T>(static_cast<float>(static_cast<double>(read(to[i])) +
                                            sum_of(words, sums.n, sums.places, sums.low - 149)));
  }
}

template <class T>
LEGATO_INLINE void bucket_sum(const BucketParams& p, unsigned* shared, SumMemory& m) {
  if (p.range[0] == 0) return;
  const int low = 512 - static_cast<int>(p.range[1]), high = cut(p.range[0]).shift + 24;
  const int bits = high - low + 33 - __clz(static_cast<int>(p.count));
  const int n = (bits + 31) / 32;
  const BucketItem item = item_of(p, n, m);
  if (item.bucket == kNowhere) return;
  const unsigned begin = item.bucket * p.each,
                 places = p.size - begin < p.each ? p.size - begin : p.each,
                 room = static_cast<unsigned>(p.room / n),
                 some = places < room ? places : room;  // at a time
  const bool alone = item.items == 1;
  const long long part = static_cast<long long>(n) * p.each;
  unsigned* parts = alone ? nullptr : p.parts + item.part * part;
  for (unsigned from = 0; from < places; from += some) {
    const Sums sums{shared, n, low, from, some};
    const unsigned here = places - from < some ? places - from : some;
    for (unsigned i = threadIdx.x; i < static_cast<unsigned>(n) * some; i += kSumThreads)
      shared[i] = kMiddle;
    if (n == 2)
      add_segments<T, 2>(p, item, sums, m);
    else if (n == 3)
      add_segments<T, 3>(p, item, sums, m);
    else
      add_segments<T, 0>(p, item, sums, m);
    if (alone) {
      give_sums<T>(p, item, sums, here, nullptr);
    } else {
      for (int w = 0; w < n; ++w)
        for (unsigned i = threadIdx.x; i < here; i += kSumThreads)
          parts[item.item * part + static_cast<long long>(w) * p.each + from + i] =
              shared[static_cast<unsigned>(w) * some + i];
    }
    __syncthreads();
  }
  if (alone) return;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) m.last = atomicAdd(&p.ended[item.bucket], 1u) == item.items - 1;
  __syncthreads();
  if (!m.last) return;
  __threadfence();
  for (unsigned from = 0; from < places; from += some) {
    const unsigned here = places - from < some ? places - from : some;
    give_sums<T>(p, item, {shared, n, low, from, some}, here, parts);
    __syncthreads();
  }
}

#define LEGATO_BUCKETS(end, T)                                            \
  LEGATO_KERNEL_AT_ONCE(bucket_cut_##end, BucketParams, kCutThreads, 2) { \
    LEGATO_DYNAMIC_SHARED(shared);                                        \
    bucket_cut<T>(p, *reinterpret_cast<CutMemory<T>*>(shared));           \
  }                                                                       \
  LEGATO_KERNEL(bucket_sum_##end, BucketParams, kSumThreads) {            \
    LEGATO_DYNAMIC_SHARED(shared);                                        \
    bucket_sum<T>(p, reinterpret_cast<unsigned*>(shared + kSumMemory),    \
                  *reinterpret_cast<SumMemory*>(shared));                 \
  }
LEGATO_BUCKETS(f16, f16)
LEGATO_BUCKETS(bf16, bf16)
LEGATO_BUCKETS(f32, float)

}  // namespace legato::cuda
