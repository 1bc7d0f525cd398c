// Public header: sorting on the GPU, for the kernels of other families.
#pragma once

#include <cstdint>

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

}  // namespace legato::cuda
