// The op record of the family, for its kernel.
#pragma once

#include "legato/op/op.h"

namespace legato {

struct RandomBitsAttrs {
  Dims shape;         // of the bits of one key
  int64_t width = 4;  // bytes of an element: 1, 2, 4 or 8
  // The key, if the op has no input: this thread's state as it was when the node was made.
  uint32_t key0 = 0, key1 = 0;
  static constexpr auto fields() {
    return std::tuple(field("shape", &RandomBitsAttrs::shape),
                      field("width", &RandomBitsAttrs::width),
                      field("key0", &RandomBitsAttrs::key0), field("key1", &RandomBitsAttrs::key1));
  }
};

/// Numbers that are made of one word of random bits each; float32, float16 or bfloat16.
struct RandomNumbersAttrs {
  Dims shape;  // of the numbers of one key
  Dtype dtype = Dtype::float32;
  bool normal = false;          // standard normal; else uniform in [0, 1)
  uint32_t key0 = 0, key1 = 0;  // as in RandomBitsAttrs
  static constexpr auto fields() {
    return std::tuple(
        field("shape", &RandomNumbersAttrs::shape), field("dtype", &RandomNumbersAttrs::dtype),
        field("normal", &RandomNumbersAttrs::normal), field("key0", &RandomNumbersAttrs::key0),
        field("key1", &RandomNumbersAttrs::key1));
  }
};

extern const Op random_bits_op, random_numbers_op;

namespace random {
/// Largest value below 1.
inline double below_one(Dtype t) {
  return t == Dtype::float16 ? 1 - 0x1p-11 : t == Dtype::bfloat16 ? 1 - 0x1p-8 : 1 - 0x1p-24;
}
/// Draws from `key`, or from this thread's state.
Array numbers(const Dims& shape, Dtype dtype, bool normal, const std::optional<Array>& key);
}  // namespace random

}  // namespace legato
