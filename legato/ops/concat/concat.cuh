// Parameters of the kernel of concatenation, for both sides.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"

namespace legato::cuda {

inline constexpr int kConcatParts = 8;

/// Parts side by side in rows, all of them without gaps, in packs of 16 bytes.
struct ConcatParams {
  void* to;
  unsigned n;   // packs of the result
  Divider row;  // by those of a row
  unsigned row_packs;
  int parts;
  unsigned first[kConcatParts], width[kConcatParts];  // of a part within a row
  const void* from[kConcatParts];
};

}  // namespace legato::cuda
