// A second device without hardware: memory of its own that the host may not touch directly, and the
// CPU's kernels. It proves the coherence of replicas: a kernel that were given a host pointer would
// compute on poisoned memory.
#pragma once

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <unordered_map>

#include "legato/base/error.h"
#include "legato/runtime/backend.h"

namespace legato::testing {

class SimulatedBackend final : public Backend {
 public:
  const char* name() const override { return "simulated"; }
  DeviceType type() const override { return DeviceType::simulated; }
  int device_count() const override { return 2; }
  bool host_memory() const override { return false; }

  void* allocate(int device, int64_t bytes) override {
    void* p = std::aligned_alloc(64, (static_cast<size_t>(bytes) / 64 + 1) * 64);
    if (!p) throw MemoryError("simulated device: out of memory");
    std::memset(p, 0xcd, static_cast<size_t>(bytes));
    std::lock_guard lock(lock_);
    owner_[p] = {device, bytes};
    return p;
  }
  void free(int, void* p, int64_t) noexcept override {
    std::lock_guard lock(lock_);
    owner_.erase(p);
    std::free(p);
  }
  int64_t copy_from_host(int device, void* to, const void* from, int64_t bytes,
                         std::span<const int64_t>) override {
    check(device, to);
    ++copies_in;
    std::memcpy(to, from, static_cast<size_t>(bytes));
    return 0;
  }
  void copy_to_host(int device, void* to, const void* from, int64_t bytes, int64_t) override {
    check(device, from);
    if (copies_out_that_fail > 0 && copies_out_that_fail-- > 0)
      throw EvalError("simulated device: a copy failed");
    ++copies_out;
    std::memcpy(to, from, static_cast<size_t>(bytes));
  }
  const Kernel* find_kernel(const Op& op, Dtype dtype) const override {
    const Kernel* own = kernels.find(op, dtype);
    return own ? own : cpu().find_kernel(op, dtype);
  }
  void run_kernel(int device, const Kernel& kernel, Launch& launch) override {
    for (auto& v : launch.in)
      if (!launch.prologue) check(device, v.data);
    for (auto& v : launch.out) check(device, v.data);
    cpu().run_kernel(0, kernel, launch);
  }
  void run_program(int device, const fuse::ProgramCall& call) override {
    for (auto& in : call.inputs) check(device, in.data);
    for (auto* out : call.outputs) check(device, out);
    ++programs;
    cpu().run_program(0, call);
  }
  void copy_strided(int device, const View& to, const View& from) override {
    check(device, to.data);
    check(device, from.data);
    cpu().copy_strided(0, to, from);
  }

  std::atomic<int> copies_in{0}, copies_out{0}, programs{0}, copies_out_that_fail{0};
  KernelTable kernels;  // that only this device has

 private:
  static Backend& cpu() { return backend_of(Device{}); }
  void check(int device, const void* p) {
    std::lock_guard lock(lock_);
    for (auto& [start, owner] : owner_) {
      auto* begin = static_cast<const char*>(start);
      if (p >= begin && p < begin + std::max<int64_t>(owner.bytes, 1)) {
        if (owner.device != device)
          throw InternalError("a pointer of another device reached this one");
        return;
      }
    }
    throw InternalError("a pointer that is not of this device reached it");
  }

  struct Owner {
    int device;
    int64_t bytes;
  };
  std::mutex lock_;
  std::unordered_map<void*, Owner> owner_;  // guarded by lock_
};

/// The one simulated backend, registered at the first call.
inline SimulatedBackend& simulated() {
  static SimulatedBackend& b = [&]() -> SimulatedBackend& {
    auto* fresh = new SimulatedBackend;
    register_backend(fresh);
    return *fresh;
  }();
  return b;
}

}  // namespace legato::testing
