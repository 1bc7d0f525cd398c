// The null backend: shapes, order and memory, but no arithmetic. Every op has a kernel that does
// nothing, so that what evaluation itself costs can be measured, and planning tested, apart from
// any kernel. It is also the smallest example of a backend.
#include "legato/runtime/backend.h"

#include <cstdlib>

#include "legato/base/error.h"

namespace legato {
namespace {

constexpr Kernel kNothing{.run = [](Launch&) {}, .accepts = AcceptLayout::any};

class NullBackend final : public Backend {
 public:
  const char* name() const override { return "null"; }
  DeviceType type() const override { return DeviceType::null; }
  int device_count() const override { return 1; }
  bool host_memory() const override { return true; }

  void* allocate(int, int64_t bytes) override {
    void* p = std::calloc(static_cast<size_t>(bytes) / 64 + 1,
                          64);  // reads of results are defined: zeros
    if (!p) throw MemoryError(cat("the system has no ", bytes, " bytes left"));
    return p;
  }
  void free(int, void* p, int64_t) noexcept override { std::free(p); }
  int64_t copy_from_host(int, void*, const void*, int64_t, std::span<const int64_t>) override {
    return 0;
  }
  void copy_to_host(int, void*, const void*, int64_t, int64_t) override {}
  const Kernel* find_kernel(const Op&, Dtype) const override { return &kNothing; }
  void run_kernel(int, const Kernel&, Launch&) override {}
  void run_program(int, const fuse::ProgramCall&) override {}
  void copy_strided(int, const View&, const View&) override {}
};

[[maybe_unused]] const bool registered = [] {
  register_backend(new NullBackend);
  return true;
}();

}  // namespace
}  // namespace legato
