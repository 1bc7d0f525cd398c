// Layer norm and RMS norm, and their derivatives, of rows that do not fit the registers of a block:
// a row is read again, from the caches where it is not too long for them.
#include "legato/backends/cuda/packs.cuh"
#include "legato/ops/norm/norm.cuh"

namespace legato::cuda {

/// Squares: of the differences from the mean, added up.
template <class V>
struct CountedMoments {
  V count, mean, squares;

  /// n more values. For RMS norm the mean is kept at 0.
  template <int n>
  LEGATO_INLINE void add(const V* v, bool rms) {
    V m = 0, s = 0;
    if (!rms) {
      for (int j = 0; j < n; ++j) m += v[j];
      m *= V(1) / V(n);
    }
    for (int j = 0; j < n; ++j) s = fma(v[j] - m, v[j] - m, s);
    count += V(n);
    const V d = m - mean, share = V(n) / count;
    squares += s + d * d * (V(n) - share * V(n));
    mean = fma(d, share, mean);
  }
};
template <class V>
LEGATO_INLINE CountedMoments<V> over_block(CountedMoments<V> m, V (*shared)[32]) {
  const V count = over_threads(m.count, kLongThreads, shared[0], Plus{});
  const V mean = over_threads(m.count * m.mean, kLongThreads, shared[1], Plus{}) / count;
  const V d = m.mean - mean;
  return {count, mean, over_threads(m.squares + m.count * d * d, kLongThreads, shared[2], Plus{})};
}

template <class T, int W, bool vjp>
LEGATO_INLINE void norm_long(const LongNormParams& p) {
  using V = Compute<T>;
  __shared__ V shared[6][32];
  const long long row = blockIdx.x / p.parts, part = blockIdx.x % p.parts;
  const T *x = static_cast<const T*>(p.x) + row * p.n, *g = static_cast<const T*>(p.g) + row * p.n,
          *weight = static_cast<const T*>(p.weight), *bias = static_cast<const T*>(p.bias);
  T* y = static_cast<T*>(p.y) + row * p.n;
  const long long first = part * p.part, last = first + p.part < p.n ? first + p.part : p.n;
  CountedMoments<V> m{V(0), V(0), V(0)};
  if (p.pass != 2) {
    each_pack<T, W>(x, first, last, [&](long long, const Stored<T, W>& stored) {
      V v[W];
      unpack<T, W>(stored, v);
      m.template add<W>(v, p.rms);
    });
    m = over_block(m, shared);
  }
  if (p.pass) {
    CountedMoments<V>* moments = static_cast<CountedMoments<V>*>(p.moments) + row * p.parts;
    if (p.pass == 1) {
      if (threadIdx.x == 0) moments[part] = m;
      return;
    }
    for (long long i = threadIdx.x; i < p.parts; i += kLongThreads) {
      const CountedMoments<V> other = moments[i];
      const V both = m.count + other.count, d = other.mean - m.mean;
      m.squares += other.squares + d * d * (m.count * (other.count / both));
      m.mean = fma(d, other.count / both, m.mean);
      m.count = both;
    }
    m = over_block(m, shared + 3);
  }
  const V count = static_cast<V>(p.n), mean = m.mean;
  const V scale = V(1) / root_of(m.squares / count + static_cast<V>(p.eps));
  if constexpr (!vjp) {
    each_pack<T, W>(x, first, last, [&](long long at, const Stored<T, W>& stored) {
      V v[W], w[W], b[W];
      unpack<T, W>(stored, v);
      if (weight) unpack<T, W>(load<T, W>(weight + at), w);
      if (bias) unpack<T, W>(load<T, W>(bias + at), b);
      for (int j = 0; j < W; ++j) {
        v[j] = (v[j] - mean) * scale;
        if (weight) v[j] *= w[j];
        if (bias) v[j] += b[j];
      }
      store<T, W>(y + at, v);
    });
  } else {
    if (threadIdx.x == 0 && p.moments) {
      V* moments = static_cast<V*>(p.moments) + row * 2;
      moments[0] = mean;
      moments[1] = scale;
    }
    const auto weighted = [&](long long at, V* wg) {
      V w[W];
      unpack<T, W>(load<T, W>(g + at), wg);
      if (weight) unpack<T, W>(load<T, W>(weight + at), w);
      for (int j = 0; j < W; ++j)
        if (weight) wg[j] *= w[j];
    };
    V wg_sum = 0, wgx_sum = 0;
    each_pack<T, W>(x, first, last, [&](long long at, const Stored<T, W>& stored) {
      V v[W], wg[W];
      unpack<T, W>(stored, v);
      weighted(at, wg);
      for (int j = 0; j < W; ++j) {
        wg_sum += wg[j];
        wgx_sum = fma(wg[j], (v[j] - mean) * scale, wgx_sum);
      }
    });
    V c1 = over_threads(wg_sum, kLongThreads, shared[3], Plus{}) / count;
    const V c2 = over_threads(wgx_sum, kLongThreads, shared[4], Plus{}) / count;
    if (p.rms) c1 = V(0);
    each_pack<T, W>(x, first, last, [&](long long at, const Stored<T, W>& stored) {
      V v[W], wg[W];
      unpack<T, W>(stored, v);
      weighted(at, wg);
      for (int j = 0; j < W; ++j) v[j] = scale * (wg[j] - c1 - (v[j] - mean) * scale * c2);
      store<T, W>(y + at, v);
    });
  }
}

template <class T, int W>
LEGATO_INLINE void norm_columns(const NormColumnParams& p) {
  using V = Compute<T>;
  constexpr int lines = kNormColumnThreads / kNormColumns, kAtOnce = 4;
  __shared__ V shared[2][kNormColumnThreads * W];
  const int thread = static_cast<int>(threadIdx.x), line = thread / kNormColumns;
  const long long tiles = (p.n + kNormColumns * W - 1) / (kNormColumns * W),
                  tile = blockIdx.x % tiles, part = blockIdx.x / tiles;
  const long long column = (tile * kNormColumns + thread % kNormColumns) * W;
  const long long first = p.rows * part / p.parts, last = p.rows * (part + 1) / p.parts;
  const T *x = static_cast<const T*>(p.x) + column, *g = static_cast<const T*>(p.g) + column;
  const V* moments = static_cast<const V*>(p.moments);
  V dw[W], db[W];
  for (int j = 0; j < W; ++j) dw[j] = db[j] = V(0);
  for (long long row = first + line; row < last && column < p.n; row += kAtOnce * lines) {
    Stored<T, W> xs[kAtOnce], gs[kAtOnce];
    for (int k = 0; k < kAtOnce; ++k) {
      const long long at = row + k * lines;
      if (at < last) xs[k] = load<T, W>(x + at * p.n), gs[k] = load<T, W>(g + at * p.n);
    }
    for (int k = 0; k < kAtOnce; ++k) {
      const long long at = row + k * lines;
      if (at >= last) continue;
      const V mean = moments[at * 2], scale = moments[at * 2 + 1];
      V v[W], c[W];
      unpack<T, W>(xs[k], v);
      unpack<T, W>(gs[k], c);
      for (int j = 0; j < W; ++j) {
        dw[j] = fma(c[j], (v[j] - mean) * scale, dw[j]);
        db[j] += c[j];
      }
    }
  }
  for (int j = 0; j < W; ++j) {
    shared[0][thread * W + j] = dw[j];
    shared[1][thread * W + j] = db[j];
  }
  __syncthreads();
  V* sums = static_cast<V*>(p.sums);
  for (int i = thread; i < kNormColumns * W; i += kNormColumnThreads) {
    const long long c = tile * kNormColumns * W + i;
    if (c >= p.n) continue;
    for (int s = 0; s < 2; ++s) {
      V sum = 0;
      for (int l = 0; l < lines; ++l) sum += shared[s][l * kNormColumns * W + i];
      sums[(s * p.parts + part) * p.n + c] = sum;
    }
  }
}

#define LEGATO_NORM_LONG(end, T, W)                                                \
  LEGATO_KERNEL(norm_long_w##W##_##end, LongNormParams, kLongThreads) {            \
    norm_long<T, W, false>(p);                                                     \
  }                                                                                \
  LEGATO_KERNEL(norm_long_vjp_w##W##_##end, LongNormParams, kLongThreads) {        \
    norm_long<T, W, true>(p);                                                      \
  }                                                                                \
  LEGATO_KERNEL(norm_columns_w##W##_##end, NormColumnParams, kNormColumnThreads) { \
    norm_columns<T, W>(p);                                                         \
  }
LEGATO_NORM_LONG(f16, f16, 8)
LEGATO_NORM_LONG(f16, f16, 1)
LEGATO_NORM_LONG(bf16, bf16, 8)
LEGATO_NORM_LONG(bf16, bf16, 1)
LEGATO_NORM_LONG(f32, float, 4)
LEGATO_NORM_LONG(f32, float, 1)
LEGATO_NORM_LONG(f64, double, 2)
LEGATO_NORM_LONG(f64, double, 1)

}  // namespace legato::cuda
