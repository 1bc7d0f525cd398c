// Group norm, channels last, in two kernels that are cut alike: the moments of each chunk of
// positions, then the result from all moments of a sample. Small samples take one. Its derivative:
// group_norm_vjp.cu. See lab/gpu_norm.
#include "legato/ops/norm/group_parts.cuh"

namespace legato::cuda {

template <class T, int W, int K>
LEGATO_INLINE void group_moments(const GroupNormParams& p) {
  using V = Compute<T>;
  __shared__ PartMoments<V> shared[kGroupThreads * W];  // (line, channel of the tile)
  const GroupPlace at = group_place(p, blockIdx.x);
  const int width = p.across * W;
  if (at.works) {
    const T* x = static_cast<const T*>(p.x) + first_element<W>(p, at);
    const long long step = p.channels * p.lines;
    const int n = at.of_line(p, at.line);
    PartMoments<V> m[W];
    for (int j = 0; j < W; ++j) m[j] = {V(0), V(0)};
    for (int done = 0; done < n; done += K, x += K * step) {
      Stored<T, W> stored[K];
      V means[W];
      load_positions<T, W, K>(x, step, n - done, stored);
      add_moments<T, W, K>(stored, n - done, done, m, means);
    }
    for (int j = 0; j < W; ++j) shared[at.line * width + at.column * W + j] = m[j];
  }
  __syncthreads();
  chunk_moments(p, at, width, shared, [&](int local, PartMoments<V> total) {
    stored_moments<V>(p, at, width, local) = total;
  });
}

/// What becomes of the W channels of a thread: (x - mean) * scale + shift.
template <class T, int W>
struct ChannelMap {
  using V = Compute<T>;
  V mean[W], scale[W], shift[W];

  /// `groups`: mean and scale of the tile's groups, each of `own` channels.
  LEGATO_INLINE ChannelMap(const GroupNormParams& p, const GroupPlace& at,
                           const PartMoments<V>* groups, int own) {
    const long long channel = first_channel<W>(p, at);
    if (p.weight) unpack<T, W>(load<T, W>(static_cast<const T*>(p.weight) + channel), scale);
    if (p.bias) unpack<T, W>(load<T, W>(static_cast<const T*>(p.bias) + channel), shift);
    for (int j = 0; j < W; ++j) {
      const PartMoments<V> m = groups[(at.column * W + j) / own];
      mean[j] = m.mean;
      scale[j] = p.weight ? m.squares * scale[j] : m.squares;
      if (!p.bias) shift[j] = V(0);
    }
  }
  template <class F>
  LEGATO_INLINE void apply(const Stored<T, W>& x, F f, T* y) const {
    V v[W];
    unpack<T, W>(x, v);
    for (int j = 0; j < W; ++j) v[j] = f(fma(v[j] - mean[j], scale[j], shift[j]));
    store_once<T, W>(y, v);
  }
};

template <class T, int W, int K, class F>
LEGATO_INLINE void group_apply(const GroupNormParams& p, F f) {
  using V = Compute<T>;
  __shared__ PartMoments<V> shared[kGroupThreads * W];  // of the tile's groups: mean and scale
  // Backwards: what was read last is still in the cache.
  const GroupPlace at = group_place(p, gridDim.x - 1 - blockIdx.x);
  const int width = p.across * W, own = own_channels(p, width), groups = width / own;
  const int team = static_cast<int>(threadIdx.x) / kTeam,
            teams = static_cast<int>(blockDim.x) / kTeam;
  const T* x = static_cast<const T*>(p.x) + first_element<W>(p, at);
  T* y = static_cast<T*>(p.y) + first_element<W>(p, at);
  const long long step = p.channels * p.lines;
  const int n = at.works ? at.of_line(p, at.line) : 0;
  int done = n > 0 ? (n - 1) / K * K : -1;
  Stored<T, W> stored[K];
  if (done >= 0) load_positions<T, W, K>(x + done * step, step, n - done, stored);
  for (int first = 0; first < groups; first += teams) {
    const int local = first + team < groups ? first + team : groups - 1;
    const PartMoments<V> m = group_total<V>(p, group_of(p, at, width, local), own);
    if (first + team < groups && threadIdx.x % kTeam == 0)
      shared[local] = {m.mean, scale_of(p, m.squares)};
  }
  __syncthreads();
  if (n == 0) return;
  const ChannelMap<T, W> map(p, at, shared, own);
  for (;;) {
    for (int k = 0; k < K; ++k)
      if (k < n - done) map.apply(stored[k], f, y + (done + k) * step);
    done -= K;
    if (done < 0) return;
    load_positions<T, W, K>(x + done * step, step, K, stored);
  }
}

// Samples of which a block holds all positions of a tile, at most K of them a thread: one launch,
// and x is read once.
template <class T, int W, int K, class F>
LEGATO_INLINE void group_whole(const GroupNormParams& p, F f) {
  using V = Compute<T>;
  __shared__ PartMoments<V> shared[kGroupThreads * W];  // (line, channel of the tile)
  __shared__ PartMoments<V> groups[kWholeGroups];       // of the tile: mean and scale
  const GroupPlace at = group_place(p, blockIdx.x);
  const int width = p.across * W, n = at.works ? at.of_line(p, at.line) : 0;
  const long long start = first_element<W>(p, at), step = p.channels * p.lines;
  Stored<T, W> stored[K];
  load_positions<T, W, K>(static_cast<const T*>(p.x) + start, step, n, stored);
  if (at.works) {
    PartMoments<V> m[W];
    V means[W];
    for (int j = 0; j < W; ++j) m[j] = {V(0), V(0)};
    if (n > 0) add_moments<T, W, K>(stored, n, 0, m, means);
    for (int j = 0; j < W; ++j) shared[at.line * width + at.column * W + j] = m[j];
  }
  __syncthreads();
  chunk_moments(p, at, width, shared, [&](int local, PartMoments<V> total) {
    groups[local] = {total.mean, scale_of(p, total.squares)};
  });
  __syncthreads();
  if (n == 0) return;
  const ChannelMap<T, W> map(p, at, groups, own_channels(p, width));
  T* y = static_cast<T*>(p.y) + start;
  for (int k = 0; k < K; ++k)
    if (k < n) map.apply(stored[k], f, y + k * step);
}

struct Same {
  template <class V>
  LEGATO_INLINE V operator()(V v) const {
    return v;
  }
};
/// v * sigmoid(v). Half types round away what the GPU's own exponential and reciprocal miss.
template <class T>
struct Silu {
  template <class V>
  LEGATO_INLINE V operator()(V v) const {
    if constexpr (sizeof(T) == 2)
      return v * reciprocal_fast(1.0f + exp2_fast(v * -1.44269504f));
    else
      return v / (V(1) + exp_of(-v));
  }
};

#define LEGATO_GROUP_KERNEL(name, end, T, W, K, ...) \
  LEGATO_KERNEL(group_##name##_w##W##_k##K##_##end, GroupNormParams, kGroupThreads) { __VA_ARGS__; }
#define LEGATO_GROUP_NORM(end, T, W, K)                                     \
  LEGATO_GROUP_KERNEL(moments, end, T, W, K, group_moments<T, W, K>(p))     \
  LEGATO_GROUP_KERNEL(apply, end, T, W, K, group_apply<T, W, K>(p, Same{})) \
  LEGATO_GROUP_KERNEL(apply_silu, end, T, W, K, group_apply<T, W, K>(p, Silu<T>{}))
#define LEGATO_GROUP_WHOLE(end, T, W, K)                                    \
  LEGATO_GROUP_KERNEL(whole, end, T, W, K, group_whole<T, W, K>(p, Same{})) \
  LEGATO_GROUP_KERNEL(whole_silu, end, T, W, K, group_whole<T, W, K>(p, Silu<T>{}))
LEGATO_GROUP_WHOLE(f16, f16, 8, 4)
LEGATO_GROUP_WHOLE(f16, f16, 8, 16)
LEGATO_GROUP_WHOLE(bf16, bf16, 8, 4)
LEGATO_GROUP_WHOLE(bf16, bf16, 8, 16)
LEGATO_GROUP_WHOLE(f32, float, 4, 4)
LEGATO_GROUP_WHOLE(f32, float, 4, 16)
LEGATO_GROUP_NORM(f16, f16, 8, 4)
LEGATO_GROUP_NORM(f16, f16, 1, 8)
LEGATO_GROUP_NORM(bf16, bf16, 8, 4)
LEGATO_GROUP_NORM(bf16, bf16, 1, 8)
LEGATO_GROUP_NORM(f32, float, 4, 4)
LEGATO_GROUP_NORM(f32, float, 1, 8)
LEGATO_GROUP_NORM(f64, double, 2, 4)
LEGATO_GROUP_NORM(f64, double, 1, 8)

}  // namespace legato::cuda
