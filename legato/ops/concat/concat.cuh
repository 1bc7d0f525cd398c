// Parameters of the kernels of concatenation, for both sides.
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

/// Parts whose rows begin and end anywhere, into rows of whole packs. In bytes; parts that are not
/// there have no width.
struct ConcatLinesParams {
  void* to;
  unsigned n;   // packs of the result
  Divider row;  // by those of a row
  unsigned row_packs, rows;
  unsigned
      first[kConcatParts + 1];  // where a part begins in a row; behind the last one, where it ends
  const char* from[kConcatParts];
  long long stride[kConcatParts];  // from row to row
};

}  // namespace legato::cuda
