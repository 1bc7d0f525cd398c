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
  int narrow;  // whether all counts are below 2^31, so that these serve
  Divider outer_divider[kMaxAxes], index_divider[kMaxAxes], inner_divider[kMaxAxes];
  Divider by_inner, by_index;
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
  void* to;    // row-major
  int group;   // threads of a row of units that lie one behind the other; 0: units lie anywhere
  int chunk;   // units of a block, where they lie anywhere
  int single;  // bytes of an index where single units go by one signed index each, and are more
               // than the caches hold; else 0
};

inline constexpr int kGatherThreads = 256, kGatherEach = 4;

}  // namespace legato::cuda
