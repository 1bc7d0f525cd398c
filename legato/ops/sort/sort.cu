// Sorting rows of up to a few thousand elements by unsigned keys, as on the CPU: nan last, stable;
// and searching sorted ones. Longer rows: radix.cu.
//
// A row that fits a tile does all its digits in shared memory (rank.cuh), by as many threads as it
// needs. Rows of up to 256 elements: sorting networks, several in a block, with the index as the
// last part of the key.
#include "legato/ops/sort/rank.cuh"

namespace legato::cuda {

// --- rows of one tile

template <class K, bool pairs, int threads>
struct TileMemory {
  RankMemory<threads> rank;
  K keys[threads * sort_items<sizeof(K)>];
  unsigned index[pairs ? threads * sort_items<sizeof(K)> : 1];
};

template <class K, bool pairs, int threads>
LEGATO_INLINE void sort_block(const SortParams& p, TileMemory<K, pairs, threads>& m) {
  constexpr int items = sort_items<sizeof(K)>;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int n = static_cast<int>(p.n), used = (n + threads - 1) / threads;
  const int own = warp * used * 32 + lane;
  const long long begin = static_cast<long long>(blockIdx.x) * n;
  K key[items];
  unsigned index[items], place[items];
  long long places[items];
#pragma unroll
  for (int j = 0; j < items; ++j) {
    const int i = own + 32 * j;
    key[j] = static_cast<K>(~K{0});
    places[j] = j < used && i < n ? begin + i : -1;
    index[j] = static_cast<unsigned>(i);
  }
  bring_keys(p.x, places, key, p.form);
  for (int pass = 0; pass < p.passes; ++pass) {
    rank_tile<threads>(key, place, used, 8 * pass, m.rank);
#pragma unroll
    for (int j = 0; j < items; ++j) {
      if (j >= used) break;
      m.keys[place[j]] = key[j];
      if constexpr (pairs) m.index[place[j]] = index[j];
    }
    __syncthreads();
    if (pass + 1 == p.passes) break;
#pragma unroll
    for (int j = 0; j < items; ++j) {
      if (j >= used) break;
      key[j] = m.keys[own + 32 * j];
      if constexpr (pairs) index[j] = m.index[own + 32 * j];
    }
  }
  for (int i = thread; i < n; i += threads) {
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
#define LEGATO_SORT_BLOCK(end, K, pairs, threads)                    \
  LEGATO_KERNEL(sort_block_##end##_##threads, SortParams, threads) { \
    __shared__ TileMemory<K, pairs, threads> memory;                 \
    sort_block<K, pairs, threads>(p, memory);                        \
  }
#define LEGATO_SORT_BOTH(end, K, pairs) \
  LEGATO_NETWORK(end, K, pairs)         \
  LEGATO_SORT_BLOCK(end, K, pairs, 64)  \
  LEGATO_SORT_BLOCK(end, K, pairs, 128) \
  LEGATO_SORT_BLOCK(end, K, pairs, 256)
#define LEGATO_SORT(bytes, K)              \
  LEGATO_SORT_BOTH(keys_##bytes, K, false) \
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
