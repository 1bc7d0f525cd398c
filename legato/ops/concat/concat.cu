// Concatenation: one launch for all parts.
#include "legato/backends/cuda/divide.cuh"
#include "legato/backends/cuda/lane.cuh"
#include "legato/ops/concat/concat.cuh"

namespace legato::cuda {

using Words = Pack<uint32_t, 4>;

LEGATO_KERNEL(concat_packs, ConcatParams, 256) {
  const unsigned i = blockIdx.x * 256 + threadIdx.x;
  if (i >= p.n) return;
  const unsigned row = divide(i, p.row), at = i - row * p.row_packs;
  int part = 0;
#pragma unroll
  for (int k = 1; k < kConcatParts; ++k)
    if (k < p.parts && p.first[k] <= at) part = k;
  const auto* from = static_cast<const Words*>(p.from[part]);
  static_cast<Words*>(p.to)[i] =
      from[static_cast<long long>(row) * p.width[part] + (at - p.first[part])];
}

/// The 16 bytes from the `shift`-th of two packs on.
LEGATO_INLINE Words between(const Words& a, const Words& b, unsigned shift) {
  uint32_t w[8];
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    w[k] = a.at[k];
    w[k + 4] = b.at[k];
  }
  if (shift & 8) {
#pragma unroll
    for (int k = 0; k < 6; ++k) w[k] = w[k + 2];
  }
  if (shift & 4) {
#pragma unroll
    for (int k = 0; k < 5; ++k) w[k] = w[k + 1];
  }
  Words v;
  const unsigned bits = (shift & 3) * 8;
#pragma unroll
  for (int k = 0; k < 4; ++k)
    v.at[k] = static_cast<uint32_t>((static_cast<uint64_t>(w[k + 1]) << 32 | w[k]) >> bits);
  return v;
}

/// A thread does 16 bytes of the result. They come of the two packs that hold them, which the next
/// thread reads as well, or, where they are of two parts, or memory might end, one by one.
template <class T>
LEGATO_INLINE void concat_lines(const ConcatLinesParams& p) {
  const unsigned i = blockIdx.x * 256 + threadIdx.x;
  if (i >= p.n) return;
  const unsigned row = divide(i, p.row), at = (i - row * p.row_packs) * 16;
  int part = 0;
#pragma unroll
  for (int k = 1; k < kConcatParts; ++k)
    if (p.first[k] <= at) part = k;
  const unsigned begin = p.first[part], end = p.first[part + 1];
  const char* from = p.from[part] + row * p.stride[part] + (at - begin);
  const auto shift = static_cast<unsigned>(reinterpret_cast<uintptr_t>(from) & 15);
  const bool inside = (at - begin >= shift || row > 0) &&
                      (at + 32 <= end + shift || shift == 0 || row + 1 < p.rows);
  auto* to = static_cast<Words*>(p.to) + i;
  if (at + 16 <= end && inside) {
    const auto* packs = reinterpret_cast<const Words*>(from - shift);
    const Words first = load_pack<uint32_t, 4>(packs[0].at),
                second = shift ? load_pack<uint32_t, 4>(packs[1].at) : first;
    *to = between(first, second, shift);
    return;
  }
  constexpr unsigned size = sizeof(T);
  auto* elements = reinterpret_cast<T*>(to);
  for (unsigned e = 0; e < 16; e += size) {
    while (at + e >= p.first[part + 1]) ++part;
    elements[e / size] =
        *reinterpret_cast<const T*>(p.from[part] + row * p.stride[part] + (at + e - p.first[part]));
  }
}
LEGATO_KERNEL(concat_lines_1, ConcatLinesParams, 256) { concat_lines<uint8_t>(p); }
LEGATO_KERNEL(concat_lines_2, ConcatLinesParams, 256) { concat_lines<uint16_t>(p); }
LEGATO_KERNEL(concat_lines_4, ConcatLinesParams, 256) { concat_lines<uint32_t>(p); }
LEGATO_KERNEL(concat_lines_8, ConcatLinesParams, 256) { concat_lines<uint64_t>(p); }

}  // namespace legato::cuda
