// Threefry-2x32 with 20 rounds: two words from a key and a counter of two words each.
#pragma once

#include <cstdint>

namespace legato::random {

struct Words {
  uint32_t a, b;
};

/// T: uint32_t or a vector of them. (x0, x1) is the counter, replaced by the two words.
template <class T>
inline __attribute__((always_inline)) void threefry(uint32_t k0, uint32_t k1, T& x0, T& x1) {
  const uint32_t keys[3] = {k0, k1, k0 ^ k1 ^ 0x1BD11BDAu};
  constexpr int rotations[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
  x0 = x0 + keys[0];
  x1 = x1 + keys[1];
#pragma GCC unroll 5
  for (int group = 0; group < 5; ++group) {
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r) {
      const int n = rotations[group % 2][r];
      x0 = x0 + x1;
      x1 = (x1 << n) | (x1 >> (32 - n));
      x1 = x1 ^ x0;
    }
    x0 = x0 + keys[(group + 1) % 3];
    x1 = x1 + (keys[(group + 2) % 3] + static_cast<uint32_t>(group + 1));
  }
}

}  // namespace legato::random

namespace legato::cpu {

/// Words of a stream of `n`: out[i] for i in [first, last) and the words that share their counters.
/// With h = n / 2 and o = n % 2, words i and i + h + o (i < h) are the two outputs for the counter
/// (i, i + h + o); if o is 1, word h is the first output for (h, 0). first and last lie in [0, h +
/// o]. This is the layout of JAX's original threefry, which MLX shares.
using ThreefryFill = void (*)(uint32_t k0, uint32_t k1, int64_t n, int64_t first, int64_t last,
                              uint32_t* out);

namespace base {
void threefry_fill(uint32_t k0, uint32_t k1, int64_t n, int64_t first, int64_t last, uint32_t* out);
}
#if LEGATO_HAS_X86_LEVELS
namespace avx2 {
void threefry_fill(uint32_t k0, uint32_t k1, int64_t n, int64_t first, int64_t last, uint32_t* out);
}
namespace avx512 {
void threefry_fill(uint32_t k0, uint32_t k1, int64_t n, int64_t first, int64_t last, uint32_t* out);
}
#endif

}  // namespace legato::cpu
