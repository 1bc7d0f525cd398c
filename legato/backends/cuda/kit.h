// What the host side of a kernel (<family>.cuda.cpp) uses: its device, launches, and axes merged
// into as few as the layouts allow.
#pragma once

#include <span>
#include <string>

#include "legato/backends/cuda/device.h"
#include "legato/backends/cuda/order_form.h"
#include "legato/runtime/backend.h"

namespace legato::cuda {

inline constexpr int kThreads = 256;

/// The device that the running kernel is launched on.
GpuDevice& current();

/// The record that a family registered; its C++ name is not visible from here.
const Op& op_named(const char* name);

/// Launches `name` of the image with enough threads for `items`, at most what fills the device
/// several times: kernels walk in strides of the grid.
template <class Params>
void launch_over(const char* image, const std::string& name, int64_t items, const Params& params) {
  GpuDevice& d = current();
  const int64_t blocks = (items + kThreads - 1) / kThreads,
                most = int64_t{d.multiprocessors()} * 32;
  Params copy = params;
  d.launch(d.kernel(image, name), blocks < most ? blocks : most, kThreads, &copy, image);
}
/// Launches exactly `blocks` blocks of `threads` threads.
template <class Params>
void launch_blocks(const char* image, const std::string& name, int64_t blocks, int threads,
                   const Params& params) {
  GpuDevice& d = current();
  Params copy = params;
  d.launch(d.kernel(image, name), blocks, threads, &copy, image);
}

/// As launch_blocks, with shared memory whose size the kernel leaves to the launch.
template <class Params>
void launch_shared(const char* image, const std::string& name, int64_t blocks, int threads,
                   int shared_bytes, const Params& params) {
  GpuDevice& d = current();
  Params copy = params;
  d.launch(d.kernel(image, name, shared_bytes), blocks, threads, &copy, image, shared_bytes);
}

/// What divides by `d`, which is 1 to 2^31.
Divider divider_of(int64_t d);

/// Axes with the strides of up to three operands, merged where all of them step through two axes as
/// through one. Axes of size 1 are gone; at least one axis is left.
struct MergedAxes {
  int n = 0;
  int64_t size[32], stride[3][32];
  int64_t count = 1;  // elements
};
MergedAxes merge_axes(const Shape& shape, std::span<const Strides* const> operands);

/// Copies elements of `bytes` bytes between any layouts on the current device.
void copy_elements(void* to, const Strides& to_strides, const void* from,
                   const Strides& from_strides, const Shape& shape, int64_t bytes);

/// The keys of a dtype; `zeros_equal`: whether -0.0 and 0.0 have one.
KeyForm key_form(Dtype t, bool zeros_equal);

/// "_f32", "_i64", ...: the ending of the kernels of a dtype; see kernel.cuh.
const char* suffix(Dtype t);

}  // namespace legato::cuda
