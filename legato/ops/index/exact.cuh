// Parameters of exact sums of single updates, for both sides.
#pragma once

#include "legato/ops/index/index.cuh"

namespace legato::cuda {

/// See Note [Exact sums] in exact.cu.
struct ExactParams {
  PlacesParams places;
  const void* updates;  // in the order of places, or a single one
  int single;
  void* to;
  unsigned long long* words;  // [kExactWords][size of the target]
  unsigned* range;            // zeroed: the largest magnitude; 512 less the lowest bit
  long long count, size;      // updates; elements of the target
  int bits;                   // of updates in a word
  int round;
  int flat;  // bytes of indices, where one array of them names elements, all at multiples of 16; 0
};

inline constexpr int kExactWords = 3;   // in a round
inline constexpr int kFloatBits = 277;  // from the lowest to the highest bit of float32
inline constexpr int kExactThreads = 256;
inline constexpr int kExactPack = 4;  // updates that a thread takes at once

}  // namespace legato::cuda
