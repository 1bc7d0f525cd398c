// Public header: sorting on the GPU, for the kernels of other families.
#pragma once

#include <cstdint>

#include "legato/array/dtype.h"

namespace legato {
class Launch;
}

namespace legato::cuda {

/// Stable order of `n` keys below 2^bits: keys[order[0]] <= keys[order[1]] <= ...
struct SortedKeys {
  const unsigned* keys;  // sorted
  const unsigned* order;
};
SortedKeys sort_keys(Launch& l, const unsigned* keys, int64_t n, int bits);

/// Sorts rows of `n` neighbours.
void sort_values(Launch& l, const void* x, Dtype t, int64_t rows, int64_t n, void* values);
/// The kernel of topk.
void run_topk(Launch& l);

}  // namespace legato::cuda
