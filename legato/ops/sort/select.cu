// The largest elements of long rows.
//
// Note [Selection]: digits of 11 bits are counted from the highest down. The digit in which the
// k-th largest key lies divides the elements: those above are chosen, those below are not, and
// those with the same digit are left for the next round, mostly a small part. The first round reads
// all elements, once to count and once to divide; while a round divides it counts the next digit of
// what it leaves. What is left in the end is equal. Chosen elements come in any order, and are
// sorted behind. Many rows are a block's each, which does all rounds; few rows are shared by
// blocks, a launch for each round.
#include "legato/ops/sort/rank.cuh"
#include "legato/ops/sort/select.cuh"

namespace legato::cuda {

struct SelectMemory {
  unsigned counts[kSelectBins * kSelectCopies];
  unsigned sums[kSelectThreads / 32];
  unsigned digit, above;      // where the k-th largest lies; how many are above
  unsigned chosen, left;      // where this chunk's go
  unsigned n_chosen, n_left;  // of a row that is this block's
};

template <class K>
LEGATO_INLINE unsigned select_digit(K key, int shift) {
  return static_cast<unsigned>(key >> shift) & (kSelectBins - 1);
}

LEGATO_INLINE void clear_counts(SelectMemory& m) {
  for (int i = static_cast<int>(threadIdx.x); i < kSelectBins * kSelectCopies; i += kSelectThreads)
    m.counts[i] = 0;
}
/// Neighbouring lanes count in different copies, since keys often share a digit.
LEGATO_INLINE void count_digit(SelectMemory& m, unsigned digit) {
  atomicAdd(&m.counts[digit * kSelectCopies + threadIdx.x % kSelectCopies], 1u);
}
LEGATO_INLINE unsigned count_of(const SelectMemory& m, int digit) {
  unsigned sum = 0;
  for (int c = 0; c < kSelectCopies; ++c)
    sum += m.counts[digit * kSelectCopies + static_cast<int>(c + threadIdx.x) % kSelectCopies];
  return sum;
}
LEGATO_INLINE void give_counts(const SelectMemory& m, unsigned* to) {
  for (int i = static_cast<int>(threadIdx.x); i < kSelectBins; i += kSelectThreads) {
    const unsigned sum = count_of(m, i);
    if (sum) atomicAdd(&to[i], sum);
  }
}

/// Elements [first, end) of a row that lies at `from`; made keys unless they are.
template <class K>
LEGATO_INLINE void bring_chunk(const SelectParams& p, const K* from, bool keys, long long first,
                               long long end, K (&key)[kSelectItems]) {
#pragma unroll
  for (int j = 0; j < kSelectItems; ++j) {
    const long long i = first + j * kSelectThreads + threadIdx.x;
    if (i < end) key[j] = from[i];
  }
  if (keys) return;
#pragma unroll
  for (int j = 0; j < kSelectItems; ++j)
    key[j] = encode<K>(key[j], p.form.kind, 0, static_cast<K>(p.form.infinity));
}

template <class K>
LEGATO_INLINE void count_row(const SelectParams& p, long long row, long long begin, long long end,
                             SelectMemory& m) {
  clear_counts(m);
  __syncthreads();
  const K* from = static_cast<const K*>(p.x) + row * p.n;
  for (long long first = begin; first < end; first += kSelectChunk) {
    K key[kSelectItems] = {};
    bring_chunk(p, from, false, first, end, key);
#pragma unroll
    for (int j = 0; j < kSelectItems; ++j)
      if (first + j * kSelectThreads + threadIdx.x < end)
        count_digit(m, select_digit(key[j], p.shift[0]));
  }
  __syncthreads();
}

/// The digit in which the `wanted`-th largest lies of the elements that `count` has counted.
template <class F>
LEGATO_INLINE void find_digit(const F& count, unsigned wanted, SelectMemory& m) {
  constexpr int each = kSelectBins / kSelectThreads;
  unsigned here[each], all = 0;
  const int last = kSelectBins - 1 - static_cast<int>(threadIdx.x) * each;  // from the top down
#pragma unroll
  for (int k = 0; k < each; ++k) here[k] = count(last - k);
#pragma unroll
  for (int k = 0; k < each; ++k) all += here[k];
  unsigned above = sum_before<kSelectThreads>(all, m.sums);
#pragma unroll
  for (int k = 0; k < each; ++k) {
    if (above < wanted && wanted - above <= here[k]) {
      m.digit = static_cast<unsigned>(last - k);
      m.above = above;
    }
    above += here[k];
  }
  __syncthreads();
}

/// Divides elements [begin, end): those above m.digit go to `chosen`, those that have it to `left`,
/// or nowhere. `n_chosen`, `n_left`: how many are there.
template <class K>
LEGATO_INLINE void divide_row(const SelectParams& p, int round, const K* from, long long begin,
                              long long end, K* chosen, unsigned* n_chosen, K* left,
                              unsigned* n_left, SelectMemory& m) {
  const unsigned digit = m.digit;
  const int shift = p.shift[round];
  for (long long first = begin; first < end; first += kSelectChunk) {
    K key[kSelectItems] = {};
    bring_chunk(p, from, round > 0, first, end, key);
    unsigned mine = 0;  // chosen ones; and from bit 16 on, those that are left
#pragma unroll
    for (int j = 0; j < kSelectItems; ++j) {
      if (first + j * kSelectThreads + threadIdx.x >= end) continue;
      const unsigned d = select_digit(key[j], shift);
      mine += (d > digit) + (static_cast<unsigned>(d == digit) << 16);
    }
    const unsigned before = sum_before<kSelectThreads>(mine, m.sums);
    if (threadIdx.x == kSelectThreads - 1) {
      const unsigned all = before + mine;
      m.chosen = all & 0xffff ? atomicAdd(n_chosen, all & 0xffff) : 0;
      m.left = all >> 16 && left ? atomicAdd(n_left, all >> 16) : 0;
    }
    __syncthreads();
    unsigned to_chosen = m.chosen + (before & 0xffff), to_left = m.left + (before >> 16);
    if (mine)
#pragma unroll
      for (int j = 0; j < kSelectItems; ++j) {
        if (first + j * kSelectThreads + threadIdx.x >= end) continue;
        const unsigned d = select_digit(key[j], shift);
        if (d > digit) chosen[to_chosen++] = decode<K>(key[j], p.form);
        if (d == digit && left) {
          left[to_left++] = key[j];
          count_digit(m, select_digit(key[j], p.shift[round + 1]));
        }
      }
  }
  __syncthreads();
}

/// What is left in the end is equal: as many of it as are still wanted.
template <class K>
LEGATO_INLINE void fill_row(const SelectParams& p, K* chosen, unsigned long long key,
                            unsigned wanted) {
  const K v = decode<K>(static_cast<K>(key), p.form);
  for (unsigned i = threadIdx.x; i < wanted; i += kSelectThreads) chosen[p.k - 1 - i] = v;
}

template <class K>
LEGATO_INLINE void select_rows(const SelectParams& p, SelectMemory& m) {
  const long long row = blockIdx.x;
  K* const chosen = static_cast<K*>(p.chosen) + row * p.k;
  const K* from = static_cast<const K*>(p.x) + row * p.n;
  unsigned wanted = static_cast<unsigned>(p.k);
  long long n = p.n;
  unsigned long long smallest = 0;
  count_row<K>(p, row, 0, p.n, m);
  if (threadIdx.x == 0) m.n_chosen = 0;
  for (int round = 0; round < p.rounds; ++round) {
    find_digit([&](int digit) { return count_of(m, digit); }, wanted, m);
    wanted -= m.above;
    smallest |= static_cast<unsigned long long>(m.digit) << p.shift[round];
    clear_counts(m);
    if (threadIdx.x == 0) m.n_left = 0;
    __syncthreads();
    K* const left = round + 1 < p.rounds ? static_cast<K*>(p.left[round % 2]) + row * p.n : nullptr;
    divide_row<K>(p, round, from, 0, n, chosen, &m.n_chosen, left, &m.n_left, m);
    from = left;
    n = m.n_left;
  }
  fill_row(p, chosen, smallest, wanted);
}

// --- rows that blocks share

template <class K>
LEGATO_INLINE void select_count(const SelectParams& p, SelectMemory& m) {
  const long long row = blockIdx.x / p.spans, begin = (blockIdx.x - row * p.spans) * p.span;
  count_row<K>(p, row, begin, begin + p.span < p.n ? begin + p.span : p.n, m);
  give_counts(m, p.counts + row * kSelectBins);
}

template <class K>
LEGATO_INLINE void select_divide(const SelectParams& p, SelectMemory& m) {
  const long long row = blockIdx.x / p.spans, span = blockIdx.x - row * p.spans;
  SelectRow& state = p.state[row];
  const bool first = p.round == 0, last = p.round + 1 == p.rounds;
  const long long n = first ? p.n : state.left[p.round], begin = span * p.span,
                  end = begin + p.span < n ? begin + p.span : n;
  if (begin >= end) return;
  const unsigned wanted = first ? static_cast<unsigned>(p.k) : state.wanted[p.round];
  const unsigned* counts = p.counts + (p.round * p.rows + row) * kSelectBins;
  clear_counts(m);
  find_digit([&](int digit) { return counts[digit]; }, wanted, m);
  const unsigned long long digit = static_cast<unsigned long long>(m.digit) << p.shift[p.round],
                           smallest = first ? digit : state.smallest[p.round] | digit;
  if (span == 0 && threadIdx.x == 0) {
    state.wanted[p.round + 1] = wanted - m.above;
    state.smallest[p.round + 1] = smallest;
  }
  K* const chosen = static_cast<K*>(p.chosen) + row * p.k;
  K* const left = last ? nullptr : static_cast<K*>(p.left[p.round % 2]) + row * p.n;
  const K* from = static_cast<const K*>(first ? p.x : p.left[(p.round + 1) % 2]) + row * p.n;
  divide_row<K>(p, p.round, from, begin, end, chosen, &state.chosen, left, &state.left[p.round + 1],
                m);
  if (!last)
    give_counts(m, p.counts + ((p.round + 1) * p.rows + row) * kSelectBins);
  else if (span == 0)
    fill_row(p, chosen, smallest, wanted - m.above);
}

#define LEGATO_SELECT(bytes, K)                                        \
  LEGATO_KERNEL(select_rows_##bytes, SelectParams, kSelectThreads) {   \
    __shared__ SelectMemory memory;                                    \
    select_rows<K>(p, memory);                                         \
  }                                                                    \
  LEGATO_KERNEL(select_count_##bytes, SelectParams, kSelectThreads) {  \
    __shared__ SelectMemory memory;                                    \
    select_count<K>(p, memory);                                        \
  }                                                                    \
  LEGATO_KERNEL(select_divide_##bytes, SelectParams, kSelectThreads) { \
    __shared__ SelectMemory memory;                                    \
    select_divide<K>(p, memory);                                       \
  }
LEGATO_SELECT(1, uint8_t)
LEGATO_SELECT(2, uint16_t)
LEGATO_SELECT(4, uint32_t)
LEGATO_SELECT(8, uint64_t)

}  // namespace legato::cuda
