// The derivative of group norm, channels last. With xhat = (x - mean) * scale and wg = g * weight:
//   dx = scale * (wg - mean(wg) - xhat * mean(wg * xhat)), means over the group.
// Three kernels: moments of each chunk with the sums of its channels, relative to the chunk's own
// mean; what they make for each group and channel of a sample; dx. The sums over samples follow
// (column_sums in norm.cu).
#include "legato/ops/norm/group_parts.cuh"

namespace legato::cuda {

template <class V>
struct ChannelSums {
  V g, gx;
};
template <class V>
struct GroupSums {
  V mean, scale, wg, wgx;
};

template <class T, int W, int K>
LEGATO_INLINE void group_vjp_moments(const GroupNormParams& p) {
  using V = Compute<T>;
  __shared__ PartMoments<V> shared[kGroupVjpThreads * W];     // (line, channel of the tile)
  __shared__ ChannelSums<V> line_sums[kGroupVjpThreads * W];  // relative to the line's mean
  __shared__ V means[kGroupVjpThreads * W];                   // of the tile's groups
  const GroupPlace at = group_place(p, blockIdx.x);
  const int width = p.across * W;
  PartMoments<V> m[W];
  ChannelSums<V> sums[W];
  for (int j = 0; j < W; ++j) m[j] = {V(0), V(0)}, sums[j] = {V(0), V(0)};
  if (at.works) {
    const T *x = static_cast<const T*>(p.x) + first_element<W>(p, at),
            *g = static_cast<const T*>(p.g) + first_element<W>(p, at);
    const long long step = p.channels * p.lines;
    const int n = at.of_line(p, at.line);
    for (int done = 0; done < n; done += K, x += K * step, g += K * step) {
      Stored<T, W> xs[K], gs[K];
      V mean[W], before[W];
      load_positions<T, W, K>(x, step, n - done, xs);
      load_positions<T, W, K>(g, step, n - done, gs);
      for (int j = 0; j < W; ++j) before[j] = m[j].mean;
      add_moments<T, W, K>(xs, n - done, done, m, mean);
      // The sums so far move to the new mean.
      for (int j = 0; j < W; ++j) sums[j].gx = fma(before[j] - m[j].mean, sums[j].g, sums[j].gx);
      for (int k = 0; k < K; ++k) {
        if (k >= n - done) continue;
        V v[W], c[W];
        unpack<T, W>(xs[k], v);
        unpack<T, W>(gs[k], c);
        for (int j = 0; j < W; ++j) {
          sums[j].g += c[j];
          sums[j].gx = fma(c[j], v[j] - m[j].mean, sums[j].gx);
        }
      }
    }
    for (int j = 0; j < W; ++j) {
      shared[at.line * width + at.column * W + j] = m[j];
      line_sums[at.line * width + at.column * W + j] = sums[j];
    }
  }
  // Sums relative to the mean of the thread's line: moved to that of the group once it is known.
  __syncthreads();
  chunk_moments(p, at, width, shared, [&](int local, PartMoments<V> total) {
    stored_moments<V>(p, at, width, local) = total;
    means[local] = total.mean;
  });
  __syncthreads();
  const int own = own_channels(p, width);
  if (at.works)
    for (int j = 0; j < W; ++j) {
      const int c = at.column * W + j;
      line_sums[at.line * width + c].gx = fma(m[j].mean - means[c / own], sums[j].g, sums[j].gx);
    }
  __syncthreads();
  ChannelSums<V>* to = static_cast<ChannelSums<V>*>(p.channel_sums) +
                       (at.sample * p.chunks + at.chunk) * p.channels +
                       static_cast<long long>(at.tile) * width;
  for (int c = static_cast<int>(threadIdx.x); c < width; c += static_cast<int>(blockDim.x)) {
    ChannelSums<V> s{V(0), V(0)};
    for (int line = 0; line < p.lines; ++line) {
      s.g += line_sums[line * width + c].g;
      s.gx += line_sums[line * width + c].gx;
    }
    to[c] = s;
  }
}

/// A block a group of a sample.
template <class T, int W>
LEGATO_INLINE void group_vjp_finish(const GroupNormParams& p) {
  using V = Compute<T>;
  __shared__ ChannelSums<V> shared[kGroupVjpThreads];
  __shared__ V totals[2][32];
  const long long sample = blockIdx.x / p.groups, group = blockIdx.x % p.groups;
  const int width = p.across * W, own = own_channels(p, width);
  // Every team adds up all of it: the same numbers.
  const PartMoments<V> m = group_total<V>(p, blockIdx.x, own);
  const V scale = scale_of(p, m.squares);
  const PartMoments<V>* moments = static_cast<const PartMoments<V>*>(p.moments) +
                                  static_cast<long long>(blockIdx.x) * p.chunks * p.cuts;
  const T* weight = static_cast<const T*>(p.weight);
  const int thread = static_cast<int>(threadIdx.x),
            across = p.group_channels < kGroupVjpThreads ? p.group_channels : kGroupVjpThreads,
            lines = kGroupVjpThreads / across, line = thread / across;
  V wg = 0, wgx = 0;
  for (int first = 0; first < p.group_channels; first += across) {
    const int c = first + thread % across;
    const long long channel = group * p.group_channels + c;
    ChannelSums<V> s{V(0), V(0)};
    if (c < p.group_channels && line < lines)
      for (long long chunk = line; chunk < p.chunks; chunk += lines) {
        const ChannelSums<V> part = static_cast<const ChannelSums<V>*>(
            p.channel_sums)[(sample * p.chunks + chunk) * p.channels + channel];
        const V mean = moments[(p.cuts > 1 ? c / width : 0) * p.chunks + chunk].mean;
        s.g += part.g;
        s.gx += fma(mean - m.mean, part.g, part.gx);
      }
    __syncthreads();
    shared[thread] = s;
    __syncthreads();
    if (thread < across && c < p.group_channels) {
      for (int l = 1; l < lines; ++l) {
        s.g += shared[l * across + thread].g;
        s.gx += shared[l * across + thread].gx;
      }
      s.gx *= scale;
      V* sums = static_cast<V*>(p.sums);
      if (sums) {
        sums[sample * p.channels + channel] = s.gx;
        sums[(p.samples + sample) * p.channels + channel] = s.g;
      }
      const V w = weight ? read(weight[channel]) : V(1);
      wg = fma(w, s.g, wg);
      wgx = fma(w, s.gx, wgx);
    }
  }
  const V count = static_cast<V>(p.positions * p.group_channels);
  wg = over_threads(wg, kGroupVjpThreads, totals[0], Plus{}) / count;
  wgx = over_threads(wgx, kGroupVjpThreads, totals[1], Plus{}) / count;
  if (thread == 0) static_cast<GroupSums<V>*>(p.group_sums)[blockIdx.x] = {m.mean, scale, wg, wgx};
}

template <class T, int W, int K>
LEGATO_INLINE void group_vjp_apply(const GroupNormParams& p) {
  using V = Compute<T>;
  const GroupPlace at = group_place(p, gridDim.x - 1 - blockIdx.x);
  if (!at.works) return;
  const long long start = first_element<W>(p, at), step = p.channels * p.lines,
                  channel = first_channel<W>(p, at);
  const T *x = static_cast<const T*>(p.x) + start, *g = static_cast<const T*>(p.g) + start;
  T* dx = static_cast<T*>(p.y) + start;
  const int n = at.of_line(p, at.line);
  V w[W];
  GroupSums<V> s[W];
  if (p.weight) unpack<T, W>(load<T, W>(static_cast<const T*>(p.weight) + channel), w);
  for (int j = 0; j < W; ++j)
    s[j] = static_cast<const GroupSums<V>*>(
        p.group_sums)[at.sample * p.groups + (channel + j) / p.group_channels];
  for (int done = n > 0 ? (n - 1) / K * K : -1; done >= 0; done -= K) {
    Stored<T, W> xs[K], gs[K];
    load_positions<T, W, K>(x + done * step, step, n - done, xs);
    load_positions<T, W, K>(g + done * step, step, n - done, gs);
    for (int k = 0; k < K; ++k) {
      if (k >= n - done) continue;
      V v[W], c[W];
      unpack<T, W>(xs[k], v);
      unpack<T, W>(gs[k], c);
      for (int j = 0; j < W; ++j) {
        const V wg = p.weight ? c[j] * w[j] : c[j];
        v[j] = s[j].scale * (wg - s[j].wg - (v[j] - s[j].mean) * s[j].scale * s[j].wgx);
      }
      store<T, W>(dx + (done + k) * step, v);
    }
  }
}

#define LEGATO_GROUP_VJP(end, T, W, K)                                                      \
  LEGATO_KERNEL(group_vjp_moments_w##W##_k##K##_##end, GroupNormParams, kGroupVjpThreads) { \
    group_vjp_moments<T, W, K>(p);                                                          \
  }                                                                                         \
  LEGATO_KERNEL(group_vjp_finish_w##W##_k##K##_##end, GroupNormParams, kGroupVjpThreads) {  \
    group_vjp_finish<T, W>(p);                                                              \
  }                                                                                         \
  LEGATO_KERNEL(group_vjp_apply_w##W##_k##K##_##end, GroupNormParams, kGroupVjpThreads) {   \
    group_vjp_apply<T, W, K>(p);                                                            \
  }
LEGATO_GROUP_VJP(f16, f16, 8, 4)
LEGATO_GROUP_VJP(f16, f16, 1, 8)
LEGATO_GROUP_VJP(bf16, bf16, 8, 4)
LEGATO_GROUP_VJP(bf16, bf16, 1, 8)
LEGATO_GROUP_VJP(f32, float, 4, 4)
LEGATO_GROUP_VJP(f32, float, 1, 8)
LEGATO_GROUP_VJP(f64, double, 2, 4)
LEGATO_GROUP_VJP(f64, double, 1, 8)

}  // namespace legato::cuda
