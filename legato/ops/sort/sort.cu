// Sorting by unsigned keys, as on the CPU: nan last, stable.
//
// Long rows: a radix sort from the lowest digit of 8 bits up. A tile of keys is ranked by a block:
// a warp takes 32 neighbours at a time, finds those with its digit by votes, and counts on from
// what it met before (Merrill and Grimshaw, "High performance and scalable radix sorting", 2011).
// Three kernels a digit: count in tiles, add up over tiles, move. A row that fits one tile does all
// its digits in shared memory. Rows of up to 256 elements: sorting networks, several in a block,
// with the index as the last part of the key.
#include "legato/backends/cuda/lane.cuh"
#include "legato/backends/cuda/order_keys.cuh"
#include "legato/ops/sort/sort.cuh"

namespace legato::cuda {

// --- keys of complex numbers

LEGATO_INLINE uint64_t encode_c64(uint64_t bits) {  // the real part is the lower half in memory
  const uint32_t re = encode<uint32_t>(static_cast<uint32_t>(bits), KeyForm::floating, 1,
                                       0x7f800000u),
                 im = encode<uint32_t>(static_cast<uint32_t>(bits >> 32), KeyForm::floating, 1,
                                       0x7f800000u);
  return re == 0xffffffffu || im == 0xffffffffu ? ~uint64_t{0}
                                                : static_cast<uint64_t>(re) << 32 | im;
}
struct WideKey {
  uint64_t high, low;
  friend LEGATO_INLINE bool operator<(WideKey a, WideKey b) {
    return a.high < b.high || (a.high == b.high && a.low < b.low);
  }
};
LEGATO_INLINE WideKey encode_c128(const uint64_t* parts) {
  constexpr uint64_t infinity = 0x7ff0000000000000u, last = ~uint64_t{0};
  const uint64_t re = encode<uint64_t>(parts[0], KeyForm::floating, 1, infinity),
                 im = encode<uint64_t>(parts[1], KeyForm::floating, 1, infinity);
  if (re == last || im == last) return {last, last};
  return {re, im};
}

/// The key of element i.
template <class K>
LEGATO_INLINE K key_of(const void* x, long long i, const KeyForm& f) {
  if constexpr (std::is_same_v<K, WideKey>) {
    return encode_c128(static_cast<const uint64_t*>(x) + 2 * i);
  } else {
    if constexpr (sizeof(K) == 8) {
      if (f.kind >= KeyForm::real128) {
        const WideKey both = encode_c128(static_cast<const uint64_t*>(x) + 2 * i);
        return f.kind == KeyForm::real128 ? both.high : both.low;
      }
      if (f.kind == KeyForm::complex64) return encode_c64(static_cast<const uint64_t*>(x)[i]);
    }
    return encode<K>(static_cast<const K*>(x)[i], f.kind, f.zeros_equal,
                     static_cast<K>(f.infinity));
  }
}

/// The keys of elements places[j], all of them on the way at once; negative: none.
template <class K, int items>
LEGATO_INLINE void bring_keys(const void* x, const long long (&places)[items], K (&key)[items],
                              const KeyForm& f) {
  if (sizeof(K) == 8 && f.kind >= KeyForm::complex64) {
#pragma unroll 1
    for (int j = 0; j < items; ++j)
      if (places[j] >= 0) key[j] = key_of<K>(x, places[j], f);
    return;
  }
#pragma unroll
  for (int j = 0; j < items; ++j)
    if (places[j] >= 0) key[j] = static_cast<const K*>(x)[places[j]];
#pragma unroll
  for (int j = 0; j < items; ++j)
    if (places[j] >= 0)
      key[j] = encode<K>(key[j], f.kind, f.zeros_equal, static_cast<K>(f.infinity));
}

// --- ranks within a tile

/// What the threads before this one add up to; `total` gets all of it. `shared`: kSortWarps values.
LEGATO_INLINE unsigned sum_before(unsigned v, unsigned* shared, unsigned& total) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  unsigned sum = v;
  for (int by = 1; by < 32; by *= 2) {
    const unsigned other = __shfl_up_sync(~0u, sum, by);
    if (lane >= by) sum += other;
  }
  __syncthreads();  // what was in `shared` has been read
  if (lane == 31) shared[warp] = sum;
  __syncthreads();
  unsigned before = sum - v;
  total = 0;
  for (int w = 0; w < kSortWarps; ++w) {
    if (w < warp) before += shared[w];
    total += shared[w];
  }
  return before;
}

struct RankMemory {
  unsigned counts[kSortWarps][kDigits];  // of a warp's elements; then of the warps before it
  unsigned starts[kDigits];              // where a digit begins in the sorted tile
  unsigned sums[kSortWarps];
};

/// Where each of a thread's elements belongs in the tile sorted by digit; elements of a warp are
/// consecutive, `32 * items` of them, element j of a lane is its (32 j + lane)-th. A digit of
/// kDigits marks none. Every thread of the block must take part.
template <int items>
LEGATO_INLINE void rank_tile(const int (&digit)[items], int (&place)[items], int used,
                             RankMemory& m) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  for (int w = 0; w < kSortWarps; ++w) m.counts[w][thread] = 0;
  __syncthreads();
#pragma unroll
  for (int j = 0; j < items; ++j) {
    if (j >= used) break;
    const bool valid = digit[j] < kDigits;
    unsigned same = __ballot_sync(~0u, valid);
#pragma unroll
    for (int bit = 0; bit < 8; ++bit) {
      const bool one = digit[j] >> bit & 1;
      const unsigned votes = __ballot_sync(~0u, one);
      same &= one ? votes : ~votes;
    }
    const unsigned before = valid ? m.counts[warp][digit[j]] : 0;
    const unsigned lower = same & ((1u << lane) - 1);
    place[j] = static_cast<int>(before) + __popc(lower);
    __syncwarp();
    if (valid && lower == 0)
      m.counts[warp][digit[j]] = before + static_cast<unsigned>(__popc(same));
    __syncwarp();
  }
  __syncthreads();
  unsigned sum = 0;
  for (int w = 0; w < kSortWarps; ++w) {
    const unsigned here = m.counts[w][thread];
    m.counts[w][thread] = sum;
    sum += here;
  }
  unsigned total;
  m.starts[thread] = sum_before(sum, m.sums, total);
  __syncthreads();
#pragma unroll
  for (int j = 0; j < items; ++j)
    if (j < used && digit[j] < kDigits)
      place[j] += static_cast<int>(m.starts[digit[j]] + m.counts[warp][digit[j]]);
}

// --- rows of several tiles

template <class K>
LEGATO_INLINE void count(const SortParams& p, unsigned* counts) {
  constexpr int items = sort_items<sizeof(K)>, tile_size = sort_tile<sizeof(K)>;
  const int thread = static_cast<int>(threadIdx.x);
  const long long row = blockIdx.x / p.tiles, tile = blockIdx.x - row * p.tiles;
  counts[thread] = 0;
  __syncthreads();
  const long long begin = row * p.n, first = tile * tile_size + thread;
  K key[items];
  if (p.keys_in) {
#pragma unroll
    for (int j = 0; j < items; ++j)
      if (first + j * kSortThreads < p.n)
        key[j] = static_cast<const K*>(p.keys_in)[begin + first + j * kSortThreads];
  } else {
    long long places[items];
#pragma unroll
    for (int j = 0; j < items; ++j) {
      const long long i = first + j * kSortThreads;
      places[j] = i < p.n ? begin + (p.index_in ? p.index_in[begin + i] : i) : -1;
    }
    bring_keys(p.x, places, key, p.form);
  }
#pragma unroll
  for (int j = 0; j < items; ++j)
    if (first + j * kSortThreads < p.n)
      atomicAdd(&counts[static_cast<unsigned>(key[j] >> p.shift) & (kDigits - 1)], 1u);
  __syncthreads();
  p.counts[(row * kDigits + thread) * p.tiles + tile] = counts[thread];
}

/// A warp adds up one digit of one row over the tiles.
LEGATO_KERNEL(sort_add_up, SortParams, kSortThreads) {
  constexpr int each = 4;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const long long line = static_cast<long long>(blockIdx.x) * kSortWarps + warp;
  if (line >= p.rows * kDigits) return;
  unsigned* counts = p.counts + line * p.tiles;
  unsigned carry = 0;
  for (long long t = 0; t < p.tiles; t += 32 * each) {
    const long long first = t + lane * each;
    unsigned here[each], sum = 0;
    for (int j = 0; j < each; ++j) {
      const unsigned v = first + j < p.tiles ? counts[first + j] : 0;
      here[j] = sum;
      sum += v;
    }
    unsigned upto = sum;
    for (int by = 1; by < 32; by *= 2) {
      const unsigned other = __shfl_up_sync(~0u, upto, by);
      if (lane >= by) upto += other;
    }
    for (int j = 0; j < each; ++j)
      if (first + j < p.tiles) counts[first + j] = carry + upto - sum + here[j];
    carry += __shfl_sync(~0u, upto, 31);
  }
  if (lane == 0) p.totals[line] = carry;
}

template <class K, bool pairs>
struct TileMemory {
  RankMemory rank;
  K keys[sort_tile<sizeof(K)>];
  unsigned index[pairs ? sort_tile<sizeof(K)> : 1];
};

template <class K, bool pairs>
LEGATO_INLINE void move(const SortParams& p, TileMemory<K, pairs>& m, long long* bases) {
  constexpr int items = sort_items<sizeof(K)>, tile_size = sort_tile<sizeof(K)>;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const long long row = blockIdx.x / p.tiles, tile = blockIdx.x - row * p.tiles;
  const long long begin = row * p.n, first = tile * tile_size;
  K key[items];
  unsigned index[items];
  int digit[items], place[items];
  long long places[items];
#pragma unroll
  for (int j = 0; j < items; ++j) {
    const long long i = first + (warp * items + j) * 32 + lane;
    places[j] = i < p.n ? begin + i : -1;
    if constexpr (pairs) {
      index[j] = static_cast<unsigned>(i);
      if (p.index_in && i < p.n) index[j] = p.index_in[begin + i];
    }
  }
  if (p.keys_in) {
#pragma unroll
    for (int j = 0; j < items; ++j)
      if (places[j] >= 0) key[j] = static_cast<const K*>(p.keys_in)[places[j]];
  } else {
    if constexpr (pairs)
#pragma unroll
      for (int j = 0; j < items; ++j)
        if (places[j] >= 0) places[j] = begin + index[j];
    bring_keys(p.x, places, key, p.form);
  }
#pragma unroll
  for (int j = 0; j < items; ++j)
    digit[j] = places[j] < 0
                   ? kDigits
                   : static_cast<int>(static_cast<unsigned>(key[j] >> p.shift) & (kDigits - 1));
  rank_tile<items>(digit, place, items, m.rank);
  unsigned total;
  const unsigned smaller = sum_before(p.totals[row * kDigits + thread], m.rank.sums, total);
  bases[thread] = begin + smaller +
                  static_cast<long long>(p.counts[(row * kDigits + thread) * p.tiles + tile]) -
                  m.rank.starts[thread];
#pragma unroll
  for (int j = 0; j < items; ++j) {
    if (digit[j] == kDigits) continue;
    m.keys[place[j]] = key[j];
    if constexpr (pairs) m.index[place[j]] = index[j];
  }
  __syncthreads();
#pragma unroll
  for (int j = 0; j < items; ++j) {
    const int at = j * kSortThreads + thread;
    if (first + at >= p.n) break;
    const K k = m.keys[at];
    const long long to = bases[static_cast<unsigned>(k >> p.shift) & (kDigits - 1)] + at;
    if (p.keys_out) static_cast<K*>(p.keys_out)[to] = p.decode ? decode<K>(k, p.form) : k;
    if constexpr (pairs) p.index_out[to] = m.index[at];
  }
}

// --- rows of one tile

template <class K, bool pairs>
LEGATO_INLINE void sort_block(const SortParams& p, TileMemory<K, pairs>& m) {
  constexpr int items = sort_items<sizeof(K)>;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int n = static_cast<int>(p.n), used = (n + kSortThreads - 1) / kSortThreads;
  const long long begin = static_cast<long long>(blockIdx.x) * n;
  K key[items];
  unsigned index[items];
  int digit[items], place[items];
  long long places[items];
#pragma unroll
  for (int j = 0; j < items; ++j) {
    const int i = (warp * used + j) * 32 + lane;
    digit[j] = j < used && i < n ? 0 : kDigits;
    places[j] = digit[j] == 0 ? begin + i : -1;
    index[j] = static_cast<unsigned>(i);
  }
  bring_keys(p.x, places, key, p.form);
  for (int pass = 0; pass < p.passes; ++pass) {
#pragma unroll
    for (int j = 0; j < items; ++j)
      if (digit[j] != kDigits)
        digit[j] = static_cast<int>(static_cast<unsigned>(key[j] >> (8 * pass)) & (kDigits - 1));
    rank_tile<items>(digit, place, used, m.rank);
#pragma unroll
    for (int j = 0; j < items; ++j) {
      if (digit[j] == kDigits) continue;
      m.keys[place[j]] = key[j];
      if constexpr (pairs) m.index[place[j]] = index[j];
    }
    __syncthreads();
    if (pass + 1 == p.passes) break;
#pragma unroll
    for (int j = 0; j < items; ++j) {
      if (digit[j] == kDigits) continue;
      const int i = (warp * used + j) * 32 + lane;
      key[j] = m.keys[i];
      if constexpr (pairs) index[j] = m.index[i];
    }
  }
  for (int i = thread; i < n; i += kSortThreads) {
    if (p.keys_out)
      static_cast<K*>(p.keys_out)[begin + i] = p.decode ? decode<K>(m.keys[i], p.form) : m.keys[i];
    if constexpr (pairs) p.index_out[begin + i] = m.index[i];
  }
}

// --- short rows

template <class K, bool pairs>
LEGATO_INLINE void sort_network(const SortParams& p, K* keys, unsigned* index) {
  const int thread = static_cast<int>(threadIdx.x), width = p.width, n = static_cast<int>(p.n);
  const long long first_row = static_cast<long long>(blockIdx.x) * (kNetwork / width);
  for (int at = thread; at < kNetwork; at += kSortThreads) {
    const long long row = first_row + at / width;
    const int i = at % width;
    K key;
    memset(&key, 0xff, sizeof key);  // behind everything: its index is larger too
    if (row < p.rows && i < n) key = key_of<K>(p.x, row * n + i, p.form);
    keys[at] = key;
    if constexpr (pairs) index[at] = static_cast<unsigned>(i);
  }
  const bool in_warp = width <= 64;  // the threads of a row are of one warp
  for (int size = 2; size <= width; size *= 2) {
    for (int stride = size / 2; stride > 0; stride /= 2) {
      if (in_warp && size > 2)
        __syncwarp();
      else
        __syncthreads();
      const int a = 2 * thread - (thread & (stride - 1)), b = a + stride;
      const bool rising = (a & size & (width - 1)) == 0;
      const K ka = keys[a], kb = keys[b];
      bool less = kb < ka;
      if constexpr (pairs)
        if (!less && !(ka < kb)) less = index[b] < index[a];
      if (less == rising) {  // no two are equal, or it does not matter
        keys[a] = kb;
        keys[b] = ka;
        if constexpr (pairs) {
          const unsigned ia = index[a];
          index[a] = index[b];
          index[b] = ia;
        }
      }
    }
  }
  __syncthreads();
  for (int at = thread; at < kNetwork; at += kSortThreads) {
    const long long row = first_row + at / width;
    const int i = at % width;
    if (row >= p.rows || i >= n) continue;
    if constexpr (!std::is_same_v<K, WideKey>)
      if (p.keys_out)
        static_cast<K*>(p.keys_out)[row * n + i] =
            p.decode ? decode<K>(keys[at], p.form) : keys[at];
    if constexpr (pairs) p.index_out[row * n + i] = index[at];
  }
}

#define LEGATO_NETWORK(end, K, pairs)                           \
  LEGATO_KERNEL(sort_network_##end, SortParams, kSortThreads) { \
    __shared__ __attribute__((aligned(16))) K keys[kNetwork];   \
    __shared__ unsigned index[pairs ? kNetwork : 1];            \
    sort_network<K, pairs>(p, keys, index);                     \
  }
#define LEGATO_SORT_BOTH(end, K, pairs)                       \
  LEGATO_NETWORK(end, K, pairs)                               \
  LEGATO_KERNEL(sort_move_##end, SortParams, kSortThreads) {  \
    __shared__ TileMemory<K, pairs> memory;                   \
    __shared__ long long bases[kDigits];                      \
    move<K, pairs>(p, memory, bases);                         \
  }                                                           \
  LEGATO_KERNEL(sort_block_##end, SortParams, kSortThreads) { \
    __shared__ TileMemory<K, pairs> memory;                   \
    sort_block<K, pairs>(p, memory);                          \
  }
#define LEGATO_SORT(bytes, K)                                   \
  LEGATO_KERNEL(sort_count_##bytes, SortParams, kSortThreads) { \
    __shared__ unsigned counts[kDigits];                        \
    count<K>(p, counts);                                        \
  }                                                             \
  LEGATO_SORT_BOTH(keys_##bytes, K, false)                      \
  LEGATO_SORT_BOTH(pairs_##bytes, K, true)
LEGATO_SORT(1, uint8_t)
LEGATO_SORT(2, uint16_t)
LEGATO_SORT(4, uint32_t)
LEGATO_SORT(8, uint64_t)
LEGATO_NETWORK(pairs_16, WideKey, true)

// --- values by their order

template <class T>
LEGATO_INLINE void take(const SortTakeParams& p) {
  const long long n = p.rows * p.n, step = static_cast<long long>(gridDim.x) * blockDim.x;
  for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < n;
       i += step)
    static_cast<T*>(p.y)[i] = static_cast<const T*>(p.x)[i / p.n * p.n + p.index[i]];
}
LEGATO_KERNEL(sort_take_8, SortTakeParams, 256) { take<c64>(p); }
LEGATO_KERNEL(sort_take_16, SortTakeParams, 256) { take<c128>(p); }

// --- searching

template <class K>
LEGATO_INLINE void search(const SearchParams& p) {
  const long long n = p.groups * p.n_values, step = static_cast<long long>(gridDim.x) * blockDim.x;
  for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < n;
       i += step) {
    const long long begin = i / p.n_values * p.n;
    const K wanted = key_of<K>(p.values, i, p.form);
    long long low = 0, count = p.n;  // the answer is in [low, low + count]
    while (count > 0) {
      const long long half = count / 2;
      const K here = key_of<K>(p.sequence, begin + low + half, p.form);
      if (p.right ? !(wanted < here) : here < wanted) {
        low += half + 1;
        count -= half + 1;
      } else {
        count = half;
      }
    }
    p.out[i] = static_cast<unsigned>(low);
  }
}
LEGATO_KERNEL(search_1, SearchParams, 256) { search<uint8_t>(p); }
LEGATO_KERNEL(search_2, SearchParams, 256) { search<uint16_t>(p); }
LEGATO_KERNEL(search_4, SearchParams, 256) { search<uint32_t>(p); }
LEGATO_KERNEL(search_8, SearchParams, 256) { search<uint64_t>(p); }
LEGATO_KERNEL(search_16, SearchParams, 256) { search<WideKey>(p); }

}  // namespace legato::cuda
