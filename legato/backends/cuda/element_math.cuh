// What programs compute with beside C's operators: short divisions, powers of two, and the
// approximations of which functions of halves are made. Stands behind element.cuh in front of every
// generated program; kernels that are compiled with the library do not see it.
#pragma once

#include "legato/backends/cuda/element.cuh"

namespace legato {

/// a / b, correctly rounded, where fuse/lane.h allows it: the compiler's own division looks first
/// whether a, b and the quotient are normal, and branches.
LEGATO_INLINE float divide_normal(float a, float b) {
#ifdef LEGATO_EMULATED
  return a / b;
#else
  float r;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(b));
  r = ::fmaf(::fmaf(-b, r, 1.0f), r, r);
  float q = a * r;
  q = ::fmaf(::fmaf(-b, q, a), r, q);
  return ::fmaf(::fmaf(-b, q, a), r, q);
#endif
}
/// p * 2^n, rounded once, for p near 1 and whole n in [-252, 254]; `sum` is n + 1.5 * 2^23, which
/// has n in its low bits. Two factors, so that results beyond either end of the normal range are
/// right.
LEGATO_INLINE float scale(float p, float sum) {
  const int32_t n = __builtin_bit_cast(int32_t, sum), half = n >> 1;
  return p * __builtin_bit_cast(float, (int32_t)(((uint32_t)half << 23) + 0x3f800000u)) *
         __builtin_bit_cast(float, (int32_t)(((uint32_t)(n - half) << 23) + 0x3f800000u));
}
// Approximations for functions of halves: see fuse/lane.h.
LEGATO_INLINE float exp2_near(float x) {
#ifdef LEGATO_EMULATED
  return ::exp2f(x);
#else
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}
LEGATO_INLINE float log2_near(float x) {
#ifdef LEGATO_EMULATED
  return ::log2f(x);
#else
  float y;
  asm("lg2.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}
LEGATO_INLINE float rsqrt_near(float x) {
#ifdef LEGATO_EMULATED
  return 1 / ::sqrtf(x);
#else
  float y;
  asm("rsqrt.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}
LEGATO_INLINE float reciprocal_near16(float x) {
#ifdef LEGATO_EMULATED
  return 1 / x;
#else
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}
/// One step of Newton's method makes whole quotients exact; it knows no infinities and no -0.
LEGATO_INLINE float divide_near16(float a, float b) {
#ifdef LEGATO_EMULATED
  return a / b;
#else
  const float r = reciprocal_near16(b), q = a * r, p = ::fmaf(::fmaf(-b, q, a), r, q);
  return p > 0.0f || p < 0.0f ? p : q;
#endif
}
LEGATO_INLINE float divide_near(float a, float b) {
#ifdef LEGATO_EMULATED
  return a / b;
#else
  const float size = ::fabsf(b), s = size > 0x1p125f ? 0x1p-24f : size < 0x1p-125f ? 0x1p24f : 1.0f;
  return divide_near16(a, b * s) * s;
#endif
}

}  // namespace legato
