// Convolutions in which one side has few channels, where tiles would stay mostly empty: the first
// and the last one of a network of pictures, and their gradients. A thread does one element or
// four, and neighbours share what they read through the first-level cache.
#include "legato/ops/conv/conv_walk.cuh"

namespace legato::cuda {

/// Takes an index of positions of samples apart; returns the sample.
LEGATO_INLINE long long sample_of(long long index, const int* sizes, int* at) {
  if (index < 0x7fffffff) {
    unsigned rest = static_cast<unsigned>(index);
    for (int d = 2; d >= 0; --d) {
      const unsigned next = rest / static_cast<unsigned>(sizes[d]);
      at[d] = static_cast<int>(rest - next * static_cast<unsigned>(sizes[d]));
      rest = next;
    }
    return rest;
  }
  for (int d = 2; d >= 0; --d) {
    at[d] = static_cast<int>(index % sizes[d]);
    index /= sizes[d];
  }
  return index;
}

// The gradient of the weights: a thread does an element, blocks share the positions.
template <class T>
LEGATO_INLINE void conv_weight_thin(const ConvParams& p) {
  using A = Compute<T>;
  const int taps = taps_of(p), blocks = static_cast<int>(gridDim.x) / p.splits,
            split = static_cast<int>(blockIdx.x) / blocks;
  const long long each_sample = positions_of(p.positions), terms = p.samples * each_sample,
                  gathered_all = static_cast<long long>(p.groups) * p.gathered_channels,
                  walked_all = static_cast<long long>(p.groups) * p.result_channels,
                  total = walked_all * taps * p.gathered_channels,
                  e = static_cast<long long>(blockIdx.x - split * blocks) * blockDim.x +
                      threadIdx.x;
  if (e >= total) return;
  const int c = static_cast<int>(e % p.gathered_channels);
  const long long rest = e / p.gathered_channels;
  const int t = static_cast<int>(rest % taps);
  const long long channel = rest / taps, group = channel / p.result_channels;
  Walker tap, position;
  tap.start(p.flip ? taps - 1 - t : t, p.kernel);
  const long long from = split * p.per_split,
                  to = from + p.per_split < terms ? from + p.per_split : terms;
  const T* gathered =
      static_cast<const T*>(p.gathered) + group * p.gathered_channels + c +
      sample_of(from, p.positions, position.at) * positions_of(p.meet.size) * gathered_all;
  const T* walked = static_cast<const T*>(p.other) + from * walked_all + channel;
  const bool plain = is_plain(p);
  constexpr int together = 4;  // on the way
  A sum = 0;
  for (long long i = from; i < to; i += together) {
    A x[together], y[together];
#pragma unroll
    for (int u = 0; u < together; ++u, walked += walked_all) {
      x[u] = y[u] = A(0);
      if (i + u >= to) continue;
      int base[3];
      base_of(p, position.at, base);
      const int met = meeting_narrow(p, plain, base, tap.at);
      if (met >= 0) {
        y[u] = read(*walked);
        x[u] = read(gathered[met * gathered_all]);
      }
      position.next(p.positions);
      if (position.at[0] < p.positions[0]) continue;
      position.at[0] = 0;
      gathered += positions_of(p.meet.size) * gathered_all;
    }
#pragma unroll
    for (int u = 0; u < together; ++u) sum = add_product(sum, y[u], x[u]);
  }
  if (p.partial)
    static_cast<A*>(p.partial)[split * total + e] = sum;
  else
    static_cast<T*>(p.to)[e] = written<T>(sum);
}

// Few gathered channels: a thread does four channels of a result.
LEGATO_INLINE void gather_thin(const ConvParams& p) {
  const int fours = p.groups * p.result_channels / 4, taps = taps_of(p);
  const long long all_channels = static_cast<long long>(p.groups) * p.gathered_channels,
                  rows = p.samples * positions_of(p.positions),
                  at = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x,
                  row = at / fours;
  if (row >= rows) return;
  const int channel = static_cast<int>(at - row * fours) * 4, group = channel / p.result_channels,
            col = channel - group * p.result_channels;
  Walker position, tap;
  int base[3];
  const long long sample = sample_of(row, p.positions, position.at);
  base_of(p, position.at, base);
  const float* from = static_cast<const float*>(p.gathered) +
                      sample * positions_of(p.meet.size) * all_channels +
                      static_cast<long long>(group) * p.gathered_channels;
  const float* w = static_cast<const float*>(p.other) + group * p.w_group + col * p.w_result;
  const bool plain = is_plain(p), along_result = p.w_result == 1;
  const int w_tap = static_cast<int>(p.w_tap), w_gathered = static_cast<int>(p.w_gathered),
            w_result = static_cast<int>(p.w_result);
  Four sum{};
  tap.start(0, p.kernel);
#pragma unroll 3
  for (int t = 0; t < taps; ++t, tap.next(p.kernel)) {
    const int met = meeting_narrow(p, plain, base, tap.at);
    if (met < 0) continue;
    const float* wt = w + (p.flip ? taps - 1 - t : t) * w_tap;
    for (int c = 0; c < p.gathered_channels; ++c, wt += w_gathered) {
      const float x = from[met * all_channels + c];
      const Four v = along_result ? four_at(wt)
                                  : Four{{wt[0], wt[w_result], wt[2 * w_result], wt[3 * w_result]}};
      for (int j = 0; j < 4; ++j) sum.v[j] = ::fmaf(x, v.v[j], sum.v[j]);
    }
  }
  if (p.bias) sum = plus(sum, four_at(p.bias + channel));
  if (p.residual) sum = plus(sum, four_at(p.residual + 4 * at));
  *reinterpret_cast<Four*>(static_cast<float*>(p.to) + 4 * at) = sum;
}

// Few channels of the result: eight threads share one, four gathered channels at a time.
inline constexpr int kSharing = 8;
LEGATO_INLINE void gather_shared(const ConvParams& p) {
  const int taps = taps_of(p), k = static_cast<int>(threadIdx.x) % kSharing;
  const long long width = static_cast<long long>(p.groups) * p.result_channels,
                  all_channels = static_cast<long long>(p.groups) * p.gathered_channels,
                  results = p.samples * positions_of(p.positions) * width,
                  e = (static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x) / kSharing,
                  mine = e < results ? e : results - 1, row = mine / width;
  const int channel = static_cast<int>(mine - row * width), group = channel / p.result_channels;
  Walker position, tap;
  int base[3];
  const long long sample = sample_of(row, p.positions, position.at);
  base_of(p, position.at, base);
  const float* from = static_cast<const float*>(p.gathered) +
                      sample * positions_of(p.meet.size) * all_channels +
                      static_cast<long long>(group) * p.gathered_channels;
  const float* w = static_cast<const float*>(p.other) + group * p.w_group +
                   (channel - group * p.result_channels) * p.w_result;
  const bool plain = is_plain(p);
  float sum = 0;
  tap.start(0, p.kernel);
#pragma unroll 3
  for (int t = 0; t < taps; ++t, tap.next(p.kernel)) {
    const int met = meeting_narrow(p, plain, base, tap.at);
    if (met < 0) continue;
    const float* wt = w + (p.flip ? taps - 1 - t : t) * p.w_tap;
    for (int c = 4 * k; c < p.gathered_channels; c += 4 * kSharing) {
      const Four x = four_at(from + met * all_channels + c);
      for (int j = 0; j < 4; ++j) sum = ::fmaf(x.v[j], wt[(c + j) * p.w_gathered], sum);
    }
  }
  for (int by = kSharing / 2; by > 0; by /= 2) sum += __shfl_xor_sync(~0u, sum, by);
  if (k > 0 || e >= results) return;
  if (p.bias) sum += p.bias[channel];
  if (p.residual) sum += p.residual[e];
  static_cast<float*>(p.to)[e] = sum;
}

LEGATO_KERNEL(conv_weight_thin_f16, ConvParams, 256) { conv_weight_thin<f16>(p); }
LEGATO_KERNEL(conv_weight_thin_bf16, ConvParams, 256) { conv_weight_thin<bf16>(p); }
LEGATO_KERNEL(conv_weight_thin_f32, ConvParams, 256) { conv_weight_thin<float>(p); }
LEGATO_KERNEL(conv_weight_thin_f64, ConvParams, 256) { conv_weight_thin<double>(p); }
LEGATO_KERNEL(conv_gather_thin, ConvParams, 256) { gather_thin(p); }
LEGATO_KERNEL(conv_gather_shared, ConvParams, 256) { gather_shared(p); }

}  // namespace legato::cuda
