// Device code that sorts of one tile and of several share: keys, and where the elements of a tile
// belong once it is sorted by a digit.
#pragma once

#include "legato/backends/cuda/block_sums.cuh"
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

template <class K>
LEGATO_INLINE unsigned digit_of(K key, int shift) {
  return static_cast<unsigned>(key >> shift) & (kDigits - 1);
}

/// The lanes whose `digit` has the bit that this one's has.
template <unsigned bit>
LEGATO_INLINE unsigned agreeing(unsigned digit) {
#ifdef LEGATO_EMULATED
  const unsigned votes = __ballot_sync(~0u, digit & bit);
  return digit & bit ? votes : ~votes;
#else  // half the instructions of the same in C++
  unsigned votes;
  asm volatile(
      "{\n"
      "  .reg .pred one;\n"
      "  .reg .b32 masked;\n"
      "  and.b32 masked, %1, %2;\n"
      "  setp.ne.u32 one, masked, 0;\n"
      "  vote.sync.ballot.b32 %0, one, 0xffffffff;\n"
      "  @!one not.b32 %0, %0;\n"
      "}"
      : "=r"(votes)
      : "r"(digit), "n"(bit));
  return votes;
#endif
}
LEGATO_INLINE unsigned lanes_with(unsigned digit) {
  return agreeing<1>(digit) & agreeing<2>(digit) & agreeing<4>(digit) & agreeing<8>(digit) &
         agreeing<16>(digit) & agreeing<32>(digit) & agreeing<64>(digit) & agreeing<128>(digit);
}

/// Where each of a thread's elements belongs in the tile sorted by the digit at `shift`; elements
/// of a warp are consecutive, `32 * used` of them, element j of a lane is its (32 j + lane)-th.
/// Behind the end of a row there are keys of ones only, which stay there. Returns how many elements
/// have digit threadIdx.x. Every thread of the block must take part.
template <int threads, class K, int items>
LEGATO_INLINE unsigned rank_tile(const K (&key)[items], unsigned (&place)[items], int used,
                                 int shift, RankMemory<threads>& m) {
  constexpr int warps = threads / 32, each = threads < kDigits ? kDigits / threads : 1;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  for (int i = thread; i < warps * kDigits; i += threads) m.counts[i / kDigits][i % kDigits] = 0;
  __syncthreads();
  unsigned* counts = m.counts[warp];
#pragma unroll
  for (int j = 0; j < items; ++j) {
    if (j >= used) break;
    const unsigned digit = digit_of(key[j], shift);
    const unsigned same = lanes_with(digit);
    const unsigned before = counts[digit], lower = same & ((1u << lane) - 1);
    place[j] = before + static_cast<unsigned>(__popc(lower));
    __syncwarp();
    if (lower == 0) counts[digit] = before + static_cast<unsigned>(__popc(same));
    __syncwarp();
  }
  __syncthreads();
  unsigned here[each], all = 0;
#pragma unroll
  for (int k = 0; k < each; ++k) {
    here[k] = all;
    if (thread * each + k < kDigits) {
      unsigned sum = 0;
#pragma unroll
      for (int w = 0; w < warps; ++w) {
        const unsigned v = m.counts[w][thread * each + k];
        m.counts[w][thread * each + k] = sum;
        sum += v;
      }
      all += sum;
    }
  }
  const unsigned start = sum_before<threads>(all, m.sums);
#pragma unroll
  for (int k = 0; k < each; ++k)
    if (thread * each + k < kDigits) m.starts[thread * each + k] = start + here[k];
  __syncthreads();
#pragma unroll
  for (int j = 0; j < items; ++j) {
    if (j >= used) break;
    const unsigned digit = digit_of(key[j], shift);
    place[j] += m.starts[digit] + counts[digit];
  }
  return all;
}

}  // namespace legato::cuda
