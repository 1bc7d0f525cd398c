// Matrix products of any dtype and any strides, through tiles in shared memory: the form that every
// product has. A block does a tile of 32 x 32 outputs, a thread four of them.
#include "legato/backends/cuda/rows.cuh"
#include "legato/ops/matmul/matmul.cuh"

namespace legato::cuda {

template <class A>
inline constexpr bool is_cx = std::is_same_v<A, c64> || std::is_same_v<A, c128>;

template <class A>
LEGATO_INLINE A zero() {
  if constexpr (is_cx<A>)
    return {0, 0};
  else
    return A(0);
}
template <class A>
LEGATO_INLINE A add_product(A sum, A x, A y) {
  if constexpr (is_cx<A>)
    return {sum.re + (x.re * y.re - x.im * y.im), sum.im + (x.re * y.im + x.im * y.re)};
  else if constexpr (std::is_integral_v<A>)  // wraps
    return static_cast<A>(static_cast<uint64_t>(sum) +
                          static_cast<uint64_t>(x) * static_cast<uint64_t>(y));
  else if constexpr (std::is_same_v<A, float>)
    return ::fmaf(x, y, sum);
  else
    return ::fma(x, y, sum);
}
template <class A>
LEGATO_INLINE A combine(A product, A e, double alpha, double beta) {
  if constexpr (is_cx<A>) {
    using R = decltype(product.re);
    return {static_cast<R>(alpha) * product.re + static_cast<R>(beta) * e.re,
            static_cast<R>(alpha) * product.im + static_cast<R>(beta) * e.im};
  } else {
    return static_cast<A>(static_cast<A>(alpha) * product + static_cast<A>(beta) * e);
  }
}

template <class T>
LEGATO_INLINE void matmul(const MatmulParams& p, Compute<T> (*as)[kMatmulTile + 1],
                          Compute<T> (*bs)[kMatmulTile + 1]) {
  using A = Compute<T>;
  const long long tiles_n = (p.n + kMatmulTile - 1) / kMatmulTile,
                  tiles_m = (p.m + kMatmulTile - 1) / kMatmulTile;
  long long block = blockIdx.x;
  const long long col0 = block % tiles_n * kMatmulTile;
  block /= tiles_n;
  const long long row0 = block % tiles_m * kMatmulTile;
  const long long batch = block / tiles_m;
  long long rest = batch, a_at = 0, b_at = 0, e_at = 0;
  for (int axis = p.axes - 1; axis >= 0; --axis) {
    const long long at = rest % p.batch_size[axis];
    rest /= p.batch_size[axis];
    a_at += at * p.a_batch[axis];
    b_at += at * p.b_batch[axis];
    e_at += at * p.e_batch[axis];
  }
  const T *a = static_cast<const T*>(p.a) + a_at, *b = static_cast<const T*>(p.b) + b_at;
  const int thread = static_cast<int>(threadIdx.x), x = thread % kMatmulTile,
            y = thread / kMatmulTile;
  constexpr int step = kMatmulThreads / kMatmulTile, each = kMatmulTile / step;
  A sums[each];
  for (int i = 0; i < each; ++i) sums[i] = zero<A>();
  for (long long k0 = 0; k0 < p.k; k0 += kMatmulDepth) {
    // Neighbouring threads read along the operand's fast axis.
    for (int e = thread; e < kMatmulTile * kMatmulDepth; e += kMatmulThreads) {
      const int r = p.a_col == 1 ? e / kMatmulDepth : e % kMatmulTile,
                c = p.a_col == 1 ? e % kMatmulDepth : e / kMatmulTile;
      const bool inside = row0 + r < p.m && k0 + c < p.k;
      as[c][r] = inside ? read(a[(row0 + r) * p.a_row + (k0 + c) * p.a_col]) : zero<A>();
    }
    for (int e = thread; e < kMatmulTile * kMatmulDepth; e += kMatmulThreads) {
      const int c = p.b_row == 1 ? e / kMatmulDepth : e % kMatmulTile,
                r = p.b_row == 1 ? e % kMatmulDepth : e / kMatmulTile;
      const bool inside = col0 + c < p.n && k0 + r < p.k;
      bs[r][c] = inside ? read(b[(k0 + r) * p.b_row + (col0 + c) * p.b_col]) : zero<A>();
    }
    __syncthreads();
    for (int k = 0; k < kMatmulDepth; ++k)
      for (int i = 0; i < each; ++i) sums[i] = add_product(sums[i], as[k][y + i * step], bs[k][x]);
    __syncthreads();
  }
  T* d = static_cast<T*>(p.d) + batch * p.m * p.n;
  for (int i = 0; i < each; ++i) {
    const long long row = row0 + y + i * step, col = col0 + x;
    if (row >= p.m || col >= p.n) continue;
    A v = sums[i];
    if (p.e)
      v = combine(v, read(static_cast<const T*>(p.e)[e_at + row * p.e_row + col * p.e_col]),
                  p.alpha, p.beta);
    d[row * p.n + col] = written<T>(v);
  }
}

#define LEGATO_MATMUL(end, T)                                 \
  LEGATO_KERNEL(matmul_##end, MatmulParams, kMatmulThreads) { \
    __shared__ Compute<T> a[kMatmulDepth][kMatmulTile + 1];   \
    __shared__ Compute<T> b[kMatmulDepth][kMatmulTile + 1];   \
    matmul<T>(p, a, b);                                       \
  }
LEGATO_MATMUL(u8, uint8_t)
LEGATO_MATMUL(u16, uint16_t)
LEGATO_MATMUL(u32, uint32_t)
LEGATO_MATMUL(u64, uint64_t)
LEGATO_MATMUL(f16, f16)
LEGATO_MATMUL(bf16, bf16)
LEGATO_MATMUL(f32, float)
LEGATO_MATMUL(f64, double)
LEGATO_MATMUL(c64, c64)
LEGATO_MATMUL(c128, c128)

}  // namespace legato::cuda
