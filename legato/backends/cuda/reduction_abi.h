// Parameters of kernels that reduce over axes, for both sides; see reduction.cuh.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"

namespace legato::cuda {

/// How the elements of one output lie.
enum class ReduceWalk : int {
  dense,     // one behind the other
  packs,     // over several axes, the last of which is dense, in packs of 16 bytes
  elements,  // anywhere
};

/// Outputs are row-major over the kept axes. Reduced axes are counted in steps: of a pack on the
/// last axis where the walk is in packs, else of an element.
struct ReduceParams {
  const void* in;
  void* out;
  void* partial;       // accumulators of the parts, [part][output]
  unsigned* counters;  // GpuDevice::counters; of each block of outputs: parts that have arrived
  double divisor;      // of a mean or a variance, else 1
  unsigned long long mask;  // bits that make an element true
  long long n_kept, n_reduced;
  long long n_steps;  // of one output; elements where the walk is dense
  long long part;     // steps of a part
  long long blocks;   // of outputs
  ReduceWalk walk;
  int parts;
  int group;         // rows: threads of one output
  int width, depth;  // columns: packs of outputs side by side in a block, and threads of one
  int packed;        // columns: whether outputs are read in packs
  int flag;          // sum or product, largest or smallest, any or all
  int kept_axes, reduced_axes;
  long long kept_size[kMaxAxes], kept_stride[kMaxAxes];
  long long reduced_size[kMaxAxes], reduced_stride[kMaxAxes];
  Divider reduced_divider[kMaxAxes];
  int narrow;  // whether steps are below 2^32, so that dividers serve
};

inline constexpr int kReduceThreads = 256;
/// Outputs side by side that a thread of columns takes at once, by the bytes of an element.
template <int bytes>
inline constexpr int column_pack = bytes <= 2   ? 8
                                   : bytes == 4 ? 4
                                                : 16 / bytes;
inline constexpr int kReduceAccumulator = 32;  // bytes of one, at most
inline constexpr int kShortRowBytes = 128;     // of rows that one thread reduces alone

}  // namespace legato::cuda
