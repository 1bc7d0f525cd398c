// The derivative of group norm where a block holds all positions of a tile of channels, at most K
// of them a thread: one launch, and x and g are read once. The formula is that of
// group_norm_vjp.cu.
#include "legato/ops/norm/group_parts.cuh"

namespace legato::cuda {

template <class T, int W, int K>
LEGATO_INLINE void group_vjp_whole(const GroupNormParams& p) {
  using V = Compute<T>;
  struct Sums {
    V g, gx;
  };
  struct Group {
    V mean, scale, wg, wgx;
  };
  constexpr int most = kGroupVjpThreads * W;
  __shared__ PartMoments<V> moments[most];  // (line, channel of the tile)
  __shared__ Sums sums[most];               // likewise; then of each channel
  __shared__ Group groups[kWholeGroups];
  const GroupPlace at = group_place(p, blockIdx.x);
  const int width = p.across * W, own = own_channels(p, width),
            thread = static_cast<int>(threadIdx.x), n = at.works ? at.of_line(p, at.line) : 0;
  const long long start = first_element<W>(p, at), step = p.channels * p.lines,
                  channel = first_channel<W>(p, at);
  Stored<T, W> xs[K], gs[K];
  load_positions<T, W, K>(static_cast<const T*>(p.x) + start, step, n, xs);
  load_positions<T, W, K>(static_cast<const T*>(p.g) + start, step, n, gs);
  if (at.works) {
    PartMoments<V> m[W];
    V means[W];
    for (int j = 0; j < W; ++j) m[j] = {V(0), V(0)};
    if (n > 0) add_moments<T, W, K>(xs, n, 0, m, means);
    for (int j = 0; j < W; ++j) moments[at.line * width + at.column * W + j] = m[j];
  }
  __syncthreads();
  chunk_moments(p, at, width, moments, [&](int local, PartMoments<V> total) {
    groups[local] = {total.mean, scale_of(p, total.squares), V(0), V(0)};
  });
  __syncthreads();
  // Sums of g and of g * (x - the group's mean), of each channel.
  if (at.works) {
    Sums s[W];
    V mean[W];
    for (int j = 0; j < W; ++j) {
      s[j] = {V(0), V(0)};
      mean[j] = groups[(at.column * W + j) / own].mean;
    }
    for (int k = 0; k < K; ++k) {
      if (k >= n) continue;
      V v[W], c[W];
      unpack<T, W>(xs[k], v);
      unpack<T, W>(gs[k], c);
      for (int j = 0; j < W; ++j) {
        s[j].g += c[j];
        s[j].gx = fma(c[j], v[j] - mean[j], s[j].gx);
      }
    }
    for (int j = 0; j < W; ++j) sums[at.line * width + at.column * W + j] = s[j];
  }
  __syncthreads();
  const T* weight = static_cast<const T*>(p.weight);
  for (int c = thread; c < width; c += static_cast<int>(blockDim.x)) {
    Sums s = sums[c];
    for (int line = 1; line < p.lines; ++line) {
      s.g += sums[line * width + c].g;
      s.gx += sums[line * width + c].gx;
    }
    s.gx *= groups[c / own].scale;
    const long long of_all = static_cast<long long>(at.tile) * width + c;
    if (V* to = static_cast<V*>(p.sums)) {
      to[at.sample * p.channels + of_all] = s.gx;
      to[(p.samples + at.sample) * p.channels + of_all] = s.g;
    }
    const V w = weight ? read(weight[of_all]) : V(1);
    sums[c] = {w * s.g, w * s.gx};
  }
  __syncthreads();
  const int team = thread / kTeam, member = thread % kTeam,
            teams = static_cast<int>(blockDim.x) / kTeam, count = width / own;
  const V elements = static_cast<V>(p.positions) * static_cast<V>(p.group_channels);
  for (int first = 0; first < count; first += teams) {
    const int local = first + team, end = local < count ? (local + 1) * own : 0;
    V wg = 0, wgx = 0;
    for (int c = local * own + member; c < end; c += kTeam) {
      wg += sums[c].g;
      wgx += sums[c].gx;
    }
    wg = over_team(wg) / elements;
    wgx = over_team(wgx) / elements;
    if (end > 0 && member == 0) {
      groups[local].wg = wg;
      groups[local].wgx = wgx;
    }
  }
  __syncthreads();
  if (n == 0) return;
  V w[W];
  Group of[W];
  if (weight) unpack<T, W>(load<T, W>(weight + channel), w);
  for (int j = 0; j < W; ++j) of[j] = groups[(at.column * W + j) / own];
  T* dx = static_cast<T*>(p.y) + start;
  for (int k = 0; k < K; ++k) {
    if (k >= n) continue;
    V v[W], c[W];
    unpack<T, W>(xs[k], v);
    unpack<T, W>(gs[k], c);
    for (int j = 0; j < W; ++j) {
      const V wg = weight ? c[j] * w[j] : c[j];
      v[j] = of[j].scale * (wg - of[j].wg - (v[j] - of[j].mean) * of[j].scale * of[j].wgx);
    }
    store<T, W>(dx + k * step, v);
  }
}

#define LEGATO_GROUP_VJP_WHOLE(end, T, W, K)                                              \
  LEGATO_KERNEL(group_vjp_whole_w##W##_k##K##_##end, GroupNormParams, kGroupVjpThreads) { \
    group_vjp_whole<T, W, K>(p);                                                          \
  }
LEGATO_GROUP_VJP_WHOLE(f16, f16, 8, 4)
LEGATO_GROUP_VJP_WHOLE(bf16, bf16, 8, 4)
LEGATO_GROUP_VJP_WHOLE(f32, float, 4, 4)
LEGATO_GROUP_VJP_WHOLE(f32, float, 4, 8)

}  // namespace legato::cuda
