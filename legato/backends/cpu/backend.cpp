// The CPU as a backend: host memory, the kernels of the families, programs by the tile interpreter.
#include "legato/runtime/backend.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#include "legato/backends/cpu/copy.h"
#include "legato/backends/cpu/program.h"
#include "legato/backends/cpu/row_program.h"
#include "legato/base/error.h"
#include "legato/op/registry.h"

namespace legato::cpu {

void register_all_kernels(KernelTable&);

namespace {

constexpr int64_t kHugePage = int64_t{2} << 20;
constexpr int64_t kHugeFrom = int64_t{4} << 20;

class CpuBackend final : public Backend {
 public:
  CpuBackend() {
    registry();  // ops have their ids before kernels are filed under them
    register_all_kernels(kernels_);
  }
  const char* name() const override { return "cpu"; }
  DeviceType type() const override { return DeviceType::cpu; }
  int device_count() const override { return 1; }
  bool host_memory() const override { return true; }

  // First touch of fresh memory costs more than most arithmetic on it; huge pages cut that to a
  // fifth.
  void* allocate(int, int64_t bytes) override {
    int64_t align = bytes >= kHugeFrom ? kHugePage : 64;
    int64_t size = bytes <= 0 ? 64 : (bytes + align - 1) / align * align;
    void* p = std::aligned_alloc(static_cast<size_t>(align), static_cast<size_t>(size));
    if (!p) throw MemoryError(cat("the system has no ", bytes, " bytes left"));
    if (bytes >= kHugeFrom) madvise(p, static_cast<size_t>(size), MADV_HUGEPAGE);
    return p;
  }
  void free(int, void* p, int64_t) noexcept override { std::free(p); }
  int64_t copy_from_host(int, void* to, const void* from, int64_t bytes,
                         std::span<const int64_t>) override {
    std::memcpy(to, from, static_cast<size_t>(bytes));
    return 0;
  }
  void copy_to_host(int, void* to, const void* from, int64_t bytes, int64_t) override {
    std::memcpy(to, from, static_cast<size_t>(bytes));
  }

  bool runs_by_rows() const override { return true; }
  bool fuses_rows() const override { return true; }
  bool run_rows(int, const RowCall& call) override { return cpu::run_rows(call); }

  const Kernel* find_kernel(const Op& op, Dtype dtype) const override {
    return kernels_.find(op, dtype);
  }
  void run_kernel(int, const Kernel& kernel, Launch& launch) override { kernel.run(launch); }
  void run_program(int, const fuse::ProgramCall& call) override { cpu::run_program(call); }
  void copy_strided(int, const View& to, const View& from) override {
    cpu::copy_strided(to.data, *to.strides, from.data, *from.strides, *from.shape,
                      size_of(from.dtype));
  }

 private:
  KernelTable kernels_;
};

// Made when the library is loaded: the host's backend must exist before the first array.
[[maybe_unused]] const bool registered = [] {
  register_backend(new CpuBackend);
  return true;
}();

}  // namespace
}  // namespace legato::cpu
