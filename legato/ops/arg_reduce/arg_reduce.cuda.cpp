#include "legato/ops/arg_reduce/arg_reduce.cuh"

#include <algorithm>

#include "legato/backends/cuda/kit.h"
#include "legato/base/error.h"
#include "legato/ops/arg_reduce/ops.h"

namespace legato::cuda {
namespace {

constexpr int kRowThreads = 256;

template <bool largest>
void run(Launch& l) {
  const View& x = l.in[0];
  const auto& attrs = l.attrs<ArgReduceAttrs>();
  ArgReduceParams p{x.data, l.out[0].as<unsigned>(), 1, x.size, 1, 0, largest};
  if (attrs.axis) {
    const size_t axis = static_cast<size_t>(normalize_axis(l.op->name, *attrs.axis, x.ndim()));
    p.n = x.dim(axis);
    for (size_t i = 0; i < axis; ++i) p.outer *= x.dim(i);
    for (size_t i = axis + 1; i < x.ndim(); ++i) p.inner *= x.dim(i);
  }
  const int64_t rows = p.outer * p.inner;
  if (rows == 0 || p.n == 0) return;
  p.group = p.inner > 1 || p.n <= 16 ? 1 : p.n <= 1024 ? 32 : kRowThreads;
  const int64_t per_block = kRowThreads / p.group, blocks = (rows + per_block - 1) / per_block;
  launch_blocks("arg_reduce", cat("arg", suffix(x.dtype)),
                std::min<int64_t>(blocks, int64_t{current().multiprocessors()} * 64), kRowThreads,
                p);
}

}  // namespace

void register_arg_reduce_kernels(KernelTable& table) {
  add_kernels(table, op_named("argmax"), AllTypes{},
              [](auto) { return Kernel{run<true>, AcceptLayout::row_major}; });
  add_kernels(table, op_named("argmin"), AllTypes{},
              [](auto) { return Kernel{run<false>, AcceptLayout::row_major}; });
}

}  // namespace legato::cuda
