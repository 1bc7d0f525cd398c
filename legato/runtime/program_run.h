// The operands of a program while it runs.
#pragma once

#include <cstddef>
#include <new>

#include "legato/fuse/program.h"
#include "legato/runtime/backend.h"

namespace legato {

/// Made as they are needed, since a call has few of the many it may have.
class BoundInputs {
 public:
  BoundInputs() = default;
  BoundInputs(const BoundInputs&) = delete;
  BoundInputs& operator=(const BoundInputs&) = delete;
  ~BoundInputs() {
    for (uint32_t i = 0; i < n_; ++i) (*this)[i].~BoundInput();
  }
  fuse::BoundInput& add(const void* data) {
    return *new (memory_ + n_++ * sizeof(fuse::BoundInput)) fuse::BoundInput{data, {}};
  }
  fuse::BoundInput& operator[](uint32_t i) {
    return *std::launder(reinterpret_cast<fuse::BoundInput*>(memory_) + i);
  }
  std::span<const fuse::BoundInput> span() { return {n_ ? &(*this)[0] : nullptr, n_}; }

 private:
  uint32_t n_ = 0;
  alignas(fuse::BoundInput) std::byte memory_[fuse::kMaxInputs * sizeof(fuse::BoundInput)];
};

/// A call with what its spans refer to; it stays where it is.
struct ProgramRun {
  BoundInputs inputs;
  void* outputs[fuse::kMaxOutputs];
  fuse::ProgramCall call;
  Device device;
  bool empty = false;  // nothing to compute
};

}  // namespace legato
