// Parameters of the scatter kernels, for both sides.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"
#include "legato/ops/index/index.cuh"

namespace legato::cuda {

/// Places of an array by number: the offset of an index place, in steps of `unit` elements, or
/// `none` where an index is out of range.
struct KeysParams {
  PlacesParams places;
  unsigned* keys;
  unsigned unit, none;
  unsigned char* named;  // by key: set where an index names it; null: not asked for
};

/// Updates whose order does not matter.
struct AnyOrderParams {
  PlacesParams places;
  const void* updates;  // in the order of places, or a single element
  void* to;
  long long count;  // updates
  int single, mode;
};

struct ScatterParams {
  const unsigned* keys;   // of index places: in their order or, with `order`, sorted
  const unsigned* order;  // the index place behind each sorted key
  unsigned* winners;      // by key: the last index place, plus 1; 0: none
  void* to;
  const void* base;  // what updates are added to; `to`, unless rows come from another array
  const unsigned char* named;  // by key, zeroed before: what scatter_rest leaves out
  const void* updates;         // [outer][index][inner], or a single element
  void* partial;               // [block][2][column]: see Note [Runs]
  int single;
  int mode;  // UpdateMode
  unsigned none, unit;
  long long n_index, n_outer, n_inner;
  int outer_axes, inner_axes;
  long long outer_size[kMaxAxes], outer_stride[kMaxAxes];
  long long inner_size[kMaxAxes], inner_stride[kMaxAxes];
  int group;   // threads side by side along columns; a power of two
  int packed;  // whether they take packs of columns
};

inline constexpr int kScatterThreads = 256;
inline constexpr int kRun = 32;  // sorted places that a group goes along

}  // namespace legato::cuda
