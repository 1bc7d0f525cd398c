// Running sums, products and extremes. A block takes a long row in pieces of 256 elements: each
// warp scans by shuffles, the warps' totals are combined in order, and the piece's total is carried
// on. Sums and products of float32 run in double, as on the CPU.
#include "legato/backends/cuda/rows.cuh"
#include "legato/ops/scan/scan.cuh"

namespace legato::cuda {

template <class T>
inline constexpr bool is_cx = std::is_same_v<T, c64> || std::is_same_v<T, c128>;

template <class T>
struct WideOf {
  using type = std::conditional_t<std::is_integral_v<T>,
                                  std::conditional_t<(sizeof(T) < 8), uint32_t, uint64_t>, T>;
};
template <>
struct WideOf<float> {
  using type = double;
};
template <>
struct WideOf<f16> {
  using type = float;
};
template <>
struct WideOf<bf16> {
  using type = float;
};
template <>
struct WideOf<c64> {
  using type = c128;
};

template <class A, class T>
LEGATO_INLINE A widened(T v) {
  if constexpr (is_cx<T>)
    return {v.re, v.im};
  else
    return static_cast<A>(read(v));
}
template <class T, class A>
LEGATO_INLINE T narrowed(A a) {
  if constexpr (is_cx<T>)
    return {static_cast<decltype(T::re)>(a.re), static_cast<decltype(T::re)>(a.im)};
  else if constexpr (std::is_same_v<T, f16>)
    return to_f16(static_cast<float>(a));
  else if constexpr (std::is_same_v<T, bf16>)
    return to_bf16(static_cast<float>(a));
  else if constexpr (std::is_same_v<T, bool>)
    return a != 0;
  else
    return static_cast<T>(a);
}

template <class T>
struct Sum {
  using A = typename WideOf<T>::type;
  static LEGATO_INLINE A none() {
    if constexpr (is_cx<A>)
      return {0, 0};
    else
      return A(0);
  }
  static LEGATO_INLINE A combine(A a, A b) {
    if constexpr (is_cx<A>)
      return {a.re + b.re, a.im + b.im};
    else
      return a + b;
  }
};
template <class T>
struct Prod {
  using A = typename WideOf<T>::type;
  static LEGATO_INLINE A none() {
    if constexpr (is_cx<A>)
      return {1, 0};
    else
      return A(1);
  }
  static LEGATO_INLINE A combine(A a, A b) {
    if constexpr (is_cx<A>)
      return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
    else
      return a * b;
  }
};

/// In words: shuffles take numbers only.
template <class A>
LEGATO_INLINE A shuffle_up(A v, int by) {
  constexpr int words = (sizeof(A) + 3) / 4;
  struct Words {
    uint32_t at[words];
  } w{};
  memcpy(&w, &v, sizeof v);
#pragma unroll
  for (int i = 0; i < words; ++i) w.at[i] = __shfl_up_sync(~0u, w.at[i], by);
  memcpy(&v, &w, sizeof v);
  return v;
}

template <class T, class F>
LEGATO_INLINE void scan(const ScanParams& p, unsigned char* memory) {
  using A = typename F::A;
  A* totals = reinterpret_cast<A*>(memory);  // one a warp
  const T* x = static_cast<const T*>(p.x);
  T* y = static_cast<T*>(p.y);
  const long long rows = p.outer * p.inner;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  if (p.group == 1) {
    const long long step = static_cast<long long>(gridDim.x) * blockDim.x;
    for (long long row = static_cast<long long>(blockIdx.x) * blockDim.x + thread; row < rows;
         row += step) {
      const long long start = row / p.inner * p.n * p.inner + row % p.inner;
      A acc = F::none();
      for (long long i = 0; i < p.n; ++i) {
        const long long at = start + (p.reverse ? p.n - 1 - i : i) * p.inner;
        const A v = widened<A>(x[at]), before = acc;
        acc = F::combine(acc, v);
        y[at] = narrowed<T>(p.inclusive ? acc : before);
      }
    }
    return;
  }
  for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
    const long long start = row / p.inner * p.n * p.inner + row % p.inner;
    A carry = F::none();
    for (long long piece = 0; piece < p.n; piece += kScanThreads) {
      const long long i = piece + thread, at = start + (p.reverse ? p.n - 1 - i : i) * p.inner;
      A v = i < p.n ? widened<A>(x[at]) : F::none();
      for (int by = 1; by < 32; by *= 2) {
        const A other = shuffle_up(v, by);
        if (lane >= by) v = F::combine(other, v);
      }
      A before = shuffle_up(v, 1);
      if (lane == 0) before = F::none();
      if (lane == 31) totals[warp] = v;
      __syncthreads();
      A earlier = carry;
      for (int w = 0; w < warp; ++w) earlier = F::combine(earlier, totals[w]);
      for (int w = 0; w < kScanThreads / 32; ++w) carry = F::combine(carry, totals[w]);
      if (i < p.n) y[at] = narrowed<T>(F::combine(earlier, p.inclusive ? v : before));
      __syncthreads();
    }
  }
}

#define LEGATO_SCAN(end, T)                                                         \
  LEGATO_KERNEL(cumsum_##end, ScanParams, kScanThreads) {                           \
    __shared__ __attribute__((aligned(16))) unsigned char totals[kScanThreads / 2]; \
    scan<T, Sum<T>>(p, totals);                                                     \
  }                                                                                 \
  LEGATO_KERNEL(cumprod_##end, ScanParams, kScanThreads) {                          \
    __shared__ __attribute__((aligned(16))) unsigned char totals[kScanThreads / 2]; \
    scan<T, Prod<T>>(p, totals);                                                    \
  }
LEGATO_SCAN(bool, bool)
LEGATO_SCAN(u8, uint8_t)
LEGATO_SCAN(u16, uint16_t)
LEGATO_SCAN(u32, uint32_t)
LEGATO_SCAN(u64, uint64_t)
LEGATO_SCAN(f16, f16)
LEGATO_SCAN(bf16, bf16)
LEGATO_SCAN(f32, float)
LEGATO_SCAN(f64, double)
LEGATO_SCAN(c64, c64)
LEGATO_SCAN(c128, c128)

}  // namespace legato::cuda
