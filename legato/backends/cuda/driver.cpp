#include "legato/backends/cuda/driver.h"

#include <dlfcn.h>

#include <cstdlib>
#include <mutex>

#include "legato/base/error.h"

namespace legato::cuda {
namespace {

#define LEGATO_CUDA_TEXT2(name) #name
#define LEGATO_CUDA_TEXT(name) LEGATO_CUDA_TEXT2(name)  // cuda.h renames functions: _v2, _v3

std::string version_text(int version) { return cat(version / 1000, ".", version % 1000 / 10); }

}  // namespace

std::string load_driver(Driver& d, const char* library) {
  if (!library) library = std::getenv("LEGATO_CUDA_DRIVER");
  const bool of_system = !library || !*library;
  void* handle = dlopen(of_system ? "libcuda.so.1" : library, RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    const std::string why = dlerror();
    if (of_system && why.find("No such file") != std::string::npos)
      return "No NVIDIA driver is installed here: libcuda.so.1 was not found.";
    return cat("The NVIDIA driver could not be loaded: ", why, ".");
  }
#define LEGATO_CUDA_LOAD(name)                                                        \
  d.name = reinterpret_cast<decltype(d.name)>(dlsym(handle, LEGATO_CUDA_TEXT(name))); \
  if (!d.name)                                                                        \
    return cat("The NVIDIA driver is too old: it has no ", LEGATO_CUDA_TEXT(name),    \
               "; Legato needs a driver for CUDA ", version_text(kOldestDriver), " or newer.");
  LEGATO_CUDA_DRIVER_FUNCTIONS(LEGATO_CUDA_LOAD)
#undef LEGATO_CUDA_LOAD
  if (CUresult status = d.cuInit(0); status != CUDA_SUCCESS) {
    const char* text = nullptr;
    if (status == CUDA_ERROR_NO_DEVICE) return "The NVIDIA driver finds no GPU.";
    d.cuGetErrorString(status, &text);
    return cat("The NVIDIA driver could not be started: ", text ? text : "unknown error",
               " (cuInit gave ", static_cast<int>(status), ").");
  }
  if (d.cuDriverGetVersion(&d.version) != CUDA_SUCCESS || d.version < kOldestDriver)
    return cat("The NVIDIA driver is too old: it is made for CUDA ", version_text(d.version),
               ", and Legato needs one for ", version_text(kOldestDriver), " or newer.");
  return "";
}

Driver& driver() {
  static Driver& d = *new Driver;
  return d;
}

namespace {

std::mutex user_kernel_lock;
std::string& last_user_kernel = *new std::string;  // guarded by user_kernel_lock

}  // namespace

void remember_user_kernel(const std::string& name) {
  std::lock_guard lock(user_kernel_lock);
  last_user_kernel = name;
}

void throw_driver_error(CUresult status, const char* what) {
  const char *name = nullptr, *text = nullptr;
  driver().cuGetErrorName(status, &name);
  driver().cuGetErrorString(status, &text);
  if (status == CUDA_ERROR_OUT_OF_MEMORY) throw MemoryError(cat("GPU: no memory for ", what));
  // After these the context is gone: nothing on this device works any more in this process.
  const bool lost = status == CUDA_ERROR_ILLEGAL_ADDRESS || status == CUDA_ERROR_LAUNCH_FAILED ||
                    status == CUDA_ERROR_ILLEGAL_INSTRUCTION || status == CUDA_ERROR_ASSERT ||
                    status == CUDA_ERROR_MISALIGNED_ADDRESS ||
                    status == CUDA_ERROR_INVALID_ADDRESS_SPACE || status == CUDA_ERROR_INVALID_PC ||
                    status == CUDA_ERROR_HARDWARE_STACK_ERROR ||
                    status == CUDA_ERROR_LAUNCH_TIMEOUT || status == CUDA_ERROR_ECC_UNCORRECTABLE ||
                    status == CUDA_ERROR_CONTEXT_IS_DESTROYED;
  std::string after;
  if (lost) {
    std::lock_guard lock(user_kernel_lock);
    after =
        cat(". The device cannot be used again in this process; arrays that the host has copies "
            "of, and the CPU, can: set_default_device(cpu)",
            last_user_kernel.empty()
                ? ""
                : cat(". The last kernel of yours that ran there is ", last_user_kernel));
  }
  throw EvalError(cat("GPU: ", what, " failed: ", text ? text : "unknown error", " (",
                      name ? name : "?", ")", after));
}

}  // namespace legato::cuda
