#include "legato/ops/reduce/reduce.cuh"

#include <algorithm>

#include "legato/backends/cuda/kit.h"
#include "legato/base/error.h"
#include "legato/ops/reduce/ops.h"

namespace legato::cuda {
namespace {

constexpr int64_t kShortRow = 32;   // elements that one thread walks alone
constexpr int64_t kWarpRow = 1024;  // that a warp does
constexpr int64_t kMinPart = 4096;  // elements, below which a cut costs more than it brings

/// Moves the axes of `x` into the kept and the reduced ones. False if there are too many.
bool split_axes(const View& x, const Axes& reduced, const char* name, ReduceParams& p) {
  std::vector<bool> gone(x.ndim(), !reduced.has_value());
  if (reduced)
    for (int64_t axis : *reduced)
      gone[static_cast<size_t>(normalize_axis(name, axis, x.ndim()))] = true;
  Shape sizes[2];
  Strides strides[2];
  for (size_t i = 0; i < x.ndim(); ++i) {
    sizes[gone[i]].push_back(x.dim(i));
    strides[gone[i]].push_back((*x.strides)[i]);
  }
  MergedAxes merged[2];
  for (int side = 0; side < 2; ++side) {
    const Strides* operand[] = {&strides[side]};
    merged[side] = merge_axes(sizes[side], operand);
    if (merged[side].n > kMaxAxes) return false;
  }
  p.n_kept = merged[0].count;
  p.n_reduced = merged[1].count;
  p.kept_axes = merged[0].n;
  p.reduced_axes = merged[1].n;
  for (int i = 0; i < merged[0].n; ++i) {
    p.kept_size[i] = merged[0].size[i];
    p.kept_stride[i] = merged[0].stride[0][i];
  }
  for (int i = 0; i < merged[1].n; ++i) {
    p.reduced_size[i] = merged[1].size[i];
    p.reduced_stride[i] = merged[1].stride[0][i];
  }
  return true;
}

template <bool mean>
void run_reduce(Launch& l) {
  const View& x = l.in[0];
  ReduceParams p{};
  LEGATO_CHECK(split_axes(x, l.attrs<ReduceAttrs>().axis, l.op->name, p),
               "a reduction on the GPU over more axes than a kernel walks");
  if (p.n_kept == 0) return;
  p.in = x.data;
  p.out = l.out[0].data;
  p.divisor = mean ? static_cast<double>(p.n_reduced) : 1;
  // Threads that share an output walk along it: good where its elements are neighbours. Else
  // neighbouring threads do neighbouring outputs.
  const bool rows =
      p.reduced_stride[p.reduced_axes - 1] == 1 || p.kept_stride[p.kept_axes - 1] != 1;
  p.group = !rows || p.n_reduced <= kShortRow ? 1 : p.n_reduced <= kWarpRow ? 32 : kReduceThreads;
  const int64_t per_block = kReduceThreads / p.group;
  const int64_t blocks = (p.n_kept + per_block - 1) / per_block;
  const int64_t wanted = int64_t{current().multiprocessors()} * 8;
  const int64_t shortest = p.group == 1 ? 64 : kMinPart;
  p.parts = static_cast<int>(std::clamp<int64_t>(wanted / std::max<int64_t>(blocks, 1), 1,
                                                 std::max<int64_t>(1, p.n_reduced / shortest)));
  p.parts = std::min(p.parts, 1024);
  p.part_size = (p.n_reduced + p.parts - 1) / p.parts;
  if (p.parts > 1) {
    p.partial = l.workspace(p.parts * p.n_kept * kReduceAccumulator);
    p.counters = static_cast<unsigned*>(l.workspace(blocks * 4));
    check(driver().cuMemsetD8Async(reinterpret_cast<CUdeviceptr>(p.counters), 0,
                                   static_cast<size_t>(blocks * 4), current().queue()),
          "clearing counters");
  }
  const std::string name = cat(mean ? "sum" : l.op->name, suffix(x.dtype));
  launch_blocks("reduce", name, std::min<int64_t>(blocks * p.parts, INT32_MAX), kReduceThreads, p);
}

}  // namespace

void register_reduce_kernels(KernelTable& table) {
  for (const char* name : {"sum", "prod", "max", "min", "all", "any"})
    add_kernels(table, op_named(name), AllTypes{}, []<class T>(TypeTag<T>) {
      return Kernel{.run = run_reduce<false>, .accepts = AcceptLayout::any};
    });
  add_kernels(table, op_named("mean"),
              Types<float16_t, bfloat16_t, float, double, complex64_t, complex128_t>{},
              []<class T>(TypeTag<T>) {
                return Kernel{.run = run_reduce<true>, .accepts = AcceptLayout::any};
              });
}

}  // namespace legato::cuda
