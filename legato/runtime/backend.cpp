#include "legato/runtime/backend.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <mutex>

#include "legato/base/error.h"

namespace legato {
namespace {

constexpr int kMaxBackends = 8;
Backend* backends[kMaxBackends];
std::atomic<int> n_backends{0};
std::mutex registration;

std::atomic<bool> asynchronous{false};

// The first backend of each type and how many devices it has: what a step of an evaluation asks
// for several times.
constexpr int kTypes = 4;
std::atomic<Backend*> first_of_type[kTypes];
std::atomic<int> devices_of_type[kTypes];

Backend* find_registered(Device device) {
  const auto type = static_cast<size_t>(device.type);
  if (Backend* b = first_of_type[type].load(std::memory_order_acquire))
    if (device.index >= 0 && device.index < devices_of_type[type].load(std::memory_order_relaxed))
      return b;
  int n = n_backends.load(std::memory_order_acquire);
  for (int i = 0; i < n; ++i)
    if (backends[i]->type() == device.type && device.index >= 0 &&
        device.index < backends[i]->device_count())
      return backends[i];
  return nullptr;
}

// The folder of the library this code is in, with a slash.
std::string library_folder() {
  Dl_info info;
  if (!dladdr(reinterpret_cast<const void*>(&library_folder), &info) || !info.dli_fname) return "";
  std::string path = info.dli_fname;
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash + 1);
}

// The backend of GPUs stands in a shared object beside the library. It is loaded when somebody
// first asks for a GPU, never before, and what hinders it becomes a sentence.
const std::string& load_gpu_plugin() {
  static const std::string& reason = *new std::string([]() -> std::string {
    const std::string path = library_folder() + "liblegato_cuda.so";
    if (access(path.c_str(), F_OK) != 0)
      return "This build of Legato has no CUDA part (liblegato_cuda.so beside liblegato.so).";
    void* plugin = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!plugin) return cat("The CUDA part of Legato could not be loaded: ", dlerror(), ".");
    auto entry = reinterpret_cast<PluginEntry>(dlsym(plugin, "legato_plugin"));
    if (!entry) return cat(path, " is no backend of Legato: it has no function legato_plugin.");
    const char* why = entry(LEGATO_VERSION);
    return why ? why : "";
  }());
  return reason;
}

Backend* find_backend(Device device) {
  Backend* b = find_registered(device);
  if (b || device.type != DeviceType::gpu || !load_gpu_plugin().empty()) return b;
  return find_registered(device);
}

}  // namespace

Backend::~Backend() = default;
void Backend::synchronize(int) {}
int Backend::queues(int) const { return 1; }
int Backend::enter_queue(int, int) { return 0; }
bool Backend::run_rows(int, const RowCall&) { return false; }
int64_t Backend::work_given(int) const { return 0; }
int64_t Backend::work_given(int, int) const { return 0; }
void Backend::mark(int, int64_t) {}
void Backend::order(int, int64_t) noexcept {}
bool Backend::follows(int, int64_t) const { return true; }
void Backend::wait_for(int, int64_t) {}
int64_t Backend::memory_bytes(int) const { return 0; }
int64_t Backend::free_bytes(int) const { return 0; }

void Backend::prepare_program(int, const fuse::ProgramCall&) {}
void Backend::run_programs(int device, std::span<const fuse::ProgramCall> calls) {
  for (auto& call : calls) run_program(device, call);
}
void Backend::prepare_programs(int device, std::span<const fuse::ProgramCall> calls) {
  for (auto& call : calls) prepare_program(device, call);
}
void Backend::trim(int) noexcept {}
void* Backend::allocate_host(int, int64_t bytes) noexcept {
  return std::aligned_alloc(64, static_cast<size_t>((bytes + 63) / 64 * 64));
}
void Backend::free_host(int, void* p) noexcept { std::free(p); }
int64_t Backend::start_copy_to_host(int device, void* to, const void* from, int64_t bytes,
                                    std::span<const int64_t> after) {
  for (int64_t work : after) wait_for(device, work);
  copy_to_host(device, to, from, bytes, 0);
  return 0;
}
int64_t Backend::start_copy_from_host(int device, void* to, const void* from, int64_t bytes,
                                      std::span<const int64_t> after) {
  return copy_from_host(device, to, from, bytes, after);
}
Recording::~Recording() = default;
void Backend::stop_threads() noexcept {}
void Backend::begin_recording(int) {
  throw InternalError("a backend that does not record is asked to");
}
std::unique_ptr<Recording> Backend::end_recording(int, std::unique_ptr<Recording>) {
  return nullptr;
}
Ref<DeviceCheck> Backend::replay(int, Recording&) {
  throw InternalError("a backend that does not record is asked to replay");
}
int64_t Backend::exchange_stream(int) { return 1; }
void Backend::lead(int, int64_t) {}
void Backend::lead_all(int) noexcept {}
int64_t Backend::followed(int) noexcept { return 0; }
int64_t Backend::follow_all(int) noexcept { return 0; }
std::vector<std::pair<std::string, std::string>> Backend::facts(int) const { return {}; }
DeviceCheck::~DeviceCheck() = default;

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
  const auto type = static_cast<size_t>(backend->type());
  if (!first_of_type[type].load(std::memory_order_relaxed)) {
    devices_of_type[type].store(backend->device_count(), std::memory_order_relaxed);
    first_of_type[type].store(backend, std::memory_order_release);
  }
  if (backend->asynchronous()) asynchronous.store(true, std::memory_order_release);
}

Backend& backend_of(Device device) {
  Backend* b = find_backend(device);
  if (!b) {
    std::string why = why_no_device(device.type);
    throw ValueError(cat("no backend serves device ",
                         device.type == DeviceType::gpu ? "gpu" : "cpu", " ", device.index,
                         why.empty() ? "" : ". ", why));
  }
  return *b;
}

bool has_device(Device device) { return find_backend(device) != nullptr; }

std::string why_no_device(DeviceType type) {
  if (find_backend({type, 0})) return "";
  return type == DeviceType::gpu ? load_gpu_plugin() : "No backend of that type is registered.";
}

void stop_backend_threads() noexcept {
  const int n = n_backends.load(std::memory_order_acquire);
  for (int i = 0; i < n; ++i) backends[i]->stop_threads();
}

bool any_asynchronous_backend() { return asynchronous.load(std::memory_order_acquire); }

}  // namespace legato
