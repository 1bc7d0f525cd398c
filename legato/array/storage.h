// Storage: the memory behind evaluated values, as far as arrays see it. runtime/ implements it with
// replicas on devices.
#pragma once

#include <atomic>
#include <cstdint>

#include "legato/base/export.h"
#include "legato/base/ref.h"

namespace legato {

class LEGATO_API Storage {
 public:
  explicit Storage(int64_t bytes) : bytes_(bytes) {}
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  void retain() noexcept { refs_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }
  /// Whether the caller's is the only reference: then nobody else can see what is written to it.
  bool sole_owner() const { return refs_.load(std::memory_order_acquire) == 1; }
  int64_t bytes() const { return bytes_; }

 protected:
  virtual ~Storage();

 private:
  std::atomic<uint32_t> refs_{1};
  int64_t bytes_;
};

}  // namespace legato
