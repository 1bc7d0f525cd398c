// Selection and assignment by masks, and the places of true elements, in one pass: a block counts
// the true elements of its chunk, finds how many lie before it, and lists its own in order, so that
// both sides of a move go by neighbours.
//
// Note [Reports of chunks]: a chunk reports how many true elements it has and, once that is known,
// how many the chunks of its row up to it have; the upper two bits of a word say which. Those that
// come later add up what they find, back to the first report of the second kind (decoupled
// look-back, as in ops/sort/radix.cu).
#include "legato/backends/cuda/lane.cuh"
#include "legato/backends/cuda/report.cuh"
#include "legato/ops/index/masked.cuh"

namespace legato::cuda {

/// Which of this thread's kMaskItems neighbours are true.
LEGATO_INLINE unsigned true_bits(const MaskedParams& p, long long row, long long chunk) {
  const long long first = chunk * kMaskChunk + static_cast<int>(threadIdx.x) * kMaskItems;
  const unsigned char* mask = p.mask + row * p.length + first;
  unsigned bits = 0;
  if (p.packs && first + kMaskItems <= p.length) {
    const Pack<unsigned char, kMaskItems> v = load_pack<unsigned char, kMaskItems>(mask);
#pragma unroll
    for (int k = 0; k < kMaskItems; ++k) bits |= static_cast<unsigned>(v.at[k] != 0) << k;
  } else {
    for (int k = 0; k < kMaskItems && first + k < p.length; ++k)
      bits |= static_cast<unsigned>(mask[k] != 0) << k;
  }
  return bits;
}

struct MaskMemory {
  uint16_t list[kMaskChunk];
  unsigned sums[kMaskWarps];
  unsigned ticket;
  long long before;
};
/// What a block works on.
struct Chunk {
  long long row, number;  // of the row
  long long before;       // true elements of the row before it
  int count;              // its own, which m.list names
};

/// How many true elements the chunks before this one have, `count` of which are its own; to lane 0.
/// By one warp.
LEGATO_INLINE long long look_back(unsigned long long* reports, long long chunk, unsigned count) {
  constexpr unsigned long long own = 1ull << 62, all = 2ull << 62, value = own - 1;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  volatile unsigned long long* at = reports;
  if (lane == 0) at[chunk] = (chunk == 0 ? all : own) | count;
  unsigned long long before = 0;
  for (long long t = chunk - 1; t >= 0; t -= 32) {
    unsigned long long report = all;  // in front of the first chunk
    unsigned there;
    do {
      if (t >= lane) report = at[t - lane];
      there = __ballot_sync(~0u, report != 0);
    } while (there != ~0u);
    const unsigned whole = __ballot_sync(~0u, (report & all) != 0);
    const int last = whole ? __popc((whole & (0u - whole)) - 1) : 31;  // the nearest one
    unsigned long long sum = lane <= last ? report & value : 0;
    for (int by = 16; by > 0; by /= 2) sum += __shfl_xor_sync(~0u, sum, by);
    before += sum;
    if (whole) break;
  }
  if (lane == 0 && chunk > 0) at[chunk] = all | (before + count);
  return static_cast<long long>(before);
}

/// Takes a chunk and lists its true elements, by their place in it.
LEGATO_INLINE Chunk list_true(const MaskedParams& p, MaskMemory& m) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  if (thread == 0) m.ticket = atomicAdd(p.ticket, 1u);
  __syncthreads();
  const long long number = m.ticket;
  Chunk c;
  c.row = number / p.chunks;
  c.number = number - c.row * p.chunks;
  const unsigned bits = true_bits(p, c.row, c.number), own = static_cast<unsigned>(__popc(bits));
  unsigned upto = own;
  for (int by = 1; by < 32; by *= 2) {
    const unsigned other = __shfl_up_sync(~0u, upto, by);
    if (lane >= by) upto += other;
  }
  if (lane == 31) m.sums[warp] = upto;
  __syncthreads();
  unsigned at = upto - own, total = 0;
  for (int w = 0; w < kMaskWarps; ++w) {
    if (w < warp) at += m.sums[w];
    total += m.sums[w];
  }
#pragma unroll
  for (int k = 0; k < kMaskItems; ++k)
    if (bits >> k & 1) m.list[at++] = static_cast<uint16_t>(thread * kMaskItems + k);
  c.count = static_cast<int>(total);
  if (warp == 0) {
    const long long before = look_back(p.reports + c.row * p.chunks, c.number, total);
    if (lane == 0) {
      m.before = before;
      if (p.report && c.number + 1 == p.chunks && before + total > p.given)
        report_value(p.report, 0, before + total, p.given);
    }
  }
  __syncthreads();
  c.before = m.before;
  return c;
}

struct alignas(16) Sixteen {
  uint64_t half[2];
};

template <class T, bool select>
LEGATO_INLINE void masked_move(const MaskedParams& p, MaskMemory& m) {
  const Chunk c = list_true(p, m);
  const T* from = static_cast<const T*>(p.from);
  T* to = static_cast<T*>(p.to);
  const uint32_t units = static_cast<uint32_t>(p.units);
  const long long masked = (c.row * p.length + c.number * kMaskChunk) * units,
                  given = (c.row * p.given + c.before) * units;
  // Those for which there is a given row.
  const long long rows = p.given - c.before < c.count ? p.given - c.before : c.count;
  for (long long e = threadIdx.x; e < rows * units; e += kMaskThreads) {
    const long long k = units == 1 ? e : e / units;
    const long long at = masked + m.list[k] * static_cast<long long>(units) + e - k * units;
    if (select)
      to[given + e] = from[at];
    else
      to[at] = from[given + e];
  }
  if constexpr (select)
    if (c.number + 1 == p.chunks)
      for (long long e = (c.before + c.count) * units + threadIdx.x; e < p.given * units;
           e += kMaskThreads)
        to[c.row * p.given * units + e] = T{};
}

template <class T>
LEGATO_INLINE void masked_select(const MaskedParams& p, MaskMemory& m) {
  masked_move<T, true>(p, m);
}
template <class T>
LEGATO_INLINE void masked_scatter(const MaskedParams& p, MaskMemory& m) {
  masked_move<T, false>(p, m);
}

template <class T>
LEGATO_INLINE void true_places(const MaskedParams& p, MaskMemory& m) {
  const Chunk c = list_true(p, m);
  T* to = static_cast<T*>(p.to) + c.row * p.given;
  for (int k = static_cast<int>(threadIdx.x); k < c.count; k += kMaskThreads)
    if (c.before + k < p.given)
      to[c.before + k] = static_cast<T>(c.number * kMaskChunk + m.list[k]);
  if (c.number + 1 == p.chunks)
    for (long long k = c.before + c.count + threadIdx.x; k < p.given; k += kMaskThreads) to[k] = 0;
}

/// Only counts: whether enough rows are given.
LEGATO_KERNEL(masked_count, MaskedParams, kMaskThreads) {
  __shared__ MaskMemory memory;
  list_true(p, memory);
}

#define LEGATO_MASKED(name, function)               \
  LEGATO_KERNEL(name, MaskedParams, kMaskThreads) { \
    __shared__ MaskMemory memory;                   \
    function(p, memory);                            \
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
