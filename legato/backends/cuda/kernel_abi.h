// What host code and kernels share: structs that are passed to kernels. Read by g++, nvcc and
// NVRTC, so it includes nothing.
//
// Every kernel takes one struct by value, which keeps launches typed and lets tests run kernels on
// the host.
#pragma once

namespace legato::cuda {

/// Where a kernel reports a value at fault. In pinned host memory; the first one wins.
struct ValueReport {
  int* claim;       // in the device's memory: 0, or 1 once a thread is about to report
  int set;          // 0, or 1 once something is reported
  int place;        // which operand, as the kernel numbers them
  long long value;  // what was found
  long long bound;  // what it had to stay within
  // A launch that has been recorded reports to where this leads at the time of the replay, and says
  // which launch of the recording it is.
  ValueReport** redirect;
  int launch;
};

/// A description of an array that the driver writes for the tensor copies of Hopper and newer.
struct alignas(64) TensorMap {
  unsigned long long words[16];
};

/// Division of numbers below 2^32 by one that the host knows.
struct Divider {
  unsigned factor, shift_first, shift_then;
};

inline constexpr int kMaxAxes = 10;  // after merging; longer walks are split by the host

}  // namespace legato::cuda
