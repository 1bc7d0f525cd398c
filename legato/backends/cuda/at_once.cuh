// Kernels that say how many of their blocks a multiprocessor is to hold at once; the compiler gives
// threads as many registers as that leaves.
#pragma once

#include "legato/backends/cuda/element.cuh"

#ifdef LEGATO_EMULATED
#define LEGATO_KERNEL_AT_ONCE(name, Params, threads, ...) LEGATO_KERNEL(name, Params, threads)
#else
#define LEGATO_KERNEL_AT_ONCE(name, Params, threads, ...)              \
  extern "C" __global__ void __launch_bounds__(threads, (__VA_ARGS__)) \
      name(const __grid_constant__ Params p)
#endif
