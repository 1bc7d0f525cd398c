#include "legato/backends/cuda/reduction.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "legato/base/error.h"

namespace legato::cuda {
namespace {

// Of a multiprocessor, where outputs are cut; the second number of columns for less than a word.
constexpr int kRowBlocks = 8, kColumnBlocks[] = {4, 2};
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
void cut(ReduceParams& p, int64_t least, int each) {
  const int64_t wanted = int64_t{current().multiprocessors()} * each;
  int64_t parts =
      std::clamp<int64_t>(wanted / p.blocks, 1, std::max<int64_t>(1, p.n_steps / least));
  p.part = (p.n_steps + parts - 1) / parts;
  p.part = std::max<int64_t>((p.part + 15) / 16 * 16, 1);  // packs stay whole
  p.parts = static_cast<int>(std::max<int64_t>(1, (p.n_steps + p.part - 1) / p.part));
}

}  // namespace

void reduce_over(Launch& l, const ReductionCall& call, const View& x, const Axes& axes,
                 ReduceParams p) {
  split_axes(call, l.op->name, x, axes, p);
  if (p.n_kept == 0) return;
  p.in = x.data;
  p.out = l.out[0].data;
  const int64_t size = size_of(x.dtype), pack = 16 / size;
  const int last_kept = p.kept_axes - 1, last = p.reduced_axes - 1;
  const bool dense = p.reduced_axes == 1 && (p.reduced_stride[0] == 1 || p.n_reduced <= 1);
  p.n_steps = p.n_reduced;
  const char* kernel = "rows_";
  if (dense && p.kept_axes == 1 && p.kept_stride[0] == p.n_reduced &&
      p.n_reduced * size <= kShortRowBytes && p.n_kept >= kReduceThreads && p.n_reduced > 0) {
    launch_blocks(call.image, cat("short_", call.reducer),
                  (p.n_kept + kReduceThreads - 1) / kReduceThreads, kReduceThreads, p);
    return;
  }
  if (p.kept_size[last_kept] > 1 && p.n_reduced > 1 &&
      std::abs(p.kept_stride[last_kept]) < std::abs(p.reduced_stride[last])) {
    kernel = "columns_";
    const int64_t wide = size <= 2 ? column_pack<2> : size == 4 ? column_pack<4> : pack;
    p.packed = p.kept_stride[last_kept] == 1 && p.kept_size[last_kept] % wide == 0 &&
               aligned(x.data, p.kept_stride, last_kept, wide, size) &&
               aligned(x.data, p.reduced_stride, p.reduced_axes, wide, size);
    const int64_t packs = p.packed ? p.n_kept / wide : p.n_kept;
    // Threads of one output have kLeastSteps to do each, and are more only where a block would be
    // wider than outputs are.
    const int64_t deep =
        std::clamp<int64_t>(p.n_reduced / kLeastSteps, 1, kReduceThreads / kColumnPacks[size <= 2]);
    const int64_t most = kReduceThreads / deep, columns = (packs + most - 1) / most;
    p.width = static_cast<int>((packs + columns - 1) / columns);
    p.depth = kReduceThreads / p.width;
    p.blocks = (packs + p.width - 1) / p.width;
    cut(p, int64_t{p.depth} * 8, kColumnBlocks[size <= 2]);
  } else {
    p.walk = dense ? ReduceWalk::dense : ReduceWalk::elements;
    int64_t each = dense ? pack : 1;  // elements that a thread takes at once
    if (!dense && p.reduced_stride[last] == 1 && p.reduced_size[last] % pack == 0 && pack > 1 &&
        aligned(x.data, p.reduced_stride, last, pack, size) &&
        aligned(x.data, p.kept_stride, p.n_kept > 1 ? p.kept_axes : 0, pack, size)) {
      p.walk = ReduceWalk::packs;
      p.reduced_size[last] /= pack;
      p.reduced_stride[last] = pack;
      p.n_steps /= pack;
      each = 1;
    }
    const int64_t loads = p.n_steps / each;
    const int64_t warps = int64_t{current().multiprocessors()} * kRowBlocks * kReduceThreads / 32;
    p.group = loads > kWarpPacks && p.n_kept < warps / 2 ? kReduceThreads : 1;
    while (p.group < 32 && p.group * kThreadPacks < loads) p.group *= 2;
    const int64_t per_block = kReduceThreads / p.group;
    p.blocks = (p.n_kept + per_block - 1) / per_block;
    cut(p, p.group * each * 8, kRowBlocks);
  }
  p.narrow = p.n_steps < INT32_MAX;
  for (int i = 1; i < p.reduced_axes && p.narrow && p.n_steps > 0; ++i)
    p.reduced_divider[i] = divider_of(p.reduced_size[i]);
  if (p.parts > 1) {
    p.partial = l.workspace(p.parts * p.n_kept * call.accumulator_bytes);
    p.counters = static_cast<unsigned*>(l.workspace(p.blocks * 4));
    check(driver().cuMemsetD8Async(reinterpret_cast<CUdeviceptr>(p.counters), 0,
                                   static_cast<size_t>(p.blocks * 4), current().queue()),
          "clearing counters");
  }
  launch_blocks(call.image, cat(kernel, call.reducer), p.blocks * p.parts, kReduceThreads, p);
}

}  // namespace legato::cuda
