// What every piece of device code begins with: how a kernel is declared, integers, and elements as
// they are stored in memory. This text stands in front of every generated program, so it is short
// and includes nothing: NVRTC reads it in a millisecond. LEGATO_EMULATED: compiled by a host
// compiler, for tests without a GPU.
#pragma once

#ifdef LEGATO_EMULATED
#define LEGATO_INLINE inline __attribute__((always_inline))
#define LEGATO_DEVICE static inline
#define LEGATO_APART static __attribute__((noinline))
#define LEGATO_NOINLINE static __attribute__((noinline))
#define LEGATO_KERNEL(name, Params, threads)                                                      \
  static void name##_body(const Params& p);                                                       \
  extern "C" __attribute__((visibility("default"))) const unsigned long legato_size_##name =      \
      sizeof(Params);                                                                             \
  extern "C" __attribute__((visibility("default"))) void legato_kernel_##name(void** arguments) { \
    name##_body(*static_cast<const Params*>(arguments[0]));                                       \
  }                                                                                               \
  static void name##_body(const Params& p)
// Shared memory whose size is given at the launch.
#define LEGATO_DYNAMIC_SHARED(name) alignas(1024) static char name[232448]
// What lies at an aligned address, as a struct X that is moved as one machine word of that size.
#define LEGATO_LOAD(X, word, from) (*reinterpret_cast<const X*>(from))
#define LEGATO_STORE(X, word, to, value) (*reinterpret_cast<X*>(to) = (value))
#else
#define LEGATO_INLINE __device__ __forceinline__
#define LEGATO_DEVICE static __device__ inline
#define LEGATO_APART static __device__ __noinline__
#define LEGATO_NOINLINE static __device__ __noinline__
// A kernel has one parameter, a struct called p, and is launched with at most `threads` threads.
#define LEGATO_KERNEL(name, Params, threads) \
  extern "C" __global__ void __launch_bounds__(threads) name(const __grid_constant__ Params p)
#define LEGATO_DYNAMIC_SHARED(name) extern __shared__ __align__(1024) char name[]
#define LEGATO_LOAD(X, word, from) __builtin_bit_cast(X, *reinterpret_cast<const word*>(from))
#define LEGATO_STORE(X, word, to, value) \
  (*reinterpret_cast<word*>(to) = __builtin_bit_cast(word, value))
#ifdef __CUDACC_RTC__
using int8_t = signed char;
using int16_t = short;
using int32_t = int;
using int64_t = long;
using uint8_t = unsigned char;
using uint16_t = unsigned short;
using uint32_t = unsigned int;
using uint64_t = unsigned long;
#define INT32_MIN (-2147483647 - 1)
#define INT64_MIN (-9223372036854775807L - 1)
#else
#include <cstdint>
#include <type_traits>
#endif
#endif

namespace legato {

// As stored in memory.

struct f16 {
  uint16_t bits;
};
struct bf16 {
  uint16_t bits;
};

LEGATO_INLINE float to_float(f16 h) {
#ifdef LEGATO_EMULATED
  return static_cast<float>(__builtin_bit_cast(_Float16, h.bits));
#else
  float f;
  asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h.bits));
  return f;
#endif
}
/// The upper half of a word. In PTX that is one instruction where h is either half of a register; a
/// shift of what was taken out of the register's upper half is two.
LEGATO_INLINE float to_float(bf16 h) {
#ifdef LEGATO_EMULATED
  return __builtin_bit_cast(float, static_cast<uint32_t>(h.bits) << 16);
#else
  float f;
  asm("{ .reg .b16 zero; mov.b16 zero, 0; mov.b32 %0, {zero, %1}; }" : "=f"(f) : "h"(h.bits));
  return f;
#endif
}
LEGATO_INLINE f16 to_f16(float f) {
#ifdef LEGATO_EMULATED
  return {__builtin_bit_cast(uint16_t, static_cast<_Float16>(f))};
#else
  f16 h;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h.bits) : "f"(f));
  return h;
#endif
}
/// The smaller, the larger; nan if x is.
LEGATO_INLINE float at_most(float x, float limit) {
#ifdef LEGATO_EMULATED
  return limit < x ? limit : x;
#else
  float y;
  asm("min.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(x), "f"(limit));
  return y;
#endif
}
LEGATO_INLINE float at_least(float x, float limit) {
#ifdef LEGATO_EMULATED
  return x < limit ? limit : x;
#else
  float y;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(x), "f"(limit));
  return y;
#endif
}
LEGATO_INLINE bf16 to_bf16(float f) {
#ifdef LEGATO_EMULATED
  const uint32_t u = __builtin_bit_cast(uint32_t, f);
  return {(u & 0x7fffffffu) > 0x7f800000u
              ? static_cast<uint16_t>((u >> 16) | 0x40u)
              : static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16)};
#else
  bf16 h;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(h.bits) : "f"(f));
  return h;
#endif
}

/// Two values rounded to halves, the first one in the low half of the word.
LEGATO_INLINE uint32_t two_halves(f16, float low, float high) {
#ifdef LEGATO_EMULATED
  return to_f16(low).bits | static_cast<uint32_t>(to_f16(high).bits) << 16;
#else
  uint32_t w;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(w) : "f"(high), "f"(low));
  return w;
#endif
}
LEGATO_INLINE uint32_t two_halves(bf16, float low, float high) {
#ifdef LEGATO_EMULATED
  return to_bf16(low).bits | static_cast<uint32_t>(to_bf16(high).bits) << 16;
#else
  uint32_t w;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(w) : "f"(high), "f"(low));
  return w;
#endif
}

}  // namespace legato
