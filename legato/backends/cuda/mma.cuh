// Tensor cores through mma.sync m16n8k16, and how their operands get there: asynchronous copies to
// shared memory and ldmatrix. For kernels that run on every GPU from sm_80 on. Emulated, the lanes
// of a warp show each other their registers.
//
// Registers of a lane, with g = lane / 4 and t = lane % 4, as the PTX manual numbers them:
//   a[0], a[1], a[2], a[3]   rows g, g + 8, g, g + 8; columns 2t and 2t + 1, from a[2] on plus 8
//   b[0], b[1]               column g; rows 2t and 2t + 1, in b[1] plus 8
//   c[0..1], c[2..3]         rows g and g + 8; columns 2t and 2t + 1
#pragma once

#include "legato/backends/cuda/lane.cuh"

namespace legato::cuda {

/// Two halves of T as one register, `low` in the lower bits.
template <class T>
LEGATO_INLINE uint32_t pack_halves(float low, float high) {
#ifndef LEGATO_EMULATED
  uint32_t r;
  if constexpr (std::is_same_v<T, f16>)
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  else
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
#else
  if constexpr (std::is_same_v<T, f16>)
    return to_f16(low).bits | static_cast<uint32_t>(to_f16(high).bits) << 16;
  else
    return to_bf16(low).bits | static_cast<uint32_t>(to_bf16(high).bits) << 16;
#endif
}

/// 2^x of the special function unit: within 2 ULP; -inf gives 0.
LEGATO_INLINE float exp2_fast(float x) {
#ifndef LEGATO_EMULATED
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return ::exp2f(x);
#endif
}

/// Copies 16 bytes to shared memory, or writes zeros unless `valid`; done after commit_copies()
/// and wait_copies().
LEGATO_INLINE void copy_16(void* to, const void* from, bool valid) {
#ifndef LEGATO_EMULATED
  const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from),
               "r"(valid ? 16 : 0)
               : "memory");
#else
  emulator::begin_copy(to, valid ? from : nullptr, 16);
#endif
}
/// Copies 4 or 8 bytes to shared memory; done after commit_copies() and wait_copies().
template <int bytes>
LEGATO_INLINE void copy_word(void* to, const void* from) {
#ifndef LEGATO_EMULATED
  const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(at), "l"(from), "n"(bytes)
               : "memory");
#else
  emulator::begin_copy(to, from, bytes);
#endif
}
LEGATO_INLINE void commit_copies() {
#ifndef LEGATO_EMULATED
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  emulator::commit_copies();
#endif
}
/// Waits until all but the last `n` committed groups of this thread have arrived.
template <int n>
LEGATO_INLINE void wait_copies() {
#ifndef LEGATO_EMULATED
  asm volatile("cp.async.wait_group %0;" ::"n"(n) : "memory");
#else
  emulator::wait_copies(n);
#endif
}

/// Four 8 x 8 matrices of halves; lane i gives the address of row i % 8 of matrix i / 8.
template <bool transposed>
LEGATO_INLINE void load_matrices(uint32_t (&r)[4], const void* row) {
#ifndef LEGATO_EMULATED
  const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  if constexpr (transposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
#else
  const void* rows[32];
  emulator::gather(&row, sizeof row, rows);
  const int lane = emulator::lane(), g = lane / 4, t = lane % 4;
  auto half = [&](int matrix, int i, int j) {
    return uint32_t{static_cast<const uint16_t*>(rows[matrix * 8 + i])[j]};
  };
  for (int m = 0; m < 4; ++m)
    r[m] = transposed ? half(m, 2 * t, g) | half(m, 2 * t + 1, g) << 16
                      : half(m, g, 2 * t) | half(m, g, 2 * t + 1) << 16;
#endif
}

/// c += a b for a (16, 16) and b (16, 8) of T, summed in float32.
template <class T>
LEGATO_INLINE void multiply_tile(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
#ifndef LEGATO_EMULATED
  if constexpr (std::is_same_v<T, f16>)
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  else
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  struct Operands {
    uint32_t a[4], b[2];
  } mine{{a[0], a[1], a[2], a[3]}, {b0, b1}}, all[32];
  emulator::gather(&mine, sizeof mine, all);
  auto number = [](uint32_t pair, int i) {
    return to_float(T{static_cast<uint16_t>(pair >> (16 * i))});
  };
  const int lane = emulator::lane(), g = lane / 4, t = lane % 4;
  for (int e = 0; e < 4; ++e) {
    const int column = 2 * t + e % 2, lower = e / 2;
    for (int k = 0; k < 16; ++k) {
      const int owner = k % 8 / 2, high = k / 8;
      c[e] += number(all[4 * g + owner].a[2 * high + lower], k % 2) *
              number(all[4 * column + owner].b[high], k % 2);
    }
  }
#endif
}

}  // namespace legato::cuda
