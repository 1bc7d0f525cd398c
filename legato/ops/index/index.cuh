// Parameters of the index kernels, for both sides.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"

namespace legato::cuda {

inline constexpr int kMaxTerms = 8;  // index arrays

/// Where places lie in an array: outer places, index places, inner places, as in
/// ops/index/places.cpu.h. Strides are in elements that the kernel moves.
struct PlacesParams {
  long long n_outer, n_index, n_inner;
  int outer_axes, index_axes, inner_axes, terms;
  long long outer_size[kMaxAxes], outer_stride[kMaxAxes];
  long long index_size[kMaxAxes], index_stride[kMaxAxes];
  long long inner_size[kMaxAxes], inner_stride[kMaxAxes];
  const void* term_data[kMaxTerms];  // indices, one after the other
  int term_bytes[kMaxTerms];         // 1, 2, 4, 8; negative: signed
  long long term_size[kMaxTerms];    // of the axis
  long long term_stride[kMaxTerms];
  int term_axis[kMaxTerms];
  ValueReport* report;
};

struct GatherParams {
  PlacesParams places;
  const void* from;
  void* to;  // row-major
};

/// Offsets of the index places, or -1 where an index is out of range.
struct OffsetsParams {
  PlacesParams places;
  long long* offsets;
};

/// A block owns the places whose offset lies in its range, and a piece of the columns (outer times
/// inner places). It applies the updates of its places in their order.
struct ScatterParams {
  PlacesParams places;
  const long long* offsets;
  void* to;
  const void* updates;  // [outer][index][inner], or a single element
  int single;
  int mode;         // UpdateMode
  long long range;  // offsets are below it
  int ranges, pieces;
};

inline constexpr int kScatterThreads = 256;

}  // namespace legato::cuda
