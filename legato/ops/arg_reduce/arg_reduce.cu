// The place of the first nan, or else of the first extreme, of each row.
#include "legato/backends/cuda/rows.cuh"
#include "legato/ops/arg_reduce/arg_reduce.cuh"

namespace legato::cuda {

template <class V>
LEGATO_INLINE bool is_nan(V v) {
  if constexpr (std::is_same_v<V, c64> || std::is_same_v<V, c128>)
    return v.re != v.re || v.im != v.im;
  else
    return v != v;
}
template <class V>
LEGATO_INLINE bool less(V a, V b) {
  if constexpr (std::is_same_v<V, c64> || std::is_same_v<V, c128>)
    return a.re < b.re || (a.re == b.re && a.im < b.im);
  else
    return a < b;
}

/// Whether the element at `b` is the better answer than that at `a`. Either may be -1: none.
template <class T>
LEGATO_INLINE bool better(const T* x, long long stride, long long a, long long b, bool largest) {
  if (b < 0 || a < 0) return b >= 0;
  const auto va = read(x[a * stride]), vb = read(x[b * stride]);
  const bool na = is_nan(va), nb = is_nan(vb);
  if (na || nb) return na && nb ? b < a : nb;
  if (largest ? less(va, vb) : less(vb, va)) return true;
  if (largest ? less(vb, va) : less(va, vb)) return false;
  return b < a;
}

template <class T>
LEGATO_INLINE void arg_reduce(const ArgReduceParams& p, long long* shared) {
  const int thread = static_cast<int>(threadIdx.x), group = p.group,
            per_block = kRowThreads / group;
  const long long rows = p.outer * p.inner, blocks = (rows + per_block - 1) / per_block;
  for (long long b = blockIdx.x; b < blocks; b += gridDim.x) {
    const long long row = b * per_block + thread / group;
    const bool valid = row < rows;
    const long long o = valid ? row / p.inner : 0;
    const T* x = static_cast<const T*>(p.x) + o * p.n * p.inner + (valid ? row - o * p.inner : 0);
    long long best = -1;
    if (valid)
      for (long long i = thread % group; i < p.n; i += group)
        if (better(x, p.inner, best, i, p.largest)) best = i;
    best = over_group(best, group, shared, [&](long long u, long long v) {
      return valid && better(x, p.inner, u, v, p.largest) ? v : u;
    });
    if (valid && thread % group == 0) p.out[row] = static_cast<unsigned>(best);
  }
}

#define LEGATO_ARG(end, T)                                 \
  LEGATO_KERNEL(arg_##end, ArgReduceParams, kRowThreads) { \
    __shared__ long long shared[kRowThreads / 32];         \
    arg_reduce<T>(p, shared);                              \
  }
LEGATO_ARG(bool, bool)
LEGATO_ARG(u8, uint8_t)
LEGATO_ARG(u16, uint16_t)
LEGATO_ARG(u32, uint32_t)
LEGATO_ARG(u64, uint64_t)
LEGATO_ARG(i8, int8_t)
LEGATO_ARG(i16, int16_t)
LEGATO_ARG(i32, int32_t)
LEGATO_ARG(i64, int64_t)
LEGATO_ARG(f16, f16)
LEGATO_ARG(bf16, bf16)
LEGATO_ARG(f32, float)
LEGATO_ARG(f64, double)
LEGATO_ARG(c64, c64)
LEGATO_ARG(c128, c128)

}  // namespace legato::cuda
