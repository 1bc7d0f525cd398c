#include "legato/backends/cuda/device.h"

#include <pthread.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "legato/base/error.h"

namespace legato::cuda {
namespace {

std::atomic<bool> forked{false};

struct Devices {
  std::vector<std::unique_ptr<GpuDevice>> all;
  std::string problem;
};

Devices& devices() {
  // Never destroyed: arrays may outlive static destructors.
  static Devices& d = *[] {
    auto* fresh = new Devices;
    fresh->problem = load_driver(driver());
    if (!fresh->problem.empty()) return fresh;
    try {
      int n = 0;
      check(driver().cuDeviceGetCount(&n), "counting the GPUs");
      for (int i = 0; i < n; ++i) fresh->all.push_back(std::make_unique<GpuDevice>(i));
      if (n == 0) fresh->problem = "The NVIDIA driver finds no GPU.";
      pthread_atfork(nullptr, nullptr, [] { forked.store(true); });
    } catch (const Error& e) {
      fresh->all.clear();
      fresh->problem = cat("The GPU could not be set up: ", e.what());
    }
    return fresh;
  }();
  return d;
}

}  // namespace

const std::string& find_devices() { return devices().problem; }
int device_count() { return static_cast<int>(devices().all.size()); }
const GpuDevice& device_properties(int index) { return *devices().all[static_cast<size_t>(index)]; }
GpuDevice& device(int index) {
  GpuDevice& d = *devices().all[static_cast<size_t>(index)];
  d.enter();
  return d;
}

GpuDevice::GpuDevice(int index) : index_(index) {
  Driver& d = driver();
  auto attribute = [&](CUdevice_attribute a) {
    int value = 0;
    check(d.cuDeviceGetAttribute(&value, a, device_), "asking a GPU for its properties");
    return value;
  };
  check(d.cuDeviceGet(&device_, index), "finding a GPU");
  char name[128] = "";
  check(d.cuDeviceGetName(name, sizeof name, device_), "asking a GPU for its name");
  name_ = name;
  size_t total = 0;
  check(d.cuDeviceTotalMem(&total, device_), "asking a GPU for its memory");
  total_memory_ = static_cast<int64_t>(total);
  multiprocessors_ = attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
  shared_bytes_ = attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
  capability_ = attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) * 10 +
                attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
  if (capability_ < 80)
    throw EvalError(cat(name_, " has compute capability ", capability_ / 10, ".", capability_ % 10,
                        "; Legato needs 8.0 (Ampere) or newer"));
}

void GpuDevice::open() {
  Driver& d = driver();
  check(d.cuDevicePrimaryCtxRetain(&context_, device_), "making a GPU's context");
  check(d.cuCtxSetCurrent(context_), "entering a GPU's context");
  for (CUstream* queue :
       {&queues_[0].stream, &recorded_queue_, &queues_[kIn].stream, &queues_[kOut].stream})
    check(d.cuStreamCreate(queue, CU_STREAM_NON_BLOCKING), "making a GPU's queue");
  check(d.cuEventCreate(&in_.arrived, CU_EVENT_DISABLE_TIMING), "making an event");

  queues_[0].batch = std::make_unique<LaunchBatch>();
  queues_[0].opened.store(true, std::memory_order_release);

  CUmemPoolProps props{};
  props.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
  props.handleTypes = CU_MEM_HANDLE_TYPE_NONE;
  props.location = {};
  props.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  props.location.id = device_;
  check(d.cuMemPoolCreate(&pool_, &props), "making a GPU's memory pool");
  cuuint64_t keep = UINT64_MAX;  // freed memory goes back to the system by trim() only
  check(d.cuMemPoolSetAttribute(pool_, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &keep),
        "setting up a GPU's memory pool");

  open_reports();
}

void GpuDevice::enter() {
  thread_local int current = -1;
  if (current == index_ && !forked.load(std::memory_order_relaxed)) return;
  if (forked.load())
    throw EvalError(
        "a GPU cannot be used in a forked child of a process that has used it; start the child "
        "with spawn (multiprocessing.set_start_method(\"spawn\")), or fork before the first use");
  std::call_once(opened_, [this] { open(); });
  check(driver().cuCtxSetCurrent(context_), "entering a GPU's context");
  current = index_;
}

int GpuDevice::enter_queue(int queue) {
  Queue& entered = queues_[queue];
  if (!entered.opened.load(std::memory_order_acquire)) {
    std::lock_guard lock(open_lock_);
    if (!entered.batch) entered.batch = std::make_unique<LaunchBatch>();
    if (!entered.stream)
      check(driver().cuStreamCreate(&entered.stream, CU_STREAM_NON_BLOCKING),
            "making a GPU's queue");
    entered.opened.store(true, std::memory_order_release);
  }
  return std::exchange(entered_[index_], static_cast<uint8_t>(queue));
}

void* GpuDevice::allocate(int64_t bytes) {
  CUdeviceptr p = 0;
  const size_t size = static_cast<size_t>(std::max<int64_t>(bytes, 1));
  const CUstream queue = queues_[entered_[index_]].stream;
  CUresult status = driver().cuMemAllocFromPoolAsync(&p, size, pool_, queue);
  if (status == CUDA_ERROR_OUT_OF_MEMORY) {
    trim();  // frees that are queued have happened then
    status = driver().cuMemAllocFromPoolAsync(&p, size, pool_, queue);
  }
  check(status, status == CUDA_ERROR_OUT_OF_MEMORY ? "an array" : "taking memory");
  return reinterpret_cast<void*>(p);
}

unsigned* GpuDevice::counters(int64_t n) {
  LEGATO_CHECK(n <= kCounters, "a launch asks for more counters than a queue has");
  Queue& queue = queues_[entered_[index_]];
  std::lock_guard lock(queue.lock);
  if (!queue.counters) {
    // On the queue itself, also while its launches are recorded: a replay comes later.
    CUdeviceptr made = 0;
    const size_t bytes = kCounters * sizeof(unsigned);
    check(driver().cuMemAllocFromPoolAsync(&made, bytes, pool_, queue.stream), "counters");
    check(driver().cuMemsetD8Async(made, 0, bytes, queue.stream), "clearing counters");
    queue.counters = made;
  }
  return reinterpret_cast<unsigned*>(queue.counters);
}

void GpuDevice::free(void* p) noexcept {
  Queue& queue = queues_[entered_[index_]];
  queue.submit();
  driver().cuMemFreeAsync(reinterpret_cast<CUdeviceptr>(p), queue.stream);
}

void GpuDevice::trim() noexcept {
  wait_for_queues();
  for (Queue& queue : queues_)
    if (queue.opened.load(std::memory_order_acquire) && queue.batch) queue.batch->drop_graphs();
  driver().cuMemPoolTrimTo(pool_, 0);
}

int64_t GpuDevice::free_bytes() {
  size_t available = 0, total = 0;
  check(driver().cuMemGetInfo(&available, &total), "asking a GPU for its free memory");
  return static_cast<int64_t>(available);
}

CUfunction GpuDevice::kernel(const char* image, std::string_view name, int shared_bytes) {
  // Those that a thread asked for last are found without a lock and without making a key.
  struct Recent {
    const GpuDevice* device = nullptr;
    const char* image = nullptr;
    std::string name;
    CUfunction function = nullptr;
  };
  constexpr size_t kSlots = 64;
  thread_local const auto recent = std::make_unique<Recent[]>(kSlots);
  Recent& r = recent[std::hash<std::string_view>{}(name) % kSlots];
  if (r.device != this || r.image != image || r.name != name)
    r = {this, image, std::string(name), find_kernel(image, name, shared_bytes)};
  return r.function;
}

CUfunction GpuDevice::find_kernel(const char* image, std::string_view name, int shared_bytes) {
  std::lock_guard lock(module_lock_);
  std::string key = cat(image, ".", name);
  if (auto found = functions_.find(key); found != functions_.end()) return found->second;
  CUmodule& module = modules_[image];
  if (!module) {
    const Image* at = kImages;
    while (at->name && std::strcmp(at->name, image) != 0) ++at;
    LEGATO_CHECK(at->name, "no CUDA kernels were compiled under this name");
    check(driver().cuModuleLoadData(&module, at->data), "loading kernels");
  }
  CUfunction f = nullptr;
  const CUresult status = driver().cuModuleGetFunction(&f, module, std::string(name).c_str());
  if (status == CUDA_ERROR_NOT_FOUND)
    throw InternalError(cat("the CUDA kernels of ", image, " have none called ", name));
  check(status, "finding a kernel");
  if (shared_bytes > 48 << 10)  // what every launch may have
    check(driver().cuFuncSetAttribute(f, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                      shared_bytes),
          "asking for shared memory");
  functions_.emplace(std::move(key), f);
  return f;
}

CUfunction GpuDevice::load(const void* code, const char* name) {
  CUmodule module = nullptr;
  check(driver().cuModuleLoadData(&module, code), "loading a compiled program");
  CUfunction f = nullptr;
  check(driver().cuModuleGetFunction(&f, module, name), "finding a compiled program");
  return f;
}

void GpuDevice::launch(CUfunction f, int64_t blocks, int threads, const void* params, size_t bytes,
                       const char* what, int shared_bytes) {
  if (blocks <= 0) return;
  LEGATO_CHECK(blocks <= INT32_MAX, "a kernel is launched with too many blocks");
  const PlainLaunch plain{f, static_cast<unsigned>(blocks), static_cast<unsigned>(threads),
                          static_cast<unsigned>(shared_bytes), static_cast<unsigned>(bytes)};
  if (recorder_ != this) {
    Queue& queue = queues_[entered_[index_]];
    const int64_t place = queue.given.load(std::memory_order_acquire) + 1;
    return queue.batch->launch(plain, params, place, queue.stream, what);
  }
  void* arguments[] = {const_cast<void*>(params)};
  check(driver().cuLaunchKernel(f, plain.blocks, 1, 1, plain.threads, 1, 1, plain.shared_bytes,
                                recorded_queue_, arguments, nullptr),
        what);
}

void GpuDevice::launch(CUfunction f, const Grid& g, void** arguments, const char* what) {
  constexpr unsigned kWithoutAsking = 48 << 10;
  if (g.shared_bytes > kWithoutAsking)
    check(driver().cuFuncSetAttribute(f, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                      static_cast<int>(g.shared_bytes)),
          what);
  check(
      driver().cuLaunchKernel(f, g.blocks[0], g.blocks[1], g.blocks[2], g.threads[0], g.threads[1],
                              g.threads[2], g.shared_bytes, queue(), arguments, nullptr),
      what);
}

}  // namespace legato::cuda
