// Kernels that work row by row: a group of 1, 32 or 256 threads takes a row, and sums over it in a
// fixed order.
#pragma once

#include "legato/backends/cuda/lane.cuh"

namespace legato::cuda {

inline constexpr int kRowThreads = 256;

template <class T>
struct ComputeOf {
  using type = T;
};
template <>
struct ComputeOf<f16> {
  using type = float;
};
template <>
struct ComputeOf<bf16> {
  using type = float;
};
/// The type in which values stored as T are computed.
template <class T>
using Compute = typename ComputeOf<T>::type;

template <class T>
LEGATO_INLINE Compute<T> read(T v) {
  if constexpr (std::is_same_v<T, f16> || std::is_same_v<T, bf16>)
    return to_float(v);
  else
    return v;
}
template <class T>
LEGATO_INLINE T written(Compute<T> v) {
  if constexpr (std::is_same_v<T, f16>)
    return to_f16(v);
  else if constexpr (std::is_same_v<T, bf16>)
    return to_bf16(v);
  else
    return v;
}

LEGATO_INLINE float exp_of(float x) { return ::expf(x); }
LEGATO_INLINE double exp_of(double x) { return ::exp(x); }
LEGATO_INLINE float log_of(float x) { return ::logf(x); }
LEGATO_INLINE double log_of(double x) { return ::log(x); }
LEGATO_INLINE float root_of(float x) { return ::sqrtf(x); }
LEGATO_INLINE double root_of(double x) { return ::sqrt(x); }

/// What the threads of a group add up to, given to all of them. `shared`: kRowThreads / 32 values.
/// Every thread of the block must take part.
template <class V, class F>
LEGATO_INLINE V over_group(V v, int group, V* shared, F combine) {
  if (group == 1) return v;
  for (int by = 16; by > 0; by /= 2) v = combine(v, __shfl_xor_sync(~0u, v, by));
  if (group == 32) return v;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  __syncthreads();  // what was there before has been read
  if (threadIdx.x % 32 == 0) shared[warp] = v;
  __syncthreads();
  v = shared[0];
  for (int w = 1; w < kRowThreads / 32; ++w) v = combine(v, shared[w]);
  return v;
}
struct Plus {
  template <class V>
  LEGATO_INLINE V operator()(V a, V b) const {
    return a + b;
  }
};

}  // namespace legato::cuda
