// Parameters of the kernel of random bits, for both sides.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"

namespace legato::cuda {

/// For each key a stream of `bytes` bytes: `words` words, the last of which may be cut.
struct RandomParams {
  const unsigned* keys;  // two words each; null: the one below
  unsigned key0, key1;
  long long n_keys, words, bytes;
  void* to;
};

}  // namespace legato::cuda
