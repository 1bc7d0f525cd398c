// Fused programs on the GPU: laid out, compiled once per structure (kernels.h), launched.
#pragma once

#include <cstdint>

#include "legato/backends/cuda/device.h"
#include "legato/backends/cuda/print.h"
#include "legato/fuse/program.h"

namespace legato::cuda {

/// A call in the form in which kernels take it. Axes are merged where all operands step through two
/// as through one, and stand innermost first.
struct Walk {
  Variant variant;
  int64_t n = 1;     // elements
  int axes = 0;      // 0: every operand is dense or a scalar
  size_t outer = 0;  // leading axes of the call's shape that are left to the host
  int64_t size[kProgramAxes];
  int64_t stride[fuse::kMaxInputs][kProgramAxes];
  // In tiles only, elsewhere results are walked as they lie: their strides, and the axis that
  // changed places with axis 1.
  int64_t out_stride[kProgramAxes];
  int across;
};

/// Chooses how operands are read. Allocates nothing.
void plan_walk(const fuse::ProgramCall& call, Walk& walk);

/// The parameter of the kernel, as print.h lays it out. Returns how many words were written.
inline constexpr int kMaxParamWords = fuse::kMaxInputs + fuse::kMaxOutputs +
                                      2 * fuse::kMaxLiterals + 2 + kProgramAxes +
                                      fuse::kMaxInputs * kProgramAxes;
int fill_params(const fuse::ProgramCall& call, const Walk& walk, uint64_t* words);

/// Has a walk go by tiles where operands lie across (print_tiles.h).
void plan_tiles(const fuse::ProgramCall& call, Walk& walk);
/// Back to the order of the result, for kernels that do not know tiles.
void leave_tiles(const fuse::ProgramCall& call, Walk& walk);
int64_t tiles_of(const Walk& walk);
/// Writes what Note [Parameters of tiles] says; returns its end.
uint64_t* fill_tiles(const fuse::ProgramCall& call, const Walk& walk, uint64_t* words);

void run_program(GpuDevice& device, const fuse::ProgramCall& call);
/// Calls of one program, none of which reads what another one writes: one launch for as many of
/// them as can be read alike.
void run_programs(GpuDevice& device, std::span<const fuse::ProgramCall> calls);

class ProgramKernel;
/// Whether the kernel may be launched now, or when this returns: it is waited for if LEGATO_COMPILE
/// says so, and by whoever records. False for one that cannot be built.
bool can_launch(GpuDevice& device, const ProgramKernel& kernel);
/// Whether kernels are compiled at all (LEGATO_COMPILE).
bool compiles(const GpuDevice& device);
/// Runs a program without compiling anything. False, with nothing done, if that cannot be.
bool run_uncompiled(GpuDevice& device, const fuse::ProgramCall& call);

/// Begins to compile what `call` will need, unless it is known. Its addresses count by their
/// alignment only.
void prepare_program(GpuDevice& device, const fuse::ProgramCall& call);
void prepare_programs(GpuDevice& device, std::span<const fuse::ProgramCall> calls);

/// How programs whose kernel is not compiled yet run: by their parts (LEGATO_COMPILE=background,
/// the default), or when it is (wait, and while launches are recorded), or always by their parts
/// (never).
enum class Compile : uint8_t { background, wait, never };
Compile compile_mode(const GpuDevice& device);

}  // namespace legato::cuda
