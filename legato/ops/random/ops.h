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

extern const Op random_bits_op;

}  // namespace legato
