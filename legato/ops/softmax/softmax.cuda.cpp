#include "legato/ops/softmax/softmax.cuh"

#include <algorithm>

#include "legato/backends/cuda/kit.h"
#include "legato/base/error.h"
#include "legato/ops/softmax/ops.h"

namespace legato::cuda {
namespace {

constexpr int kRowThreads = 256;

void run(Launch& l, bool vjp) {
  const View& x = l.in[0];
  const size_t axis =
      static_cast<size_t>(normalize_axis(l.op->name, l.attrs<SoftmaxAttrs>().axis, x.ndim()));
  SoftmaxParams p{x.data, vjp ? l.in[1].data : nullptr, l.out[0].data, 1, x.dim(axis), 1, 0};
  for (size_t i = 0; i < axis; ++i) p.outer *= x.dim(i);
  for (size_t i = axis + 1; i < x.ndim(); ++i) p.inner *= x.dim(i);
  const int64_t rows = p.outer * p.inner;
  if (rows == 0 || p.n == 0) return;
  // Along an inner axis neighbouring threads take neighbouring rows.
  p.group = p.inner > 1 || p.n <= 16 ? 1 : p.n <= 1024 ? 32 : kRowThreads;
  const int64_t per_block = kRowThreads / p.group, blocks = (rows + per_block - 1) / per_block;
  launch_blocks("softmax", cat(l.op->name, suffix(x.dtype)),
                std::min<int64_t>(blocks, int64_t{current().multiprocessors()} * 64), kRowThreads,
                p);
}
void run_forward(Launch& l) { run(l, false); }
void run_vjp(Launch& l) { run(l, true); }

}  // namespace

void register_softmax_kernels(KernelTable& table) {
  auto add = [&](const char* name, void (*run)(Launch&), int8_t reuses) {
    add_kernels(table, op_named(name), FloatTypes{},
                [=](auto) { return Kernel{run, AcceptLayout::row_major, reuses}; });
  };
  add("softmax", run_forward, 0);
  add("log_softmax", run_forward, 0);
  add("logsumexp", run_forward, -1);
  add("softmax_vjp", run_vjp, 1);
  add("log_softmax_vjp", run_vjp, 1);
}

}  // namespace legato::cuda
