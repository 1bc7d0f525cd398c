// start + i * step.
#include "legato/backends/cuda/lane.cuh"
#include "legato/ops/create/create.cuh"

namespace legato::cuda {

template <class T>
LEGATO_INLINE T from_double(double v) {
  return store<T>(as<T>(pointwise::Lane<double>(v)));
}

template <class T>
LEGATO_INLINE void arange(const ArangeParams& p) {
  const long long step = static_cast<long long>(gridDim.x) * blockDim.x;
  for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < p.n;
       i += step) {
    T v;
    if (p.real) {
      const double at = p.start + static_cast<double>(i) * p.step;
      v = from_double<T>(p.exact_stop && i == p.n - 1 ? p.stop : at);
    } else {
      const uint64_t at = p.start_bits + static_cast<uint64_t>(i) * p.step_bits;
      if constexpr (std::is_integral_v<T>)
        v = static_cast<T>(at);
      else
        v = from_double<T>(static_cast<double>(static_cast<int64_t>(at)));
    }
    static_cast<T*>(p.to)[i] = v;
  }
}

#define LEGATO_ARANGE(end, T) \
  LEGATO_KERNEL(arange_##end, ArangeParams, 256) { arange<T>(p); }
LEGATO_ARANGE(u8, uint8_t)
LEGATO_ARANGE(u16, uint16_t)
LEGATO_ARANGE(u32, uint32_t)
LEGATO_ARANGE(u64, uint64_t)
LEGATO_ARANGE(i8, int8_t)
LEGATO_ARANGE(i16, int16_t)
LEGATO_ARANGE(i32, int32_t)
LEGATO_ARANGE(i64, int64_t)
LEGATO_ARANGE(f16, f16)
LEGATO_ARANGE(bf16, bf16)
LEGATO_ARANGE(f32, float)
LEGATO_ARANGE(f64, double)
LEGATO_ARANGE(c64, c64)
LEGATO_ARANGE(c128, c128)

}  // namespace legato::cuda
