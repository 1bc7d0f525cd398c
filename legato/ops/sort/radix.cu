// Sorting long rows by unsigned keys: a radix sort from the lowest digit of 8 bits up, which reads
// and writes each element once a digit (Adinets and Merrill, "Onesweep", 2022).
//
// All digits are counted in one pass before. Then, for each digit, a block ranks a tile (rank.cuh),
// finds how many elements with its digits the tiles before it have, and moves. A pass over a digit
// that all elements share, as the upper ones of small integers, returns at once.
//
// Note [Reports of tiles]: for each digit a tile reports how many of its elements have it and, once
// that is known, how many the tiles up to it have: two bits of a word say which. A thread looks
// back from its tile, adding up, until it meets a report of the second kind (decoupled look-back,
// as Merrill and Garland's). What it finds does not depend on how far it had to go. A word is
// written at once, so nothing has to be ordered. Blocks take tiles in the order in which they
// start, so that waiting ends.
#include "legato/ops/sort/radix.cuh"
#include "legato/ops/sort/rank.cuh"

namespace legato::cuda {

template <class W>
LEGATO_INLINE W read_report(const W* from) {
  return *reinterpret_cast<const volatile W*>(from);
}
template <class W>
LEGATO_INLINE void write_report(W* to, W report) {
  *reinterpret_cast<volatile W*>(to) = report;
}

/// How often the digits of a row occur, all of them in one pass over the keys. Neighbouring lanes
/// count in different copies, since keys often share a digit.
template <class K>
LEGATO_INLINE void radix_count(const RadixParams& p, unsigned* counts) {
  constexpr int digits = sizeof(K), copies = 16 / digits, items = 16 / sizeof(K) < 8 ? 8 : 16;
  const int thread = static_cast<int>(threadIdx.x), copy = thread % copies;
  for (int i = thread; i < digits * kDigits * copies; i += kRadixCountThreads) counts[i] = 0;
  __syncthreads();
  const long long row = blockIdx.x / p.spans, span = blockIdx.x - row * p.spans;
  const long long begin = row * p.n, first = span * p.span,
                  end = first + p.span < p.n ? first + p.span : p.n;
  for (long long i = first + thread; i < end; i += items * kRadixCountThreads) {
    long long places[items];
    K key[items];
#pragma unroll
    for (int j = 0; j < items; ++j) {
      const long long at = i + j * kRadixCountThreads;
      places[j] = at < end ? begin + at : -1;
    }
    bring_keys(p.x, places, key, p.form);
    // Digits that a thread's elements share are counted together.
    K differ = 0;
    unsigned have = 0;
#pragma unroll
    for (int j = 0; j < items; ++j)
      if (places[j] >= 0) {
        differ = static_cast<K>(differ | (key[j] ^ key[0]));
        ++have;
      }
    if (have == 0) break;
#pragma unroll
    for (int d = 0; d < digits; ++d) {
      if (d >= p.digits) break;
      unsigned* const to = counts + d * kDigits * copies + copy;
      if (digit_of(differ, 8 * d) == 0) {
        atomicAdd(&to[digit_of(key[0], 8 * d) * copies], have);
        continue;
      }
#pragma unroll
      for (int j = 0; j < items; ++j)
        if (places[j] >= 0) atomicAdd(&to[digit_of(key[j], 8 * d) * copies], 1u);
    }
  }
  __syncthreads();
  for (int i = thread; i < p.digits * kDigits; i += kRadixCountThreads) {
    unsigned sum = 0;
    for (int c = 0; c < copies; ++c) sum += counts[i * copies + (c + thread) % copies];
    if (sum) atomicAdd(&p.totals[row * p.digits * kDigits + i], sum);
  }
  if (!p.skips) return;
  // The block that ends last sees which digits are the same everywhere.
  RadixHead* const head = reinterpret_cast<RadixHead*>(p.head);
  __threadfence();
  __syncthreads();
  if (thread == 0) counts[0] = atomicAdd(&head->counted, 1u);
  __syncthreads();
  if (counts[0] != gridDim.x - 1) return;
  for (int d = 0; d < p.digits; ++d)
    if (read_report(p.totals + d * kDigits + thread) == p.n) atomicAdd(&head->same, 1u << d);
}

/// How many elements with this thread's digit the tiles of the row before `tile` have, of which
/// there are `mine` here. `reports`: of the row's first tile.
template <class W>
LEGATO_INLINE unsigned look_back(W* reports, long long tile, unsigned mine) {
  constexpr int bits = 8 * sizeof(W) - 2, ahead = 4;
  constexpr W own = W{1} << bits, all = W{2} << bits, value = own - 1;
  reports += threadIdx.x;
  if (tile == 0) {
    write_report<W>(reports, all | mine);
    return 0;
  }
  write_report<W>(reports + tile * kDigits, own | mine);
  W sum = 0;
  for (long long t = tile - 1; t >= 0;) {
    W report[ahead];
#pragma unroll
    for (int k = 0; k < ahead; ++k)
      report[k] = t >= k ? read_report(reports + (t - k) * kDigits) : 0;
#pragma unroll
    for (int k = 0; k < ahead; ++k) {
      if (report[k] <= value) break;  // not there yet
      sum += report[k] & value;
      t = report[k] & all ? -1 : t - 1;
      if (t < 0) break;
    }
  }
  write_report<W>(reports + tile * kDigits, all | (sum + mine));
  return static_cast<unsigned>(sum);
}

// By itself, since it is long and seldom needed.
LEGATO_APART uint64_t complex_key(const void* x, long long i, const KeyForm& form) {
  return key_of<uint64_t>(x, i, form);
}

/// Where a pass reads, and where it writes.
template <class K>
struct RadixPass {
  const K* keys_in;  // null: keys are made from x
  const unsigned* index_in;
  K* keys_out;
  unsigned* index_out;
  int side;  // of the reports
  bool last;
};
/// `same`: digits whose passes are left out.
template <class K>
LEGATO_INLINE RadixPass<K> pass_of(const RadixParams& p, unsigned same) {
  const unsigned done = ~same & ((1u << p.pass) - 1), rest = ~same & ((1u << p.digits) - 1);
  const int before = __popc(done);
  const bool last = rest >> p.pass <= 1;
  const int from = (before + 1) % 2, to = before % 2;
  return {before ? static_cast<const K*>(p.keys[from]) : nullptr,
          before ? p.index[from] : p.first_index,
          static_cast<K*>(last ? p.keys_out : p.keys[to]),
          last && p.index_out ? p.index_out : p.index[to],
          to,
          last};
}

/// The keys of a thread's elements `own`, `own` + 32, ... of a tile, of which there are `have`; of
/// ones only behind them.
template <class K, bool pairs, int items>
LEGATO_INLINE void bring_tile(const RadixParams& p, const RadixPass<K>& pass, long long begin,
                              long long first, int own, int have, K (&key)[items]) {
  if constexpr (sizeof(K) == 8)
    if (!pass.keys_in && p.form.kind >= KeyForm::complex64) {
#pragma unroll
      for (int j = 0; j < items; ++j) {
        const long long i = own + 32 * j;
        key[j] = ~K{0};
        if (i < have)
          key[j] = complex_key(
              p.x, pairs && pass.index_in ? begin + pass.index_in[first + i] : first + i, p.form);
      }
      return;
    }
  const K* from = (pass.keys_in ? pass.keys_in : static_cast<const K*>(p.x)) + first + own;
#pragma unroll
  for (int j = 0; j < items; ++j)
    key[j] = own + 32 * j < have ? from[32 * j] : static_cast<K>(~K{0});
  if (pass.keys_in) return;
#pragma unroll
  for (int j = 0; j < items; ++j)
    if (own + 32 * j < have)
      key[j] = encode<K>(key[j], p.form.kind, p.form.zeros_equal, static_cast<K>(p.form.infinity));
}

template <class K, bool pairs, int threads, int items>
LEGATO_INLINE void radix_move(const RadixParams& p, RadixMemory<K, pairs, threads, items>& m) {
  constexpr int tile_size = threads * items;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  RadixHead* const head = reinterpret_cast<RadixHead*>(p.head);
  if (thread == 0) {
    const unsigned same = head->same, every = (1u << p.digits) - 1;
    m.same = same == every ? every >> 1 : same;  // of equal elements the last pass is made
    m.ticket = atomicAdd(&head->tickets[p.pass], 1u);
  }
  __syncthreads();
  if (m.same >> p.pass & 1) return;
  RadixPass<K> pass = pass_of<K>(p, m.same);
  const long long number = m.ticket, row = number / p.tiles, tile = number - row * p.tiles;
  const long long begin = row * p.n, first = begin + tile * tile_size;
  const int have =
      p.n - tile * tile_size < tile_size ? static_cast<int>(p.n - tile * tile_size) : tile_size;
  const int own = warp * 32 * items + lane, shift = 8 * p.pass;
  K key[items];
  bring_tile<K, pairs>(p, pass, begin, first, own, have, key);
  unsigned place[items];
  const unsigned mine = rank_tile<threads>(key, place, items, shift, m.rank);
  const unsigned start = thread < kDigits ? m.rank.starts[thread] : 0;
  __syncthreads();  // ranks have been read
#pragma unroll
  for (int j = 0; j < items; ++j) m.keys[place[j]] = key[j];
  if constexpr (pairs) {
    const unsigned* index_in = pass.index_in ? pass.index_in + first : nullptr;
    unsigned index[items];
#pragma unroll
    for (int j = 0; j < items; ++j) {
      const int i = own + 32 * j;
      index[j] = static_cast<unsigned>(tile * tile_size) + static_cast<unsigned>(i);
      if (index_in && i < have) index[j] = index_in[i];
    }
#pragma unroll
    for (int j = 0; j < items; ++j) m.index[place[j]] = index[j];
  }
  pass = pass_of<K>(p, m.same);  // once more, instead of keeping it in registers
  const unsigned* totals = p.totals + (row * p.digits + p.pass) * kDigits;
  const unsigned smaller = sum_before<threads>(thread < kDigits ? totals[thread] : 0, m.sums);
  if (thread < kDigits) {
    const long long at = row * p.tiles * kDigits;
    void* const next_reports = p.reports[1 - pass.side];
    unsigned before;
    if (p.far)
      before = look_back(static_cast<unsigned long long*>(p.reports[pass.side]) + at, tile, mine);
    else
      before = look_back(static_cast<unsigned*>(p.reports[pass.side]) + at, tile, mine);
    m.bases[thread] = smaller + before - start;
    if (!pass.last) {
      const long long own_report = number * kDigits + thread;
      if (p.far)
        static_cast<unsigned long long*>(next_reports)[own_report] = 0;
      else
        static_cast<unsigned*>(next_reports)[own_report] = 0;
    }
  }
  __syncthreads();
  K* keys_out = pass.keys_out ? pass.keys_out + begin : nullptr;
  unsigned* index_out = pairs ? pass.index_out + begin : nullptr;
  const bool decoded = p.decode && pass.last;
#pragma unroll
  for (int j = 0; j < items; ++j) {
    const int at = j * threads + thread;
    const K k = m.keys[at];
    const unsigned to = m.bases[digit_of(k, shift)] + static_cast<unsigned>(at);
    if (at >= have) break;
    if constexpr (pairs) {
      if (keys_out) keys_out[to] = k;
      index_out[to] = m.index[at];
    } else {
      keys_out[to] = decoded ? decode<K>(k, p.form) : k;
    }
  }
}

// Two blocks a multiprocessor at least: what a tile waits for, another one has time for.
#define LEGATO_TWO_BLOCKS(threads) threads, 2
#define LEGATO_RADIX_MOVE(end, K, pairs, threads, items)                       \
  LEGATO_KERNEL(radix_move_##end, RadixParams, LEGATO_TWO_BLOCKS(threads)) {   \
    LEGATO_DYNAMIC_SHARED(memory);                                             \
    radix_move<K, pairs, threads, items>(                                      \
        p, *reinterpret_cast<RadixMemory<K, pairs, threads, items>*>(memory)); \
  }
#define LEGATO_RADIX(bytes, K)                                                          \
  LEGATO_KERNEL(radix_count_##bytes, RadixParams, kRadixCountThreads) {                 \
    __shared__ unsigned counts[16 * kDigits];                                           \
    radix_count<K>(p, counts);                                                          \
  }                                                                                     \
  LEGATO_RADIX_MOVE(keys_##bytes, K, false, kRadixThreads, radix_items<bytes>)          \
  LEGATO_RADIX_MOVE(pairs_##bytes, K, true, kRadixThreads, radix_items<bytes>)          \
  LEGATO_RADIX_MOVE(small_keys_##bytes, K, false, kRadixSmallThreads, kRadixSmallItems) \
  LEGATO_RADIX_MOVE(small_pairs_##bytes, K, true, kRadixSmallThreads, kRadixSmallItems)
LEGATO_RADIX(1, uint8_t)
LEGATO_RADIX(2, uint16_t)
LEGATO_RADIX(4, uint32_t)
LEGATO_RADIX(8, uint64_t)

}  // namespace legato::cuda
