// What a kernel reads instead of its input when it computes the program in front of it (Prologue):
// ranges of the program's result, in the order in which it would lie in memory.
#pragma once

#include <cstdint>

#include "legato/runtime/backend.h"

namespace legato::cpu {

class ComputedInput {
 public:
  explicit ComputedInput(const Prologue& prologue) : prologue_(prologue) {}

  /// Elements [begin, begin + n) of the result: in `room`, or where they are stored anyway. Other
  /// outputs of the program are written for these elements too. From any thread.
  const void* range(int64_t begin, int64_t n, void* room) const;

 private:
  const Prologue& prologue_;
};

}  // namespace legato::cpu
