// The GPU as a backend, and the entry of the plugin.
#include <cstring>
#include <string>

#include "legato/backends/cuda/device.h"
#include "legato/backends/cuda/kernels.h"
#include "legato/backends/cuda/kit.h"
#include "legato/backends/cuda/nvrtc.h"
#include "legato/backends/cuda/program.h"
#include "legato/backends/cuda/row_program.h"
#include "legato/base/error.h"
#include "legato/op/registry.h"

namespace legato::cuda {

void register_all_kernels(KernelTable&);

namespace {

thread_local GpuDevice* running = nullptr;

// Makes a device the one that kernels of this thread are launched on.
class Running {
 public:
  explicit Running(int index) : previous_(running) { running = &device(index); }
  ~Running() { running = previous_; }

 private:
  GpuDevice* previous_;
};

// Counts what is given to the device as a piece of work, also if some of it was refused.
struct Counted {
  GpuDevice& device;
  ~Counted() { device.count_work(); }
};

class CudaBackend final : public Backend {
 public:
  CudaBackend() {
    registry();
    register_all_kernels(kernels_);
  }
  const char* name() const override { return "cuda"; }
  DeviceType type() const override { return DeviceType::gpu; }
  int device_count() const override { return cuda::device_count(); }
  bool host_memory() const override { return false; }
  bool asynchronous() const override { return true; }

  void* allocate(int index, int64_t bytes) override { return device(index).allocate(bytes); }
  void free(int index, void* p, int64_t) noexcept override {
    try {
      device(index).free(p);
    } catch (...) {  // in a forked child: the memory is the parent's
    }
  }
  int64_t copy_from_host(int index, void* to, const void* from, int64_t bytes,
                         std::span<const int64_t> after) override {
    return device(index).copy_in(to, from, bytes, after);
  }
  void copy_to_host(int index, void* to, const void* from, int64_t bytes, int64_t after) override {
    device(index).copy_out(to, from, bytes, after);
  }
  const Kernel* find_kernel(const Op& op, Dtype dtype) const override {
    return kernels_.find(op, dtype);
  }
  void run_kernel(int index, const Kernel& kernel, Launch& launch) override {
    Running here(index);
    const Counted counted{*running};
    kernel.run(launch);
  }
  void run_program(int index, const fuse::ProgramCall& call) override {
    const Counted counted{device(index)};
    cuda::run_program(counted.device, call);
  }
  bool runs_together() const override { return true; }
  void run_programs(int index, std::span<const fuse::ProgramCall> calls) override {
    const Counted counted{device(index)};
    cuda::run_programs(counted.device, calls);
  }
  void prepare_programs(int index, std::span<const fuse::ProgramCall> calls) override {
    cuda::prepare_programs(device(index), calls);
  }
  bool fuses_rows() const override { return true; }
  bool run_rows(int index, const RowCall& call) override {
    if (call.asked) return cuda::run_rows(device(index), call);
    const Counted counted{device(index)};
    return cuda::run_rows(counted.device, call);
  }
  void prepare_program(int index, const fuse::ProgramCall& call) override {
    cuda::prepare_program(device(index), call);
  }
  void copy_strided(int index, const View& to, const View& from) override {
    Running here(index);
    const Counted counted{*running};
    copy_elements(to.data, *to.strides, from.data, *from.strides, *from.shape, size_of(from.dtype));
  }
  void synchronize(int index) override { device(index).synchronize(); }
  int queues(int) const override { return kMostQueues; }
  int enter_queue(int index, int queue) override { return device(index).enter_queue(queue); }
  int64_t work_given(int index) const override { return device_properties(index).work_given(); }
  int64_t work_given(int index, int queue) const override {
    return device_properties(index).work_given(queue);
  }
  void mark(int index, int64_t work) override { device(index).mark(work); }
  void order(int index, int64_t work) noexcept override {
    try {
      device(index).order(work);
    } catch (...) {  // in a forked child
    }
  }
  bool follows(int index, int64_t work) const override { return device(index).follows(work); }
  void* allocate_host(int index, int64_t bytes) noexcept override {
    try {
      return device(index).allocate_host(bytes);
    } catch (...) {
      return nullptr;
    }
  }
  void free_host(int index, void* p) noexcept override {
    try {
      device(index).free_host(p);
    } catch (...) {
    }
  }
  int64_t start_copy_to_host(int index, void* to, const void* from, int64_t bytes,
                             std::span<const int64_t> after) override {
    return device(index).start_copy_out(to, from, bytes, after);
  }
  int64_t start_copy_from_host(int index, void* to, const void* from, int64_t bytes,
                               std::span<const int64_t> after) override {
    return device(index).start_copy_in(to, from, bytes, after);
  }
  void wait_for(int index, int64_t work) override { device(index).wait_for(work); }
  int64_t memory_bytes(int index) const override { return device_properties(index).total_memory(); }
  int64_t free_bytes(int index) const override { return device(index).free_bytes(); }
  int64_t exchange_stream(int index) override {
    return static_cast<int64_t>(reinterpret_cast<intptr_t>(device(index).exchange_queue()));
  }
  void lead(int index, int64_t stream) override {
    device(index).lead(reinterpret_cast<CUstream>(static_cast<intptr_t>(stream)));
  }
  void lead_all(int index) noexcept override {
    try {
      device(index).lead_all();
    } catch (...) {  // in a forked child
    }
  }
  int64_t follow_all(int index) noexcept override {
    try {
      return device(index).follow_all();
    } catch (...) {  // in a forked child
      return 0;
    }
  }
  int64_t followed(int index) noexcept override {
    try {
      return device(index).followed();
    } catch (...) {
      return 0;
    }
  }
  void trim(int index) noexcept override {
    try {
      device(index).trim();
    } catch (...) {
    }
  }
  bool records() const override { return true; }
  void stop_threads() noexcept override { stop_builders(); }
  void begin_recording(int index) override { device(index).begin_recording(); }
  std::unique_ptr<Recording> end_recording(int index, std::unique_ptr<Recording> old) override {
    return device(index).end_recording(std::move(old));
  }
  Ref<DeviceCheck> replay(int index, Recording& recording) override {
    const Counted counted{device(index)};
    return counted.device.replay(recording);
  }
  std::vector<std::pair<std::string, std::string>> facts(int index) const override {
    const GpuDevice& d = device_properties(index);
    const int v = driver().version;
    std::string compiler = nvrtc_problem();
    return {{"device_name", d.name()},
            {"architecture", cat("sm_", d.capability())},
            {"multiprocessors", std::to_string(d.multiprocessors())},
            {"driver", cat("CUDA ", v / 1000, ".", v % 1000 / 10)},
            {"compiler", compiler.empty() ? cat("NVRTC ", nvrtc_version()) : compiler}};
  }

 private:
  KernelTable kernels_;
};

}  // namespace

static void start() { register_backend(new CudaBackend); }

GpuDevice& current() {
  LEGATO_CHECK(running != nullptr, "a CUDA kernel runs outside of the backend");
  return *running;
}

}  // namespace legato::cuda

extern "C" __attribute__((visibility("default"))) const char* legato_plugin(const char* version) {
  static std::string& problem = *new std::string;
  try {
    if (std::strcmp(version, LEGATO_VERSION) != 0)
      problem = legato::cat("liblegato_cuda.so is of version ", LEGATO_VERSION,
                            ", liblegato.so of ", version, ": they do not fit together.");
    else
      problem = legato::cuda::find_devices();
    if (problem.empty()) legato::cuda::start();
  } catch (const std::exception& e) {
    problem = legato::cat("The CUDA part of Legato could not be started: ", e.what());
  }
  return problem.empty() ? nullptr : problem.c_str();
}
