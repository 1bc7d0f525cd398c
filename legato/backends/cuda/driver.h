// The CUDA driver as a table of functions, filled by dlopen when a GPU is first asked for. Nothing
// here is linked: on a machine without a driver the reason is a sentence.
#pragma once

#include <cuda.h>

#include <string>

namespace legato::cuda {

// Every function of the driver that the backend calls, by theme, so not for the formatter.
// clang-format off
#define LEGATO_CUDA_DRIVER_FUNCTIONS(X)                                                           \
  X(cuInit) X(cuDriverGetVersion) X(cuGetErrorName) X(cuGetErrorString)                           \
  X(cuDeviceGetCount) X(cuDeviceGet) X(cuDeviceGetName) X(cuDeviceGetAttribute)                   \
  X(cuDeviceTotalMem) X(cuDevicePrimaryCtxRetain) X(cuCtxSetCurrent)                              \
  X(cuCtxRecordEvent) X(cuCtxWaitEvent) X(cuCtxSynchronize)                                       \
  X(cuStreamCreate) X(cuStreamSynchronize) X(cuStreamWaitEvent) X(cuStreamQuery)                  \
  X(cuEventCreate) X(cuEventRecord) X(cuEventSynchronize) X(cuEventQuery) X(cuEventDestroy)       \
  X(cuMemAllocFromPoolAsync) X(cuMemFreeAsync) X(cuMemPoolCreate) X(cuMemPoolSetAttribute)        \
  X(cuMemPoolTrimTo) X(cuMemGetInfo) X(cuMemHostAlloc) X(cuMemFreeHost)                           \
  X(cuMemcpyHtoDAsync) X(cuMemcpyDtoHAsync) X(cuMemcpyDtoDAsync)                                   \
  X(cuMemsetD8Async) X(cuMemsetD32Async)                                                          \
  X(cuModuleLoadData) X(cuModuleGetFunction) X(cuModuleUnload) X(cuLaunchKernel)                  \
  X(cuFuncSetAttribute)                                                                           \
  X(cuStreamBeginCapture) X(cuStreamEndCapture) X(cuGraphInstantiate)                             \
  X(cuGraphLaunch) X(cuGraphDestroy) X(cuGraphExecUpdate) X(cuGraphExecDestroy)                  \
  X(cuGraphCreate) X(cuGraphAddKernelNode) X(cuGraphExecKernelNodeSetParams)                      \
  X(cuGraphAddChildGraphNode) X(cuGraphExecChildGraphNodeSetParams)                               \
  X(cuTensorMapEncodeTiled)
// clang-format on

struct Driver {
#define LEGATO_CUDA_MEMBER(name) decltype(&::name) name = nullptr;
  LEGATO_CUDA_DRIVER_FUNCTIONS(LEGATO_CUDA_MEMBER)
#undef LEGATO_CUDA_MEMBER
  int version = 0;  // 13000 for CUDA 13.0
};

/// The oldest driver that runs what this build contains: of the toolkit's major version.
inline constexpr int kOldestDriver = CUDA_VERSION / 1000 * 1000;

/// Loads `library` (nullptr: the system's libcuda.so.1, or what LEGATO_CUDA_DRIVER names) and fills
/// `driver`. Returns an empty string, or a sentence that says what is missing.
std::string load_driver(Driver& driver, const char* library = nullptr);

/// The driver in use. load_driver() must have succeeded on it (see devices.h).
Driver& driver();

/// Throws what a failed call means: MemoryError for lack of memory, else EvalError. `what` says
/// what was tried: "launching softmax".
[[noreturn]] void throw_driver_error(CUresult status, const char* what);
/// A kernel that a user wrote has been launched: named in what is thrown if the context ends.
void remember_user_kernel(const std::string& name);
inline void check(CUresult status, const char* what) {
  if (status != CUDA_SUCCESS) [[unlikely]]
    throw_driver_error(status, what);
}

}  // namespace legato::cuda
