// What exact sums of single updates take floats apart into: for kernels.
#pragma once

#include "legato/backends/cuda/rows.cuh"
#include "legato/ops/index/places.cuh"

namespace legato::cuda {

/// A finite float as mantissa * 2^(shift - 149), without its sign.
struct Cut {
  unsigned mantissa;
  int shift;
};
LEGATO_INLINE Cut cut(unsigned magnitude) {
  const unsigned e = magnitude >> 23;
  return e ? Cut{(magnitude & 0x7fffffu) | 0x800000u, static_cast<int>(e) - 1} : Cut{magnitude, 0};
}
inline constexpr unsigned kInfinity = 0x7f800000u;

/// The largest magnitude that a thread has met, and 512 less its lowest bit. Bits are numbered from
/// that of the smallest float.
struct Reach {
  unsigned top = 0, low = 0;
  LEGATO_INLINE void take(unsigned magnitude) {
    if (magnitude >= kInfinity || magnitude == 0) return;
    const Cut c = cut(magnitude);
    const unsigned lowest =
        512u - static_cast<unsigned>(c.shift + __popc((c.mantissa & (0u - c.mantissa)) - 1));
    top = magnitude > top ? magnitude : top;
    low = lowest > low ? lowest : low;
  }
  /// Gives what a block of `warps` warps has met to range[0..1]; by all of its threads.
  template <int warps>
  LEGATO_INLINE void give(unsigned* range, unsigned (*shared)[warps]) {
    for (int by = 16; by > 0; by /= 2) {
      const unsigned other_top = __shfl_xor_sync(~0u, top, by),
                     other_low = __shfl_xor_sync(~0u, low, by);
      top = other_top > top ? other_top : top;
      low = other_low > low ? other_low : low;
    }
    if (threadIdx.x % 32 == 0) {
      shared[0][threadIdx.x / 32] = top;
      shared[1][threadIdx.x / 32] = low;
    }
    __syncthreads();
    if (threadIdx.x > 1) return;
    unsigned most = 0;
    for (int w = 0; w < warps; ++w)
      most = shared[threadIdx.x][w] > most ? shared[threadIdx.x][w] : most;
    atomicMax(&range[threadIdx.x], most);
  }
};

/// What is no finite number goes to the target. Elements of less than a word change the word around
/// them.
template <class T>
LEGATO_APART void add_directly(T* to, float x) {
  const auto address = reinterpret_cast<uintptr_t>(to);
  unsigned* word = reinterpret_cast<unsigned*>(address & ~uintptr_t{3});
  const int shift = static_cast<int>(address & 3) * 8;
  constexpr unsigned mask = sizeof(T) == 4 ? ~0u : (1u << (8 * sizeof(T) % 32)) - 1;
  unsigned old = *reinterpret_cast<volatile unsigned*>(word);
  for (;;) {
    T before;
    const unsigned part = old >> shift & mask;
    memcpy(&before, &part, sizeof before);
    const T after = written<T>(read(before) + x);
    unsigned bits = 0;
    memcpy(&bits, &after, sizeof after);
    const unsigned seen = atomicCAS(word, old, (old & ~(mask << shift)) | bits << shift);
    if (seen == old) return;
    old = seen;
  }
}

// By itself, so that it does not stand between reads.
LEGATO_APART void report_wrong(const PlacesParams& p, long long v) {
  report_value(p.report, p.term_axis[0], v, p.term_size[0]);
}

LEGATO_INLINE double power_of_two(int e) {
  return __builtin_bit_cast(double, static_cast<unsigned long long>(e + 1023) << 52);
}

}  // namespace legato::cuda
