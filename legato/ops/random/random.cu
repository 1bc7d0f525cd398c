// The words of ops/random/threefry.h: the same bits as on the CPU. A thread does one counter, which
// gives two words.
#include "legato/backends/cuda/lane.cuh"
#include "legato/ops/random/random.cuh"

namespace legato::cuda {

LEGATO_INLINE void threefry(uint32_t k0, uint32_t k1, uint32_t& x0, uint32_t& x1) {
  const uint32_t keys[3] = {k0, k1, k0 ^ k1 ^ 0x1BD11BDAu};
  constexpr int rotations[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
  x0 += keys[0];
  x1 += keys[1];
#pragma unroll
  for (int group = 0; group < 5; ++group) {
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const int n = rotations[group % 2][r];
      x0 += x1;
      x1 = (x1 << n) | (x1 >> (32 - n));
      x1 ^= x0;
    }
    x0 += keys[(group + 1) % 3];
    x1 += keys[(group + 2) % 3] + static_cast<uint32_t>(group + 1);
  }
}

/// Word i of a key's stream; its last one may stand for fewer than four bytes.
LEGATO_INLINE void put(const RandomParams& p, long long key, long long i, uint32_t word) {
  unsigned char* to = static_cast<unsigned char*>(p.to) + key * p.bytes;
  if (p.bytes % 4 == 0) {
    reinterpret_cast<uint32_t*>(to)[i] = word;
    return;
  }
  for (int b = 0; b < 4 && 4 * i + b < p.bytes; ++b)
    to[4 * i + b] = static_cast<unsigned char>(word >> (8 * b));
}

LEGATO_KERNEL(random_bits, RandomParams, 256) {
  const long long half = p.words / 2, odd = p.words % 2, counters = half + odd;
  const long long n = p.n_keys * counters, step = static_cast<long long>(gridDim.x) * blockDim.x;
  for (long long e = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; e < n;
       e += step) {
    const long long key = e / counters, i = e - key * counters;
    const uint32_t k0 = p.keys ? p.keys[2 * key] : p.key0,
                   k1 = p.keys ? p.keys[2 * key + 1] : p.key1;
    uint32_t x0 = static_cast<uint32_t>(i),
             x1 = i < half ? static_cast<uint32_t>(i + counters) : 0u;
    threefry(k0, k1, x0, x1);
    put(p, key, i, x0);
    if (i < half) put(p, key, i + counters, x1);
  }
}

}  // namespace legato::cuda
