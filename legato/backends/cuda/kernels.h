// Kernels of fused programs: found by program and variant, compiled by NVRTC on threads of their
// own.
#pragma once

#include <atomic>
#include <string>

#include "legato/backends/cuda/device.h"
#include "legato/backends/cuda/print.h"
#include "legato/base/function_ref.h"
#include "legato/fuse/program.h"

namespace legato::cuda {

struct Parts;

/// One kernel, from the moment somebody asked for it. Ready at once where it was compiled with the
/// library.
class ProgramKernel {
 public:
  enum class State : uint8_t { queued, building, ready, failed };

  State state() const { return state_.load(std::memory_order_acquire); }
  /// Returns when the kernel can be launched; builds it here if no thread has begun to. Throws
  /// EvalError with the compiler's words if it cannot be built; who asks again has it tried again.
  void wait() const;
  CUfunction function() const { return function_; }  // once ready
  int packs() const { return source_.packs; }        // see Source

 private:
  friend class ProgramKernels;
  friend class RowKernels;
  friend class Builders;
  struct Key {
    uint64_t variant = 0;
    uint32_t device = 0;
    std::string form = {};  // of a reduction
    friend bool operator==(const Key&, const Key&) = default;
  };
  ProgramKernel(GpuDevice& device, const Key& key, Source source)
      : device_(device), key_(key), source_(std::move(source)) {}
  ProgramKernel(GpuDevice& device, const Key& key, CUfunction function, int packs)
      : device_(device),
        key_(key),
        source_{false, "", packs},
        state_(State::ready),
        function_(function) {}
  ~ProgramKernel();
  bool claim() const;
  void build() const noexcept;

  GpuDevice& device_;
  Key key_;
  mutable Source source_;  // its text until the kernel is ready
  mutable std::atomic<State> state_{State::queued};
  mutable CUmodule module_ = nullptr;
  mutable CUfunction function_ = nullptr;
  mutable std::string error_;
  mutable std::atomic<uint32_t> refs_{1};  // of the program, and of the queue
  ProgramKernel* next_ = nullptr;
};

/// The kernel of `program` in this variant. The first one who asks has it compiled in the
/// background. Owned by the program. Without a lock where it is known. Null if there is no
/// compiler, and it was not compiled with the library.
const ProgramKernel* find_kernel(GpuDevice& device, const fuse::Program& program,
                                 const Variant& variant);
/// The kernel of a reduction that computes `program`, likewise. One that would be too long has
/// failed from the start.
struct ReductionForm;
const ProgramKernel* find_reduction(GpuDevice& device, const fuse::Program& program,
                                    const Variant& variant, const ReductionForm& form);
/// The kernel of a row program, by all that its text depends on; `print` makes the text if it is
/// new. Null if there is no compiler, or more of them than are kept.
const ProgramKernel* find_rows(GpuDevice& device, const std::string& key,
                               FunctionRef<Source()> print);
/// Waits for what is being compiled; nothing is compiled in the background after that.
void stop_builders() noexcept;
/// As find_kernel, only among what was compiled with the library.
const ProgramKernel* find_precompiled_kernel(GpuDevice& device, const fuse::Program& program,
                                             const Variant& variant);
/// The program taken apart into what was compiled with the library; null where that cannot be done.
const Parts* parts_of(const fuse::Program& program);

}  // namespace legato::cuda
