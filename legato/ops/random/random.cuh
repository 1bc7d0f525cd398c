// Parameters of the kernels of random bits and numbers, for both sides.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"

namespace legato::cuda {

/// For each key a stream of `bytes` bytes: `words` words of bits, the last of which may be cut, or
/// `words` numbers, one a word.
struct RandomParams {
  const unsigned* keys;  // two words each; null: the one below
  unsigned key0, key1;
  unsigned one;  // 1, which the compiler is not to know; see random.cu
  float below;   // what uniform numbers stay at or below
  long long n_keys, words, bytes;
  void* to;
};

inline constexpr int kRandomEach = 4;  // counters of a thread, which give two words each

}  // namespace legato::cuda
