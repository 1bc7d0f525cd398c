#include "legato/ops/norm/norm.cuh"

#include <algorithm>

#include "legato/backends/cuda/kit.h"
#include "legato/ops/norm/ops.h"

namespace legato::cuda {
namespace {

constexpr int kRowThreads = 256;

int64_t most_blocks() { return int64_t{current().multiprocessors()} * 64; }

struct Affine {
  const void *weight = nullptr, *bias = nullptr;
};
Affine affine(const Launch& l) {
  const auto& attrs = l.attrs<NormAttrs>();
  size_t next = 1;
  Affine a;
  if (attrs.has_weight) a.weight = l.in[next++].data;
  if (attrs.has_bias) a.bias = l.in[next].data;
  return a;
}

void run_rows(Launch& l) {
  const View& x = l.in[0];
  if (x.size == 0) return;
  const Affine a = affine(l);
  RowNormParams p{
      x.data, a.weight, a.bias, l.out[0].data, 0, x.shape->back(), l.attrs<NormAttrs>().eps, 0};
  p.rows = x.size / p.n;
  p.group = p.n <= 1024 ? 32 : kRowThreads;
  const int64_t per_block = kRowThreads / p.group, blocks = (p.rows + per_block - 1) / per_block;
  launch_blocks("norm", cat(l.op->name, suffix(x.dtype)), std::min<int64_t>(blocks, most_blocks()),
                kRowThreads, p);
}

void run_group(Launch& l) {
  const View& x = l.in[0];
  if (x.size == 0) return;
  const auto& attrs = l.attrs<NormAttrs>();
  const Affine a = affine(l);
  GroupNormParams p{x.data, a.weight,        a.bias, l.out[0].data, x.dim(0),
                    0,      x.shape->back(), 0,      attrs.eps};
  p.positions = x.size / p.samples / p.channels;
  p.group_channels = p.channels / attrs.groups;
  launch_blocks("norm", cat("group_norm", suffix(x.dtype)),
                std::min<int64_t>(p.samples * attrs.groups, most_blocks()), kRowThreads, p);
}

}  // namespace

void register_norm_kernels(KernelTable& table) {
  auto add = [&](const char* name, void (*run)(Launch&)) {
    add_kernels(table, op_named(name), FloatTypes{},
                [=](auto) { return Kernel{run, AcceptLayout::row_major, 0}; });
  };
  add("layer_norm", run_rows);
  add("rms_norm", run_rows);
  add("group_norm", run_group);
}

}  // namespace legato::cuda
