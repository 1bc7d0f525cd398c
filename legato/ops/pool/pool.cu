// Pooling over windows, and its derivatives. A thread does one element of the result, or a pack of
// channels; neighbouring threads take neighbouring channels. A derivative gathers from the windows
// that hold the element, in their order.
#include "legato/backends/cuda/divide.cuh"
#include "legato/backends/cuda/rows.cuh"
#include "legato/ops/pool/pool.cuh"

namespace legato::cuda {

struct Place {
  long long sample, at[3], channel;
};
/// Where element or pack e of the result is; channels in steps of `pack`.
LEGATO_INLINE Place place_of(long long e, const PoolParams& p, const long long* sizes, int pack) {
  Place v;
  if (p.narrow) {
    uint32_t rest = static_cast<uint32_t>(e);
    auto split = [&](long long size, const Divider& divider) {
      const uint32_t next = divide(rest, divider), at = rest - next * static_cast<uint32_t>(size);
      rest = next;
      return at;
    };
    v.channel = split(p.channels / pack, p.by_channels) * static_cast<long long>(pack);
#pragma unroll
    for (int d = 2; d >= 0; --d) v.at[d] = split(sizes[d], p.by_size[d]);
    v.sample = rest;
    return v;
  }
  v.channel = e % (p.channels / pack) * pack;
  e /= p.channels / pack;
#pragma unroll 1
  for (int d = 2; d >= 0; --d) {
    v.at[d] = e % sizes[d];
    e /= sizes[d];
  }
  v.sample = e;
  return v;
}

/// The positions of a window that lie inside: [begin, end) of each dimension.
struct Window {
  long long begin[3], end[3];
};
LEGATO_INLINE Window window_of(const PoolParams& p, const long long* out) {
  Window w;
  for (int d = 0; d < 3; ++d) {
    const long long first = out[d] * p.stride[d] - p.low[d], last = first + p.kernel[d];
    w.begin[d] = first > 0 ? first : 0;
    w.end[d] = last < p.in[d] ? last : p.in[d];
  }
  return w;
}
/// The outputs whose windows hold a position.
LEGATO_INLINE Window windows_with(const PoolParams& p, const long long* in) {
  Window w;
  for (int d = 0; d < 3; ++d) {
    const long long last = (in[d] + p.low[d]) / p.stride[d] + 1,
                    before = in[d] + p.low[d] - p.kernel[d];
    w.begin[d] = before < 0 ? 0 : before / p.stride[d] + 1;
    w.end[d] = last < p.out[d] ? last : p.out[d];
  }
  return w;
}
LEGATO_INLINE long long element(const PoolParams& p, const long long* sizes, long long sample,
                                long long a, long long b, long long c, long long channel) {
  return (((sample * sizes[0] + a) * sizes[1] + b) * sizes[2] + c) * p.channels + channel;
}
template <class F>
LEGATO_INLINE void each(const Window& w, F f) {
  for (long long a = w.begin[0]; a < w.end[0]; ++a)
    for (long long b = w.begin[1]; b < w.end[1]; ++b)
      for (long long c = w.begin[2]; c < w.end[2]; ++c) f(a, b, c);
}
template <class V>
LEGATO_INLINE V window_scale(const PoolParams& p) {
  return V(1) / static_cast<V>(p.kernel[0] * p.kernel[1] * p.kernel[2]);
}

template <class T, bool largest, int pack>
LEGATO_INLINE void forward_in(const PoolParams& p) {
  using V = Compute<T>;
  const T* x = static_cast<const T*>(p.x);
  const long long n = p.samples * p.out[0] * p.out[1] * p.out[2] * (p.channels / pack),
                  step = static_cast<long long>(gridDim.x) * blockDim.x;
  for (long long e = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; e < n;
       e += step) {
    const Place v = place_of(e, p, p.out, pack);
    V result[pack];
#pragma unroll
    for (int k = 0; k < pack; ++k) result[k] = largest ? -static_cast<V>(INFINITY) : V(0);
    each(window_of(p, v.at), [&](long long a, long long b, long long c) {
      const Pack<T, pack> u =
          load_pack<T, pack>(x + element(p, p.in, v.sample, a, b, c, v.channel));
#pragma unroll
      for (int k = 0; k < pack; ++k) {
        const V w = read(u.at[k]);
        if constexpr (largest)
          result[k] = result[k] > w || result[k] != result[k] ? result[k] : w;
        else
          result[k] += w;
      }
    });
    Pack<T, pack> y;
#pragma unroll
    for (int k = 0; k < pack; ++k)
      y.at[k] = written<T>(largest ? result[k] : result[k] * window_scale<V>(p));
    store_pack<T, pack>(static_cast<T*>(p.to) + e * pack, y);
  }
}
template <class T, bool largest>
LEGATO_INLINE void forward(const PoolParams& p) {
  if (p.packed)
    forward_in<T, largest, 16 / sizeof(T)>(p);
  else
    forward_in<T, largest, 1>(p);
}

// Equal largest elements share the cotangent. A pack asks how many there are only where one of its
// channels is among them.
template <class T, bool largest, int pack>
LEGATO_INLINE void backward_in(const PoolParams& p) {
  using V = Compute<T>;
  const T *x = static_cast<const T*>(p.x), *y = static_cast<const T*>(p.y),
          *g = static_cast<const T*>(p.g);
  const long long n = p.samples * p.in[0] * p.in[1] * p.in[2] * (p.channels / pack),
                  step = static_cast<long long>(gridDim.x) * blockDim.x;
  for (long long e = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; e < n;
       e += step) {
    const Place v = place_of(e, p, p.in, pack);
    V sum[pack], own[pack];
    Pack<T, pack> here{};
    if constexpr (largest) here = load_pack<T, pack>(x + e * pack);
#pragma unroll
    for (int k = 0; k < pack; ++k) {
      sum[k] = 0;
      own[k] = read(here.at[k]);
    }
    each(windows_with(p, v.at), [&](long long a, long long b, long long c) {
      const long long at = element(p, p.out, v.sample, a, b, c, v.channel);
      if constexpr (largest) {
        const Pack<T, pack> top = load_pack<T, pack>(y + at);
        bool any = false;
#pragma unroll
        for (int k = 0; k < pack; ++k) any |= own[k] == read(top.at[k]);
        if (!any) return;
        V count[pack];
#pragma unroll
        for (int k = 0; k < pack; ++k) count[k] = 0;
        const long long out[3] = {a, b, c};
        each(window_of(p, out), [&](long long i, long long j, long long l) {
          const Pack<T, pack> u =
              load_pack<T, pack>(x + element(p, p.in, v.sample, i, j, l, v.channel));
#pragma unroll
          for (int k = 0; k < pack; ++k) count[k] += read(u.at[k]) == read(top.at[k]) ? V(1) : V(0);
        });
        const Pack<T, pack> given = load_pack<T, pack>(g + at);
#pragma unroll
        for (int k = 0; k < pack; ++k)
          if (own[k] == read(top.at[k])) sum[k] += read(given.at[k]) / count[k];
      } else {
        const Pack<T, pack> given = load_pack<T, pack>(g + at);
#pragma unroll
        for (int k = 0; k < pack; ++k) sum[k] += read(given.at[k]) * window_scale<V>(p);
      }
    });
    Pack<T, pack> to;
#pragma unroll
    for (int k = 0; k < pack; ++k) to.at[k] = written<T>(sum[k]);
    store_pack<T, pack>(static_cast<T*>(p.to) + e * pack, to);
  }
}
template <class T, bool largest>
LEGATO_INLINE void backward(const PoolParams& p) {
  if (p.packed)
    backward_in<T, largest, 16 / sizeof(T)>(p);
  else
    backward_in<T, largest, 1>(p);
}

#define LEGATO_POOL(end, T)                                                    \
  LEGATO_KERNEL(max_pool_##end, PoolParams, 256) { forward<T, true>(p); }      \
  LEGATO_KERNEL(avg_pool_##end, PoolParams, 256) { forward<T, false>(p); }     \
  LEGATO_KERNEL(max_pool_vjp_##end, PoolParams, 256) { backward<T, true>(p); } \
  LEGATO_KERNEL(avg_pool_transpose_##end, PoolParams, 256) { backward<T, false>(p); }
LEGATO_POOL(f16, f16)
LEGATO_POOL(bf16, bf16)
LEGATO_POOL(f32, float)
LEGATO_POOL(f64, double)

}  // namespace legato::cuda
