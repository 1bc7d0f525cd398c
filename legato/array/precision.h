// Public header: how precisely float32 is multiplied.
//
// float32 means float32: a product is rounded to 24 bits and no operand before it. NVIDIA's tensor
// cores can multiply float32 several times as fast if they may round the operands to TF32 first,
// which has the exponent of float32 and 11 bits of precision. That is allowed here, never assumed.
//
// The setting belongs to the call, as its stream does: matrix products and convolutions that are
// called while it is on may round their operands, whenever and by whichever thread they are
// evaluated. Each thread has its own, off at first. What a derivative calls is subject to the
// setting with which grad or vjp runs; a compiled function is traced once for each setting.
#pragma once

#include "legato/base/export.h"

namespace legato {

/// Whether float32 products that this thread calls may round their operands to TF32.
LEGATO_API bool tf32_allowed();
/// Sets it for this thread; returns the previous setting.
LEGATO_API bool allow_tf32(bool on);

/// Allows or forbids TF32 for the length of a scope.
class Tf32Scope {
 public:
  explicit Tf32Scope(bool on) : previous_(allow_tf32(on)) {}
  ~Tf32Scope() { allow_tf32(previous_); }
  Tf32Scope(const Tf32Scope&) = delete;
  Tf32Scope& operator=(const Tf32Scope&) = delete;

 private:
  bool previous_;
};

}  // namespace legato
