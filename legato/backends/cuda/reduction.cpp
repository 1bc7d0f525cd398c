#include "legato/backends/cuda/reduction.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "legato/backends/cuda/kernels.h"
#include "legato/backends/cuda/print_reduction.h"
#include "legato/backends/cuda/program.h"
#include "legato/base/error.h"

namespace legato::cuda {
namespace {

// Of a multiprocessor, where outputs are cut. The second number of columns is for less than a word.
constexpr int kRowBlocks = 8, kColumnBlocks[] = {3, 2};
constexpr int64_t kColumnPacks[] = {32,
                                    16};  // side by side in a block, where outputs are many steps
constexpr int64_t kWarpPacks = 256;       // above, a whole block takes a row if they are few
constexpr int64_t kThreadPacks = 8;       // that a thread of a row has at least
constexpr int64_t kLeastSteps = 16;       // of a thread of columns

struct Axis {
  int64_t size, stride;
};
MergedAxes merged(const std::vector<Axis>& axes) {
  Shape sizes;
  Strides strides;
  for (const Axis& a : axes) {
    sizes.push_back(a.size);
    strides.push_back(a.stride);
  }
  const Strides* operand[] = {&strides};
  MergedAxes m = merge_axes(sizes, operand);
  LEGATO_CHECK(m.n <= kMaxAxes, "a reduction on the GPU over more axes than a kernel walks");
  return m;
}

void split_axes(const ReductionCall& call, const char* op, const View& x, const Axes& axes,
                ReduceParams& p) {
  std::vector<bool> gone(x.ndim(), !axes.has_value());
  if (axes)
    for (int64_t axis : *axes) gone[static_cast<size_t>(normalize_axis(op, axis, x.ndim()))] = true;
  std::vector<Axis> sides[2];
  for (size_t i = 0; i < x.ndim(); ++i) sides[gone[i]].push_back({x.dim(i), (*x.strides)[i]});
  // In the order in which memory lies.
  if (!call.in_order)
    std::stable_sort(sides[1].begin(), sides[1].end(), [](const Axis& a, const Axis& b) {
      return std::abs(a.stride) > std::abs(b.stride);
    });
  const MergedAxes kept = merged(sides[0]), reduced = merged(sides[1]);
  p.n_kept = kept.count;
  p.n_reduced = reduced.count;
  p.kept_axes = kept.n;
  p.reduced_axes = reduced.n;
  for (int i = 0; i < kept.n; ++i) {
    p.kept_size[i] = kept.size[i];
    p.kept_stride[i] = kept.stride[0][i];
  }
  for (int i = 0; i < reduced.n; ++i) {
    p.reduced_size[i] = reduced.size[i];
    p.reduced_stride[i] = reduced.stride[0][i];
  }
}

/// Whether packs of `pack` elements start at a multiple of their size wherever the axes lead.
bool aligned(const void* data, const long long* stride, int axes, int64_t pack, int64_t bytes) {
  if (reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(pack * bytes)) return false;
  return std::all_of(stride, stride + axes, [&](long long s) { return s % pack == 0; });
}

/// Cuts outputs into parts so that the device is busy; none of them has fewer than `least` steps.
void cut(const GpuDevice& device, ReduceParams& p, int64_t least, int each) {
  const int64_t wanted = int64_t{device.multiprocessors()} * each;
  int64_t parts =
      std::clamp<int64_t>(wanted / p.blocks, 1, std::max<int64_t>(1, p.n_steps / least));
  p.part = (p.n_steps + parts - 1) / parts;
  p.part = std::max<int64_t>((p.part + 15) / 16 * 16, 1);  // packs stay whole
  p.parts = static_cast<int>(std::max<int64_t>(1, (p.n_steps + p.part - 1) / p.part));
}

}  // namespace

namespace {

/// How a reduction is carried out.
struct Plan {
  ReductionKernel kernel = ReductionKernel::rows_dense;
  int64_t blocks = 0;
  int64_t pack = 1;  // elements of a load
};

Plan plan_reduction(const GpuDevice& device, const void* data, int64_t size, ReduceParams& p) {
  Plan plan;
  const int64_t pack = 16 / size;
  const int last_kept = p.kept_axes - 1, last = p.reduced_axes - 1;
  const bool dense = p.reduced_axes == 1 && (p.reduced_stride[0] == 1 || p.n_reduced <= 1);
  p.n_steps = p.n_reduced;
  if (dense && p.kept_axes == 1 && p.kept_stride[0] == p.n_reduced &&
      p.n_reduced * size <= kShortRowBytes && p.n_kept >= kReduceThreads && p.n_reduced > 0)
    return {ReductionKernel::short_rows, (p.n_kept + kReduceThreads - 1) / kReduceThreads, pack};
  if (p.kept_size[last_kept] > 1 && p.n_reduced > 1 &&
      std::abs(p.kept_stride[last_kept]) < std::abs(p.reduced_stride[last])) {
    const int64_t wide = size <= 2 ? column_pack<2> : size == 4 ? column_pack<4> : pack;
    p.packed = p.kept_stride[last_kept] == 1 && p.kept_size[last_kept] % wide == 0 &&
               aligned(data, p.kept_stride, last_kept, wide, size) &&
               aligned(data, p.reduced_stride, p.reduced_axes, wide, size);
    const int64_t packs = p.packed ? p.n_kept / wide : p.n_kept;
    // Threads of one output have kLeastSteps to do each, and are more only where a block would be
    // wider than outputs are.
    const int64_t deep =
        std::clamp<int64_t>(p.n_reduced / kLeastSteps, 1, kReduceThreads / kColumnPacks[size <= 2]);
    const int64_t most = kReduceThreads / deep, columns = (packs + most - 1) / most;
    p.width = static_cast<int>((packs + columns - 1) / columns);
    p.depth = kReduceThreads / p.width;
    p.blocks = (packs + p.width - 1) / p.width;
    cut(device, p, int64_t{p.depth} * 8, kColumnBlocks[size <= 2]);
    plan.kernel = p.packed ? ReductionKernel::columns_packed : ReductionKernel::columns_single;
    plan.pack = p.packed ? wide : 1;
  } else {
    p.walk = dense ? ReduceWalk::dense : ReduceWalk::elements;
    int64_t each = dense ? pack : 1;  // elements that a thread takes at once
    if (!dense && p.reduced_stride[last] == 1 && p.reduced_size[last] % pack == 0 && pack > 1 &&
        aligned(data, p.reduced_stride, last, pack, size) &&
        aligned(data, p.kept_stride, p.n_kept > 1 ? p.kept_axes : 0, pack, size)) {
      p.walk = ReduceWalk::packs;
      p.reduced_size[last] /= pack;
      p.reduced_stride[last] = pack;
      p.n_steps /= pack;
      each = 1;
    }
    const int64_t loads = p.n_steps / each;
    const int64_t warps = int64_t{device.multiprocessors()} * kRowBlocks * kReduceThreads / 32;
    p.group = loads > kWarpPacks && p.n_kept < warps / 2 ? kReduceThreads : 1;
    while (p.group < 32 && p.group * kThreadPacks < loads) p.group *= 2;
    const int64_t per_block = kReduceThreads / p.group;
    p.blocks = (p.n_kept + per_block - 1) / per_block;
    cut(device, p, p.group * each * 8, kRowBlocks);
    plan.kernel = static_cast<ReductionKernel>(p.walk);
    plan.pack = p.walk == ReduceWalk::elements ? 1 : pack;
  }
  plan.blocks = p.blocks * p.parts;
  p.narrow = p.n_steps < INT32_MAX;
  for (int i = 1; i < p.reduced_axes && p.narrow && p.n_steps > 0; ++i)
    p.reduced_divider[i] = divider_of(p.reduced_size[i]);
  return plan;
}

/// Memory for what the parts of outputs give.
void take_partials(Launch& l, const ReductionCall& call, ReduceParams& p) {
  if (p.parts <= 1) return;
  p.partial = l.workspace(p.parts * p.n_kept * call.accumulator_bytes);
  p.counters = current().counters(p.blocks);
}

/// The kernel of LEGATO_REDUCTION.
std::string kernel_name(const Plan& plan, const ReduceParams& p, const std::string& reducer) {
  switch (plan.kernel) {
    case ReductionKernel::rows_dense:
      return "rows_dense_" + reducer;
    case ReductionKernel::columns_packed:
    case ReductionKernel::columns_single:
      return (p.packed && p.reduced_axes == 1 ? "columns_packed_" : "columns_") + reducer;
    case ReductionKernel::short_rows:
      return "short_" + reducer;
    default:
      return "rows_" + reducer;
  }
}

// How a generated kernel reads the operands of its program, packs being `pack` elements of what the
// program makes.
void choose_access(const fuse::ProgramCall& call, int64_t pack, Walk& w) {
  w.variant.pack = static_cast<int>(pack);
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    Access& access = w.variant.access[i];
    if (access == Access::scalar) continue;
    const int64_t bytes = std::min<int64_t>(16, pack * size_of(call.program->inputs[i]));
    const bool whole =
        reinterpret_cast<uintptr_t>(call.inputs[i].data) % static_cast<uintptr_t>(bytes) == 0;
    if (!is_strided(access)) {
      access = whole ? Access::dense : Access::single;
      continue;
    }
    if (w.size[0] % pack != 0) {
      access = Access::each;
      continue;
    }
    bool row = whole && pack > 1 && w.stride[i][0] == 1;
    for (int k = 1; k < w.axes; ++k) row &= w.stride[i][k] % pack == 0;
    access = row ? Access::row : pack > 1 && w.stride[i][0] == 0 ? Access::splat : Access::gather;
  }
}

enum class Generated : uint8_t { launched, not_yet, never };

/// By a kernel that computes the program.
Generated launch_generated(Launch& l, const ReductionCall& call, const Plan& plan,
                           ReduceParams& p) {
  const fuse::ProgramCall& program = l.prologue->call;
  Walk w;
  plan_walk(program, w);
  GpuDevice& device = current();
  if (w.outer || !compiles(device)) return Generated::never;
  choose_access(program, plan.pack, w);
  ReductionForm form;
  form.reducer = cat("Flagged<cuda::", call.type, ", ", p.flag, ">");
  form.kernel = plan.kernel;
  const bool columns = plan.kernel == ReductionKernel::columns_packed ||
                       plan.kernel == ReductionKernel::columns_single;
  form.one_axis = columns && p.reduced_axes == 1;
  form.output = l.prologue->output;
  for (size_t o = 0; o < program.outputs.size(); ++o)
    if (program.outputs[o]) form.stored |= 1u << o;
  const ProgramKernel* kernel = find_reduction(device, *program.program, w.variant, form);
  if (!kernel) return Generated::never;
  if (!can_launch(device, *kernel))
    return kernel->state() == ProgramKernel::State::failed ? Generated::never : Generated::not_yet;
  take_partials(l, call, p);
  struct alignas(16) {
    ReduceParams reduce;
    uint64_t words[kMaxParamWords];
  } params;
  static_assert(sizeof(ReduceParams) % 8 == 0);
  params.reduce = p;
  fill_params(program, w, params.words);
  device.launch(kernel->function(), plan.blocks, kReduceThreads, &params, "a reduction");
  return Generated::launched;
}

/// Computes the program's result to memory by what needs no compiler, until the kernel is there.
/// Null if that cannot be.
void* compute_apart(Launch& l, const View& x) {
  fuse::ProgramCall call = l.prologue->call;
  std::vector<void*> outputs(call.outputs.begin(), call.outputs.end());
  void*& result = outputs[static_cast<size_t>(l.prologue->output)];
  if (!result) result = l.workspace(x.size * size_of(x.dtype));
  call.outputs = outputs;
  return run_uncompiled(current(), call) ? result : nullptr;
}

}  // namespace

RowsWalk walk_rows(const GpuDevice& device, Dtype dtype, int64_t rows, int64_t n) {
  ReduceParams p{};
  p.n_kept = p.kept_size[0] = rows;
  p.n_reduced = p.reduced_size[0] = p.kept_stride[0] = n;
  p.reduced_stride[0] = 1;
  p.kept_axes = p.reduced_axes = 1;
  const Plan plan = plan_reduction(device, nullptr, size_of(dtype), p);
  return {plan.kernel == ReductionKernel::rows_dense && p.parts == 1 ? p.group : 0};
}

int trailing_axes(const Axes& axes, size_t rank) {
  if (!axes) return static_cast<int>(rank);
  std::vector<bool> gone(rank, false);
  for (int64_t axis : *axes) gone[static_cast<size_t>(normalize_axis("reduce", axis, rank))] = true;
  size_t n = 0;
  while (n < rank && gone[rank - 1 - n]) ++n;
  return n == axes->size() ? static_cast<int>(n) : 0;
}

bool takes_input(const void*, const Prologue& prologue) {
  // Longer ones keep so much on the way that they are better off alone.
  return prologue.call.program->inputs.size() <= 8;
}

void reduce_over(Launch& l, const ReductionCall& call, const View& given, const Axes& axes,
                 ReduceParams p) {
  View x = given;
  split_axes(call, l.op->name, x, axes, p);
  if (p.n_kept == 0) return;
  p.out = l.out[0].data;
  const Plan plan = plan_reduction(current(), x.data, size_of(x.dtype), p);
  if (l.prologue) {
    const Generated generated = launch_generated(l, call, plan, p);
    if (generated == Generated::launched) return;
    if (generated == Generated::not_yet) x.data = compute_apart(l, x);
    l.declined = x.data == nullptr;
    if (l.declined) return;
  }
  p.in = x.data;
  take_partials(l, call, p);
  launch_blocks(call.image, kernel_name(plan, p, call.reducer), plan.blocks, kReduceThreads, p);
}

}  // namespace legato::cuda
