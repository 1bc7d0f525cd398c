// What CUDA's compiler brings to device code, for kernels that a host compiler compiles: the
// built-in variables, barriers, shuffles and atomics. Threads of a block are fibers of one host
// thread (launch.cpp), so that barriers and shuffles mean what they mean on a GPU.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};
extern thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;

#define __device__
#define __host__
#define __global__
#define __forceinline__ inline
#define __shared__ static
#define __restrict__ __restrict

using std::fma;
using std::isfinite;
using std::isinf;
using std::isnan;

namespace legato::emulator {
void block_barrier();
/// Exchanges 16 bytes within the warp: every live lane gives one, and gets that of `lane`.
void exchange(const void* mine, void* theirs, int bytes, int lane);
/// Every lane of the warp gives up to 32 bytes, and gets those of all lanes, one behind the other.
void gather(const void* mine, int bytes, void* all);
/// Which live lanes of the warp give true.
unsigned ballot(bool mine);
int lane();
/// The block's memory whose size is given at the launch; nvrtc.cpp puts it in the place of arrays
/// that are declared `extern __shared__`.
void* dynamic_shared();
/// An asynchronous copy of this thread (from null: zeros). Until it has been committed and waited
/// for, its place holds what nobody put there.
void begin_copy(void* to, const void* from, int bytes);
void commit_copies();
/// Waits for all groups of this thread's copies but the last `n` that were committed.
void wait_copies(int n);
}  // namespace legato::emulator

inline void __syncthreads() { legato::emulator::block_barrier(); }
inline void __syncwarp(unsigned = ~0u) {
  int mine = 0, theirs = 0;
  legato::emulator::exchange(&mine, &theirs, sizeof mine, legato::emulator::lane());
}
inline void __threadfence() {}
template <class T>
T __shfl_sync(unsigned, T v, int from, int width = 32) {
  static_assert(sizeof(T) <= 16);
  const int lane = legato::emulator::lane();
  T theirs;
  legato::emulator::exchange(&v, &theirs, sizeof v, lane / width * width + from % width);
  return theirs;
}
template <class T>
T __shfl_xor_sync(unsigned m, T v, int mask) {
  return __shfl_sync(m, v, legato::emulator::lane() ^ mask);
}
template <class T>
T __shfl_down_sync(unsigned m, T v, int by, int width = 32) {
  const int lane = legato::emulator::lane();
  return __shfl_sync(m, v, lane % width + by < width ? lane + by : lane);
}
template <class T>
T __shfl_up_sync(unsigned m, T v, int by, int width = 32) {
  const int lane = legato::emulator::lane();
  return __shfl_sync(m, v, lane % width - by >= 0 ? lane - by : lane);
}
inline unsigned __ballot_sync(unsigned, int predicate) {
  return legato::emulator::ballot(predicate != 0);
}
inline int __popc(unsigned v) { return __builtin_popcount(v); }
inline int __clz(int v) { return v ? __builtin_clz(static_cast<unsigned>(v)) : 32; }
inline uint32_t __umulhi(uint32_t a, uint32_t b) {
  return static_cast<uint32_t>((static_cast<uint64_t>(a) * b) >> 32);
}

template <class T>
T atomicAdd(T* p, T v) {
  T old = *p;
  *p = static_cast<T>(old + v);
  return old;
}
inline unsigned atomicInc(unsigned* p, unsigned last) {
  const unsigned old = *p;
  *p = old >= last ? 0 : old + 1;
  return old;
}
template <class T>
T atomicMax(T* p, T v) {
  T old = *p;
  if (v > old) *p = v;
  return old;
}
template <class T>
T atomicMin(T* p, T v) {
  T old = *p;
  if (v < old) *p = v;
  return old;
}
template <class T>
T atomicCAS(T* p, T expected, T v) {
  T old = *p;
  if (old == expected) *p = v;
  return old;
}
template <class T>
T atomicExch(T* p, T v) {
  T old = *p;
  *p = v;
  return old;
}
