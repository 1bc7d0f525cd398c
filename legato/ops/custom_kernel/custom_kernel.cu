// Fills memory with one element.
#include "legato/backends/cuda/lane.cuh"
#include "legato/ops/custom_kernel/custom_kernel.cuh"

namespace legato::cuda {

struct alignas(16) Wide {
  unsigned long long words[2];
};

#define LEGATO_FILL(bytes, T)                                                                  \
  LEGATO_KERNEL(fill_##bytes, FillParams, 256) {                                               \
    const T v = *reinterpret_cast<const T*>(p.value);                                          \
    const long long step = static_cast<long long>(gridDim.x) * blockDim.x;                     \
    for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < p.n; \
         i += step)                                                                            \
      static_cast<T*>(p.to)[i] = v;                                                            \
  }
LEGATO_FILL(1, uint8_t)
LEGATO_FILL(2, uint16_t)
LEGATO_FILL(4, uint32_t)
LEGATO_FILL(8, uint64_t)
LEGATO_FILL(16, Wide)

}  // namespace legato::cuda
