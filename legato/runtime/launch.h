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
  void fail_unless(Ref<DeviceCheck> check) override {
    if (!check) return;
    std::lock_guard lock(lock_);
    checks_.push_back(std::move(check));
  }
  std::span<const Ref<DeviceCheck>> checks() const { return checks_; }
  /// Throws what the kernel reported.
  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  Device device_;
  std::mutex lock_;
  std::exception_ptr error_;                       // guarded by lock_
  std::vector<Ref<DeviceCheck>> checks_;           // guarded by lock_
  std::vector<std::pair<void*, int64_t>> memory_;  // guarded by lock_
};

}  // namespace legato
