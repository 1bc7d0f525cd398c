// Concatenation of parts without gaps: one launch for all of them.
#include "legato/backends/cuda/divide.cuh"
#include "legato/backends/cuda/element.cuh"
#include "legato/ops/concat/concat.cuh"

namespace legato::cuda {

struct alignas(16) ConcatPack {
  unsigned at[4];
};

LEGATO_KERNEL(concat_packs, ConcatParams, 256) {
  const unsigned i = blockIdx.x * 256 + threadIdx.x;
  if (i >= p.n) return;
  const unsigned row = divide(i, p.row), at = i - row * p.row_packs;
  int part = 0;
#pragma unroll
  for (int k = 1; k < kConcatParts; ++k)
    if (k < p.parts && p.first[k] <= at) part = k;
  const auto* from = static_cast<const ConcatPack*>(p.from[part]);
  static_cast<ConcatPack*>(p.to)[i] =
      from[static_cast<long long>(row) * p.width[part] + (at - p.first[part])];
}

}  // namespace legato::cuda
