// A variant of group norm that reads x once: the blocks of a cluster share the groups of a sample,
// keep their positions in registers, and exchange moments.
#pragma once

#include "legato/ops/norm/group_norm.cu"

namespace legato::cuda {

// Blocks in the order (sample, tile, chunk); a cluster has the chunks of a tile.
template <class T, int W, int K, class F>
LEGATO_INLINE void group_cluster(const GroupNormParams& p, F f) {
  using V = Compute<T>;
  __shared__ PartMoments<V> shared[kGroupThreads * W];
  GroupNormParams one = p;
  one.tiles = 1;
  GroupPlace at = group_place(one, blockIdx.x);
  at.tile = static_cast<int>(at.sample % p.tiles);
  at.sample /= p.tiles;
  const int width = p.across * W, own = own_channels(p, width), groups = width / own;
  const long long start = first_element<W>(p, at), step = p.channels * p.lines;
  const int n = at.works ? at.of_line(p, at.line) : 0;
  Stored<T, W> stored[K];
  if (n > 0) {
    PartMoments<V> m[W];
    V means[W];
    for (int j = 0; j < W; ++j) m[j] = {V(0), V(0)};
    load_positions<T, W, K>(static_cast<const T*>(p.x) + start, step, n, stored);
    add_moments<T, W, K>(stored, n, 0, m, means);
    for (int j = 0; j < W; ++j) shared[at.line * width + at.column * W + j] = m[j];
  } else if (at.works) {
    for (int j = 0; j < W; ++j) shared[at.line * width + at.column * W + j] = {V(0), V(0)};
  }
  __syncthreads();
  chunk_moments(p, at, width, shared, [&](int local, PartMoments<V> total) {
    stored_moments<V>(p, at, width, local) = total;
  });
  asm volatile("barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;" ::: "memory");
  const int team = static_cast<int>(threadIdx.x) / kTeam,
            teams = static_cast<int>(blockDim.x) / kTeam;
  for (int first = 0; first < groups; first += teams) {
    const int local = first + team < groups ? first + team : groups - 1;
    const PartMoments<V> m = group_total<V>(p, group_of(p, at, width, local), own);
    if (first + team < groups && threadIdx.x % kTeam == 0)
      shared[local] = {m.mean, scale_of(p, m.squares)};
  }
  __syncthreads();
  if (n == 0) return;
  const ChannelMap<T, W> map(p, at, shared, own);
  T* y = static_cast<T*>(p.y) + start;
  for (int k = 0; k < K; ++k)
    if (k < n) map.apply(stored[k], f, y + k * step);
}

#define LAB_KERNEL(name, threads)                       \
  extern "C" __global__ void __launch_bounds__(threads) \
      name(const __grid_constant__ GroupNormParams p)
LAB_KERNEL(cluster_k8, 512) { group_cluster<f16, 8, 8>(p, Silu<f16>{}); }
LAB_KERNEL(cluster_k10, 512) { group_cluster<f16, 8, 10>(p, Silu<f16>{}); }
LAB_KERNEL(cluster_k16, 512) { group_cluster<f16, 8, 16>(p, Silu<f16>{}); }
LAB_KERNEL(moments_k8, 512) { group_moments<f16, 8, 8>(p); }
LAB_KERNEL(apply_k8, 512) { group_apply<f16, 8, 8>(p, Same{}); }
LAB_KERNEL(silu_k8, 512) { group_apply<f16, 8, 8>(p, Silu<f16>{}); }

}  // namespace legato::cuda
