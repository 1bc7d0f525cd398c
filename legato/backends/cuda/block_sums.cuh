// Sums over the threads of a block, for kernels.
#pragma once

#include "legato/backends/cuda/lane.cuh"

namespace legato::cuda {

/// What the threads before this one add up to. `shared`: a value for each warp. By all
/// threads of the block.
template <int threads>
LEGATO_INLINE unsigned sum_before(unsigned v, unsigned* shared) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  unsigned sum = v;
#pragma unroll
  for (int by = 1; by < 32; by *= 2) {
    const unsigned other = __shfl_up_sync(~0u, sum, by);
    if (lane >= by) sum += other;
  }
  __syncthreads();  // what was in `shared` has been read
  if (lane == 31) shared[warp] = sum;
  __syncthreads();
  unsigned before = sum - v;
#pragma unroll
  for (int w = 0; w < threads / 32; ++w)
    if (w < warp) before += shared[w];
  return before;
}

}  // namespace legato::cuda
