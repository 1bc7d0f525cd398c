// Device code that finds the places which index arrays name.
#pragma once

#include "legato/backends/cuda/divide.cuh"
#include "legato/backends/cuda/lane.cuh"
#include "legato/backends/cuda/report.cuh"
#include "legato/ops/index/index.cuh"

namespace legato::cuda {

// By itself: its divisions are long, and rarely needed.
LEGATO_APART long long walk_far(long long index, int axes, const long long* size,
                                const long long* stride) {
  long long offset = 0;
  for (int axis = axes - 1; axis > 0; --axis) {
    const long long next = index / size[axis];
    offset += (index - next * size[axis]) * stride[axis];
    index = next;
  }
  return offset + index * stride[0];
}
LEGATO_INLINE long long walk(const PlacesParams& p, long long index, int axes,
                             const long long* size, const long long* stride,
                             const Divider* divider) {
  if (axes == 0) return 0;
  if (axes == 1) return index * stride[0];
  if (!p.narrow) return walk_far(index, axes, size, stride);
  long long offset = 0;
  uint32_t rest = static_cast<uint32_t>(index);
#pragma unroll 1
  for (int axis = axes - 1; axis > 0; --axis) {
    const uint32_t next = divide(rest, divider[axis]);
    offset += (rest - next * static_cast<uint32_t>(size[axis])) * stride[axis];
    rest = next;
  }
  return offset + rest * stride[0];
}
/// index / by, and what is left.
struct Split {
  long long whole, rest;
};
LEGATO_INLINE Split split(const PlacesParams& p, long long index, long long by,
                          const Divider& divider) {
  if (by == 1) return {index, 0};
  const long long whole = p.narrow ? divide(static_cast<uint32_t>(index), divider) : index / by;
  return {whole, index - whole * by};
}

LEGATO_INLINE long long read_index(const void* p, int bytes, long long i) {
  switch (bytes) {
    case -1:
      return static_cast<const int8_t*>(p)[i];
    case -2:
      return static_cast<const int16_t*>(p)[i];
    case -4:
      return static_cast<const int32_t*>(p)[i];
    case -8:
      return static_cast<const int64_t*>(p)[i];
    case 1:
      return static_cast<const uint8_t*>(p)[i];
    case 2:
      return static_cast<const uint16_t*>(p)[i];
    case 4:
      return static_cast<const uint32_t*>(p)[i];
    default:
      return static_cast<long long>(static_cast<const uint64_t*>(p)[i]);
  }
}

/// The offset of an index place. An index out of range is reported, and gives false: nothing is to
/// be read or written there.
LEGATO_INLINE bool index_offset(const PlacesParams& p, long long i, long long& offset) {
  offset = walk(p, i, p.index_axes, p.index_size, p.index_stride, p.index_divider);
#pragma unroll 1
  for (int k = 0; k < p.terms; ++k) {
    const long long v = read_index(p.term_data[k], p.term_bytes[k], i);
    const bool huge = p.term_bytes[k] == 8 && v < 0;  // unsigned, beyond int64
    const long long at = v < 0 && !huge ? v + p.term_size[k] : v;
    if (huge || at < 0 || at >= p.term_size[k]) {
      report_value(p.report, huge ? ~p.term_axis[k] : p.term_axis[k], v, p.term_size[k]);
      return false;
    }
    offset += at * p.term_stride[k];
  }
  return true;
}

/// Where element e of the result comes from; false as index_offset.
LEGATO_INLINE bool source_of(const PlacesParams& p, long long e, long long& offset) {
  const Split inner = split(p, e, p.n_inner, p.by_inner);
  const Split outer =
      p.n_outer == 1 ? Split{0, inner.whole} : split(p, inner.whole, p.n_index, p.by_index);
  if (!index_offset(p, outer.rest, offset)) return false;
  if (p.n_outer > 1)
    offset += walk(p, outer.whole, p.outer_axes, p.outer_size, p.outer_stride, p.outer_divider);
  if (p.n_inner > 1)
    offset += walk(p, inner.rest, p.inner_axes, p.inner_size, p.inner_stride, p.inner_divider);
  return true;
}

}  // namespace legato::cuda
