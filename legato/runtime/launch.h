// The launch that the evaluator hands to kernels.
#pragma once

#include <mutex>
#include <utility>
#include <vector>

#include "legato/runtime/backend.h"
#include "legato/runtime/memory.h"

namespace legato {

class KernelLaunch final : public Launch {
 public:
  explicit KernelLaunch(Device device) : device_(device) {}
  ~KernelLaunch() {
    for (auto& [p, bytes] : memory_) free_memory(device_, p, bytes);
  }
  void* workspace(int64_t bytes) override {
    std::lock_guard lock(lock_);
    void* p = allocate_memory(device_, bytes);
    memory_.emplace_back(p, bytes);
    return p;
  }
  void fail(std::exception_ptr error) override {
    std::lock_guard lock(lock_);
    if (!error_) error_ = std::move(error);
  }
  /// Throws what the kernel reported.
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  Device device_;
  std::mutex lock_;
  std::exception_ptr error_;                       // guarded by lock_
  std::vector<std::pair<void*, int64_t>> memory_;  // guarded by lock_
};

}  // namespace legato
