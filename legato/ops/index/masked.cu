// Selection and assignment by masks, and the places of true elements: count in chunks, add up over
// chunks, move. A block lists the true elements of its chunk in order, so that both sides of a move
// go by neighbours.
#include "legato/backends/cuda/lane.cuh"
#include "legato/backends/cuda/report.cuh"
#include "legato/ops/index/masked.cuh"

namespace legato::cuda {

/// Which of 32 neighbours at a time are true, for the part of a chunk that a warp has.
LEGATO_INLINE void votes_of(const MaskedParams& p, long long row, long long chunk,
                            unsigned (&votes)[kMaskItems]) {
  const int thread = static_cast<int>(threadIdx.x);
  const long long first = chunk * kMaskChunk + thread / 32 * (32 * kMaskItems) + thread % 32;
  unsigned char v[kMaskItems];
#pragma unroll
  for (int j = 0; j < kMaskItems; ++j)
    v[j] = first + 32 * j < p.length ? p.mask[row * p.length + first + 32 * j] : 0;
#pragma unroll
  for (int j = 0; j < kMaskItems; ++j) votes[j] = __ballot_sync(~0u, v[j] != 0);
}

/// How many are true in this thread's warp.
LEGATO_INLINE unsigned count_of(const unsigned (&votes)[kMaskItems]) {
  unsigned sum = 0;
#pragma unroll
  for (int j = 0; j < kMaskItems; ++j) sum += static_cast<unsigned>(__popc(votes[j]));
  return sum;
}

LEGATO_KERNEL(masked_count, MaskedParams, kMaskThreads) {
  __shared__ unsigned sums[kMaskWarps];
  const int thread = static_cast<int>(threadIdx.x);
  const long long row = blockIdx.x / p.chunks, chunk = blockIdx.x - row * p.chunks;
  unsigned votes[kMaskItems];
  votes_of(p, row, chunk, votes);
  if (thread % 32 == 0) sums[thread / 32] = count_of(votes);
  __syncthreads();
  if (thread != 0) return;
  unsigned sum = 0;
  for (int w = 0; w < kMaskWarps; ++w) sum += sums[w];
  p.counts[blockIdx.x] = sum;
}

/// A warp goes along the chunks of a row.
LEGATO_KERNEL(masked_add_up, MaskedParams, kMaskThreads) {
  constexpr int each = 4;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const long long row = static_cast<long long>(blockIdx.x) * kMaskWarps + threadIdx.x / 32;
  if (row >= p.rows) return;
  unsigned* counts = p.counts + row * p.chunks;
  unsigned carry = 0;
  for (long long c = 0; c < p.chunks; c += 32 * each) {
    const long long first = c + lane * each;
    unsigned before[each], sum = 0;
    for (int j = 0; j < each; ++j) {
      before[j] = sum;
      sum += first + j < p.chunks ? counts[first + j] : 0;
    }
    unsigned upto = sum;
    for (int by = 1; by < 32; by *= 2) {
      const unsigned other = __shfl_up_sync(~0u, upto, by);
      if (lane >= by) upto += other;
    }
    for (int j = 0; j < each; ++j)
      if (first + j < p.chunks) counts[first + j] = carry + upto - sum + before[j];
    carry += __shfl_sync(~0u, upto, 31);
  }
  if (lane != 0) return;
  p.totals[row] = carry;
  if (p.report && carry > p.given) report_value(p.report, 0, carry, p.given);
}

/// Lists the true elements of the block's chunk, by their place in it. Returns how many there are.
LEGATO_INLINE int list_true(const MaskedParams& p, long long row, long long chunk, uint16_t* list,
                            unsigned* sums) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  unsigned votes[kMaskItems];
  votes_of(p, row, chunk, votes);
  if (lane == 0) sums[warp] = count_of(votes);
  __syncthreads();
  unsigned before = 0, total = 0;
  for (int w = 0; w < kMaskWarps; ++w) {
    if (w < warp) before += sums[w];
    total += sums[w];
  }
#pragma unroll
  for (int j = 0; j < kMaskItems; ++j) {
    if (votes[j] >> lane & 1)
      list[before + static_cast<unsigned>(__popc(votes[j] & ((1u << lane) - 1)))] =
          static_cast<uint16_t>(warp * 32 * kMaskItems + 32 * j + lane);
    before += static_cast<unsigned>(__popc(votes[j]));
  }
  __syncthreads();
  return static_cast<int>(total);
}

struct alignas(16) Sixteen {
  uint64_t half[2];
};

template <class T, bool select>
LEGATO_INLINE void masked_move(const MaskedParams& p, uint16_t* list, unsigned* sums) {
  const long long row = blockIdx.x / p.chunks, chunk = blockIdx.x - row * p.chunks;
  const long long total = list_true(p, row, chunk, list, sums);
  const long long k0 = p.counts[blockIdx.x];  // true elements of the row before
  const T* from = static_cast<const T*>(p.from);
  T* to = static_cast<T*>(p.to);
  const uint32_t units = static_cast<uint32_t>(p.units);
  for (long long e = threadIdx.x; e < total * units; e += kMaskThreads) {
    const long long k = units == 1 ? e : e / units;
    if (k0 + k >= p.given) break;
    const long long masked =
                        (row * p.length + chunk * kMaskChunk + list[k]) * units + e - k * units,
                    given = (row * p.given + k0 + k) * units + e - k * units;
    if (select)
      to[given] = from[masked];
    else
      to[masked] = from[given];
  }
  if constexpr (select)
    if (chunk + 1 == p.chunks)
      for (long long e = p.totals[row] * p.units + threadIdx.x; e < p.given * p.units;
           e += kMaskThreads)
        to[row * p.given * p.units + e] = T{};
}

template <class T>
LEGATO_INLINE void masked_select(const MaskedParams& p, uint16_t* list, unsigned* sums) {
  masked_move<T, true>(p, list, sums);
}
template <class T>
LEGATO_INLINE void masked_scatter(const MaskedParams& p, uint16_t* list, unsigned* sums) {
  masked_move<T, false>(p, list, sums);
}

template <class T>
LEGATO_INLINE void true_places(const MaskedParams& p, uint16_t* list, unsigned* sums) {
  const long long row = blockIdx.x / p.chunks, chunk = blockIdx.x - row * p.chunks;
  const int total = list_true(p, row, chunk, list, sums);
  const long long k0 = p.counts[blockIdx.x];
  T* to = static_cast<T*>(p.to) + row * p.given;
  for (int k = static_cast<int>(threadIdx.x); k < total; k += kMaskThreads)
    if (k0 + k < p.given) to[k0 + k] = static_cast<T>(chunk * kMaskChunk + list[k]);
  if (chunk + 1 == p.chunks)
    for (long long k = p.totals[row] + threadIdx.x; k < p.given; k += kMaskThreads) to[k] = 0;
}

#define LEGATO_MASKED(name, function)               \
  LEGATO_KERNEL(name, MaskedParams, kMaskThreads) { \
    __shared__ uint16_t list[kMaskChunk];           \
    __shared__ unsigned sums[kMaskWarps];           \
    function(p, list, sums);                        \
  }
#define LEGATO_MASKED_BYTES(bytes, T)                    \
  LEGATO_MASKED(masked_select_##bytes, masked_select<T>) \
  LEGATO_MASKED(masked_scatter_##bytes, masked_scatter<T>)
LEGATO_MASKED_BYTES(1, uint8_t)
LEGATO_MASKED_BYTES(2, uint16_t)
LEGATO_MASKED_BYTES(4, uint32_t)
LEGATO_MASKED_BYTES(8, uint64_t)
LEGATO_MASKED_BYTES(16, Sixteen)
LEGATO_MASKED(true_places_4, true_places<int32_t>)
LEGATO_MASKED(true_places_8, true_places<int64_t>)

}  // namespace legato::cuda
