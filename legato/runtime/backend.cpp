#include "legato/runtime/backend.h"

#include <mutex>

#include "legato/base/error.h"

namespace legato {
namespace {

constexpr int kMaxBackends = 8;
Backend* backends[kMaxBackends];
std::atomic<int> n_backends{0};
std::mutex registration;

Backend* find_backend(Device device) {
  int n = n_backends.load(std::memory_order_acquire);
  for (int i = 0; i < n; ++i)
    if (backends[i]->type() == device.type && device.index >= 0 &&
        device.index < backends[i]->device_count())
      return backends[i];
  return nullptr;
}

}  // namespace

Backend::~Backend() = default;

void KernelTable::add(const Op& op, Dtype dtype, const Kernel& kernel) {
  LEGATO_CHECK(op.id >= 0, "a kernel is registered for an op that is not in the registry");
  size_t at = static_cast<size_t>(op.id) * kDtypeCount + static_cast<size_t>(dtype);
  if (at >= kernels_.size()) kernels_.resize((static_cast<size_t>(op.id) + 64) * kDtypeCount);
  kernels_[at] = kernel;
}

const Kernel* KernelTable::find(const Op& op, Dtype dtype) const {
  if (op.id < 0) return nullptr;
  size_t at = static_cast<size_t>(op.id) * kDtypeCount + static_cast<size_t>(dtype);
  return at < kernels_.size() && kernels_[at].run ? &kernels_[at] : nullptr;
}

void register_backend(Backend* backend) {
  std::lock_guard lock(registration);
  int n = n_backends.load(std::memory_order_relaxed);
  LEGATO_CHECK(n < kMaxBackends, "too many backends");
  backends[n] = backend;
  n_backends.store(n + 1, std::memory_order_release);
}

Backend& backend_of(Device device) {
  Backend* b = find_backend(device);
  if (!b)
    throw ValueError(
        cat("no backend serves device ", static_cast<int>(device.type), ":", device.index));
  return *b;
}

bool has_device(Device device) { return find_backend(device) != nullptr; }

}  // namespace legato
