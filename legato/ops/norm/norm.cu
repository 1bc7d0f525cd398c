// Layer norm, RMS norm and group norm. The variance is that of the differences from the mean, in a
// pass of its own: no cancellation. A row, or a group, that is read again comes from the caches.
#include "legato/backends/cuda/rows.cuh"
#include "legato/ops/norm/norm.cuh"

namespace legato::cuda {

template <class T, bool rms>
LEGATO_INLINE void row_norm(const RowNormParams& p, Compute<T>* shared) {
  using V = Compute<T>;
  const int thread = static_cast<int>(threadIdx.x), group = p.group, lane = thread % group,
            per_block = kRowThreads / group;
  const long long blocks = (p.rows + per_block - 1) / per_block;
  const T *weight = static_cast<const T*>(p.weight), *bias = static_cast<const T*>(p.bias);
  for (long long b = blockIdx.x; b < blocks; b += gridDim.x) {
    const long long row = b * per_block + thread / group, n = row < p.rows ? p.n : 0;
    const T* x = static_cast<const T*>(p.x) + row * p.n;
    T* y = static_cast<T*>(p.y) + row * p.n;
    V mean = 0;
    if constexpr (!rms) {
      V sum = 0;
      for (long long i = lane; i < n; i += group) sum += read(x[i]);
      mean = over_group(sum, group, shared, Plus{}) / static_cast<V>(p.n);
    }
    V squares = 0;
    for (long long i = lane; i < n; i += group) {
      const V d = read(x[i]) - mean;
      squares += d * d;
    }
    const V variance = over_group(squares, group, shared, Plus{}) / static_cast<V>(p.n);
    const V scale = V(1) / root_of(variance + static_cast<V>(p.eps));
    for (long long i = lane; i < n; i += group) {
      V v = (read(x[i]) - mean) * scale;
      if (weight) v *= read(weight[i]);
      if (bias) v += read(bias[i]);
      y[i] = written<T>(v);
    }
  }
}

template <class T>
LEGATO_INLINE void group_norm(const GroupNormParams& p, Compute<T>* shared) {
  using V = Compute<T>;
  const long long groups = p.channels / p.group_channels, work = p.samples * groups,
                  n = p.positions * p.group_channels;
  const T *weight = static_cast<const T*>(p.weight), *bias = static_cast<const T*>(p.bias);
  for (long long b = blockIdx.x; b < work; b += gridDim.x) {
    const long long channel = b % groups * p.group_channels,
                    start = b / groups * p.positions * p.channels + channel;
    const T* x = static_cast<const T*>(p.x) + start;
    T* y = static_cast<T*>(p.y) + start;
    const auto at = [&](long long i) {
      const long long position = i / p.group_channels;
      return position * p.channels + (i - position * p.group_channels);
    };
    V sum = 0, squares = 0;
    for (long long i = threadIdx.x; i < n; i += kRowThreads) sum += read(x[at(i)]);
    const V mean = over_group(sum, kRowThreads, shared, Plus{}) / static_cast<V>(n);
    for (long long i = threadIdx.x; i < n; i += kRowThreads) {
      const V d = read(x[at(i)]) - mean;
      squares += d * d;
    }
    const V variance = over_group(squares, kRowThreads, shared, Plus{}) / static_cast<V>(n);
    const V scale = V(1) / root_of(variance + static_cast<V>(p.eps));
    for (long long i = threadIdx.x; i < n; i += kRowThreads) {
      const long long place = at(i), c = channel + i % p.group_channels;
      V v = (read(x[place]) - mean) * scale;
      if (weight) v *= read(weight[c]);
      if (bias) v += read(bias[c]);
      y[place] = written<T>(v);
    }
  }
}

#define LEGATO_NORM(end, T)                                       \
  LEGATO_KERNEL(layer_norm_##end, RowNormParams, kRowThreads) {   \
    __shared__ Compute<T> shared[kRowThreads / 32];               \
    row_norm<T, false>(p, shared);                                \
  }                                                               \
  LEGATO_KERNEL(rms_norm_##end, RowNormParams, kRowThreads) {     \
    __shared__ Compute<T> shared[kRowThreads / 32];               \
    row_norm<T, true>(p, shared);                                 \
  }                                                               \
  LEGATO_KERNEL(group_norm_##end, GroupNormParams, kRowThreads) { \
    __shared__ Compute<T> shared[kRowThreads / 32];               \
    group_norm<T>(p, shared);                                     \
  }
LEGATO_NORM(f16, f16)
LEGATO_NORM(bf16, bf16)
LEGATO_NORM(f32, float)
LEGATO_NORM(f64, double)

}  // namespace legato::cuda
