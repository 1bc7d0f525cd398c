// What comes before a user's kernel: the names that it may use beside those of CUDA. NVRTC compiles
// it in a few milliseconds, without any header; where the user's code includes headers, CUDA's own
// half types and cooperative groups take the place of these.
#pragma once

namespace legato::cuda {

inline constexpr char kPreludeMacros[] = R"cuda(
#ifdef LEGATO_EMULATED
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>
#define LEGATO_DEVICE static inline
#define LEGATO_KERNEL(name, Params, threads)                                                      \
  static void name##_body(const Params& p);                                                       \
  extern "C" __attribute__((visibility("default"))) const unsigned long legato_size_##name =      \
      sizeof(Params);                                                                             \
  extern "C" __attribute__((visibility("default"))) void legato_kernel_##name(void** arguments) { \
    name##_body(*static_cast<const Params*>(arguments[0]));                                       \
  }                                                                                               \
  static void name##_body(const Params& p)
using std::max;
using std::min;
#else
#define LEGATO_DEVICE static __device__ inline
#define LEGATO_KERNEL(name, Params, threads) \
  extern "C" __global__ void __launch_bounds__(threads) name(const __grid_constant__ Params p)
#endif
)cuda";

// With CUDA's headers.
inline constexpr char kPreludeHeaders[] = R"cuda(
#ifndef LEGATO_EMULATED
#include <cooperative_groups.h>
#include <cuda/std/cstdint>
#include <cuda/std/type_traits>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
using cuda::std::int16_t;
using cuda::std::int32_t;
using cuda::std::int64_t;
using cuda::std::int8_t;
using cuda::std::uint16_t;
using cuda::std::uint32_t;
using cuda::std::uint64_t;
using cuda::std::uint8_t;
#define LEGATO_HAS_HEADERS
#endif
)cuda";

inline constexpr char kPreludeTypes[] = R"cuda(
#ifndef LEGATO_HAS_HEADERS
#ifndef LEGATO_EMULATED
using int8_t = signed char;
using int16_t = short;
using int32_t = int;
using int64_t = long;
using uint8_t = unsigned char;
using uint16_t = unsigned short;
using uint32_t = unsigned int;
using uint64_t = unsigned long;
namespace std {
template <class A, class B>
inline constexpr bool is_same_v = false;
template <class A>
inline constexpr bool is_same_v<A, A> = true;
template <bool c, class A, class B>
struct conditional { using type = A; };
template <class A, class B>
struct conditional<false, A, B> { using type = B; };
template <bool c, class A, class B>
using conditional_t = typename conditional<c, A, B>::type;
}
#endif

struct __half {
  uint16_t bits;
  __half() = default;
  template <class V>
  __device__ __half(V v) { store(static_cast<float>(v)); }
  __device__ operator float() const {
#ifdef LEGATO_EMULATED
    return static_cast<float>(__builtin_bit_cast(_Float16, bits));
#else
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(bits));
    return f;
#endif
  }
  __device__ void store(float f) {
#ifdef LEGATO_EMULATED
    bits = __builtin_bit_cast(uint16_t, static_cast<_Float16>(f));
#else
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(f));
#endif
  }
  template <class V> __device__ __half& operator+=(V v) { store(float(*this) + float(v)); return *this; }
  template <class V> __device__ __half& operator-=(V v) { store(float(*this) - float(v)); return *this; }
  template <class V> __device__ __half& operator*=(V v) { store(float(*this) * float(v)); return *this; }
  template <class V> __device__ __half& operator/=(V v) { store(float(*this) / float(v)); return *this; }
};
struct __nv_bfloat16 {
  uint16_t bits;
  __nv_bfloat16() = default;
  template <class V>
  __device__ __nv_bfloat16(V v) { store(static_cast<float>(v)); }
  __device__ operator float() const {
    return __builtin_bit_cast(float, static_cast<uint32_t>(bits) << 16);
  }
  __device__ void store(float f) {
    const uint32_t u = __builtin_bit_cast(uint32_t, f);
    bits = (u & 0x7fffffffu) > 0x7f800000u
               ? static_cast<uint16_t>((u >> 16) | 0x40u)
               : static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
  template <class V> __device__ __nv_bfloat16& operator+=(V v) { store(float(*this) + float(v)); return *this; }
  template <class V> __device__ __nv_bfloat16& operator-=(V v) { store(float(*this) - float(v)); return *this; }
  template <class V> __device__ __nv_bfloat16& operator*=(V v) { store(float(*this) * float(v)); return *this; }
  template <class V> __device__ __nv_bfloat16& operator/=(V v) { store(float(*this) / float(v)); return *this; }
};
LEGATO_DEVICE __half __float2half(float f) { return __half(f); }
LEGATO_DEVICE float __half2float(__half h) { return float(h); }
LEGATO_DEVICE __nv_bfloat16 __float2bfloat16(float f) { return __nv_bfloat16(f); }
LEGATO_DEVICE float __bfloat162float(__nv_bfloat16 b) { return float(b); }

namespace cooperative_groups {
struct thread_block {
  __device__ void sync() const { __syncthreads(); }
  __device__ unsigned thread_rank() const {
    return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  }
  __device__ unsigned size() const { return blockDim.x * blockDim.y * blockDim.z; }
  __device__ unsigned num_threads() const { return size(); }
  __device__ dim3 group_index() const { return blockIdx_(); }
  __device__ dim3 thread_index() const { return dim3{threadIdx.x, threadIdx.y, threadIdx.z}; }
  __device__ dim3 group_dim() const { return dim3{blockDim.x, blockDim.y, blockDim.z}; }
  __device__ dim3 dim_threads() const { return group_dim(); }
  __device__ static dim3 blockIdx_() { return dim3{blockIdx.x, blockIdx.y, blockIdx.z}; }
};
LEGATO_DEVICE thread_block this_thread_block() { return {}; }
struct grid_group {
  __device__ unsigned long long block_rank() const {
    return blockIdx.x + static_cast<unsigned long long>(gridDim.x) * (blockIdx.y + static_cast<unsigned long long>(gridDim.y) * blockIdx.z);
  }
  __device__ unsigned long long num_blocks() const {
    return static_cast<unsigned long long>(gridDim.x) * gridDim.y * gridDim.z;
  }
  __device__ unsigned long long thread_rank() const {
    return block_rank() * thread_block().size() + thread_block().thread_rank();
  }
  __device__ unsigned long long size() const { return num_blocks() * thread_block().size(); }
  __device__ unsigned long long num_threads() const { return size(); }
};
LEGATO_DEVICE grid_group this_grid() { return {}; }
template <unsigned n>
struct thread_block_tile {
  __device__ unsigned thread_rank() const { return thread_block().thread_rank() % n; }
  __device__ static constexpr unsigned size() { return n; }
  __device__ static constexpr unsigned num_threads() { return n; }
  __device__ unsigned meta_group_rank() const { return thread_block().thread_rank() / n; }
  __device__ unsigned meta_group_size() const { return (thread_block().size() + n - 1) / n; }
  __device__ unsigned mask() const {
    return n == 32 ? ~0u : ((1u << n % 32) - 1) << (thread_block().thread_rank() % 32 / n * n);
  }
  __device__ void sync() const { __syncwarp(mask()); }
  template <class V> __device__ V shfl(V v, int from) const { return __shfl_sync(mask(), v, from, n); }
  template <class V> __device__ V shfl_xor(V v, int m) const { return __shfl_xor_sync(mask(), v, m); }
  template <class V> __device__ V shfl_down(V v, int by) const { return __shfl_down_sync(mask(), v, by, n); }
  template <class V> __device__ V shfl_up(V v, int by) const { return __shfl_up_sync(mask(), v, by, n); }
  __device__ unsigned ballot(int p) const {
    return (__ballot_sync(mask(), p) & mask()) >> (thread_block().thread_rank() % 32 / n * n);
  }
  __device__ bool any(int p) const { return ballot(p) != 0; }
  __device__ bool all(int p) const { return ballot(!p) == 0; }
};
template <unsigned n>
LEGATO_DEVICE thread_block_tile<n> tiled_partition(const thread_block&) { return {}; }
}
#endif

namespace cg = cooperative_groups;
using float16_t = __half;
using bfloat16_t = __nv_bfloat16;
template <class V>
struct alignas(2 * sizeof(V)) ComplexValue {
  V re, im;
  ComplexValue() = default;
  __device__ ComplexValue(V r, V i = 0) : re(r), im(i) {}
  __device__ V real() const { return re; }
  __device__ V imag() const { return im; }
  friend __device__ ComplexValue operator+(ComplexValue a, ComplexValue b) { return {a.re + b.re, a.im + b.im}; }
  friend __device__ ComplexValue operator-(ComplexValue a, ComplexValue b) { return {a.re - b.re, a.im - b.im}; }
  friend __device__ ComplexValue operator*(ComplexValue a, ComplexValue b) {
    return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
  }
};
using complex64_t = ComplexValue<float>;
using complex128_t = ComplexValue<double>;
static constexpr float inf = __builtin_bit_cast(float, 0x7f800000);

template <class V, int n>
struct Sizes {
  V values[n > 0 ? n : 1];
  __device__ const V& operator[](int i) const { return values[i]; }
  __device__ const V* data() const { return values; }
  __device__ static constexpr int size() { return n; }
};
template <class I>
LEGATO_DEVICE I elem_to_loc(I elem, const int32_t* shape, const int64_t* strides, int ndim) {
  I at = 0;
  for (int i = ndim - 1; i >= 0; --i) {
    at += (elem % shape[i]) * static_cast<I>(strides[i]);
    elem /= shape[i];
  }
  return at;
}
template <class I, int n>
LEGATO_DEVICE I elem_to_loc(I elem, const Sizes<int32_t, n>& shape, const Sizes<int64_t, n>& strides) {
  return elem_to_loc(elem, shape.data(), strides.data(), n);
}
)cuda";

}  // namespace legato::cuda
