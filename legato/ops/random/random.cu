// The words of ops/random/threefry.h: the same bits as on the CPU, and numbers made of them.
//
// What limits it is integer arithmetic: 20 rounds of an addition, a rotation and an exclusive or
// give two words. Additions are written as multiply-adds with a factor of 1 that the compiler does
// not know, which another unit of the multiprocessor carries out at the same time (lab/gpu_random).
#include "legato/backends/cuda/rows.cuh"
#include "legato/ops/random/random.cuh"

namespace legato::cuda {

/// a + b, by the unit that multiplies.
LEGATO_INLINE uint32_t plus(uint32_t a, uint32_t b, uint32_t one) {
#ifdef LEGATO_EMULATED
  return a * one + b;
#else
  uint32_t c;
  asm("mad.lo.u32 %0, %1, %2, %3;" : "=r"(c) : "r"(a), "r"(one), "r"(b));
  return c;
#endif
}

LEGATO_INLINE void threefry(uint32_t k0, uint32_t k1, uint32_t one, uint32_t& x0, uint32_t& x1) {
  const uint32_t keys[3] = {k0, k1, k0 ^ k1 ^ 0x1BD11BDAu};
  constexpr int rotations[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
  x0 = plus(x0, keys[0], one);
  x1 = plus(x1, keys[1], one);
#pragma unroll
  for (int group = 0; group < 5; ++group) {
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      const int n = rotations[group % 2][r];
      x0 = plus(x1, x0, one);
      x1 = ((x1 << n) | (x1 >> (32 - n))) ^ x0;
    }
    x0 = plus(x0, keys[(group + 1) % 3], one);
    x1 = plus(x1, keys[(group + 2) % 3] + static_cast<uint32_t>(group + 1), one);
  }
}

// --- what becomes of a word

struct Bits {
  using T = uint32_t;
  static LEGATO_INLINE T of(const RandomParams&, uint32_t word) { return word; }
};
template <class E>
struct Uniform {
  using T = E;
  static LEGATO_INLINE T of(const RandomParams& p, uint32_t word) {
    const float u = static_cast<float>(word) * 0x1p-32f;
    return written<T>(::fminf(u, p.below));
  }
};

LEGATO_INLINE float log2_near(float x) {
#ifdef LEGATO_EMULATED
  return ::log2f(x);
#else
  float y;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}
LEGATO_INLINE float root_near(float x) {
#ifdef LEGATO_EMULATED
  return ::sqrtf(x);
#else
  float y;
  asm("sqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}
template <class... C>
LEGATO_INLINE float poly(float x, float first, C... rest) {
  float p = first;
  ((p = ::fmaf(p, x, rest)), ...);
  return p;
}
// sqrt(2) erfinv(x) as x P(log2(1 - x x)), with another P behind |x| = 0.9967
// (lab/gpu_random/fit.py). Within 4 ULP, with the hardware's logarithm.
template <class E>
struct Normal {
  using T = E;
  static LEGATO_INLINE T of(const RandomParams&, uint32_t word) {
    const float w = ::fminf(static_cast<float>(word), 0x1.fffffep31f);
    const float x = ::fmaf(w, 0x1p-31f, -1 + 0x1p-24f);  // in (-1, 1)
    const float l = log2_near(::fmaf(-x, x, 1.f));
    float p =
        poly(l, 4.5573556e-10f, 1.65513558e-08f, 2.13554685e-07f, 6.15844669e-07f, -1.01189298e-05f,
             -4.16956755e-05f, 0.00109927834f, 0.00784682203f, -0.227433443f, 1.25331414f);
    if (l < -7.25f) {  // as on the CPU
      const float a = ::fabsf(x);
      const float s = root_near(log2_near((1 - a) * (1 + a)) * -0.693147182f) - 3;
      p = poly(s, 9.36745928e-05f, -0.000281783665f, -3.04070782e-05f, 0.00144997588f,
               -0.00360837346f, 0.00570090488f, -0.00763536105f, 0.00944353268f, 1.00167489f,
               2.83297682f) *
          1.41421356f;
    }
    return written<T>(x * p);
  }
};

/// One stream whose halves begin and end with packs: no more work than the numbers themselves,
/// since that is what limits it.
template <class F>
LEGATO_INLINE void fill_packs(const RandomParams& p, uint32_t k0, uint32_t k1) {
  using T = typename F::T;
  constexpr int each = kRandomEach;
  const uint32_t half = static_cast<uint32_t>(p.words / 2), step = gridDim.x * blockDim.x * each;
  T *low = static_cast<T*>(p.to), *high = low + half;
#pragma unroll 1
  for (uint32_t i = (blockIdx.x * blockDim.x + threadIdx.x) * each; i < half; i += step) {
    Pack<T, each> a, b;
#pragma unroll
    for (int j = 0; j < each; ++j) {
      uint32_t x0 = i + j, x1 = i + j + half;
      threefry(k0, k1, p.one, x0, x1);
      a.at[j] = F::of(p, x0);
      b.at[j] = F::of(p, x1);
    }
    store_pack<T, each>(low + i, a);
    store_pack<T, each>(high + i, b);
  }
}

/// One stream.
template <class F>
LEGATO_INLINE void fill_stream(const RandomParams& p) {
  using T = typename F::T;
  constexpr int each = kRandomEach;
  const uint32_t k0 = p.keys ? p.keys[0] : p.key0, k1 = p.keys ? p.keys[1] : p.key1;
  T* to = static_cast<T*>(p.to);
  if (p.words % (2 * each) == 0 && p.words < 1ll << 32 &&
      reinterpret_cast<uintptr_t>(to) % sizeof(Pack<T, each>) == 0)
    return fill_packs<F>(p, k0, k1);
  const long long half = p.words / 2, counters = half + p.words % 2;
  const long long step = static_cast<long long>(gridDim.x) * blockDim.x;
  for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < counters;
       i += step) {
    uint32_t x0 = static_cast<uint32_t>(i),
             x1 = i < half ? static_cast<uint32_t>(i + counters) : 0u;
    threefry(k0, k1, p.one, x0, x1);
    to[i] = F::of(p, x0);
    if (i < half) to[counters + i] = F::of(p, x1);
  }
}

/// Word i of a key's stream; of bits, the last one may stand for fewer than four bytes.
template <class F>
LEGATO_INLINE void put(const RandomParams& p, long long key, long long i, uint32_t word) {
  unsigned char* to = static_cast<unsigned char*>(p.to) + key * p.bytes;
  if constexpr (std::is_same_v<F, Bits>)
    if (p.bytes % 4 != 0) {
      for (int b = 0; b < 4 && 4 * i + b < p.bytes; ++b)
        to[4 * i + b] = static_cast<unsigned char>(word >> (8 * b));
      return;
    }
  reinterpret_cast<typename F::T*>(to)[i] = F::of(p, word);
}

template <class F>
LEGATO_INLINE void fill(const RandomParams& p) {
  if (p.n_keys == 1 && (!std::is_same_v<F, Bits> || p.bytes % 4 == 0)) return fill_stream<F>(p);
  const long long half = p.words / 2, counters = half + p.words % 2;
  const long long n = p.n_keys * counters, step = static_cast<long long>(gridDim.x) * blockDim.x;
  for (long long e = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; e < n;
       e += step) {
    const long long key = e / counters, i = e - key * counters;
    const uint32_t k0 = p.keys ? p.keys[2 * key] : p.key0,
                   k1 = p.keys ? p.keys[2 * key + 1] : p.key1;
    uint32_t x0 = static_cast<uint32_t>(i),
             x1 = i < half ? static_cast<uint32_t>(i + counters) : 0u;
    threefry(k0, k1, p.one, x0, x1);
    put<F>(p, key, i, x0);
    if (i < half) put<F>(p, key, i + counters, x1);
  }
}

LEGATO_KERNEL(random_bits, RandomParams, 256) { fill<Bits>(p); }
LEGATO_KERNEL(uniform_f32, RandomParams, 256) { fill<Uniform<float>>(p); }
LEGATO_KERNEL(uniform_f16, RandomParams, 256) { fill<Uniform<f16>>(p); }
LEGATO_KERNEL(uniform_bf16, RandomParams, 256) { fill<Uniform<bf16>>(p); }
LEGATO_KERNEL(normal_f32, RandomParams, 256) { fill<Normal<float>>(p); }
LEGATO_KERNEL(normal_f16, RandomParams, 256) { fill<Normal<f16>>(p); }
LEGATO_KERNEL(normal_bf16, RandomParams, 256) { fill<Normal<bf16>>(p); }

}  // namespace legato::cuda
