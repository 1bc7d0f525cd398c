#include "legato/ops/pool/pool.cuh"

#include "legato/backends/cuda/kit.h"
#include "legato/ops/pool/ops.h"

namespace legato::cuda {
namespace {

void launch(Launch& l, PoolParams& p, const Shape& in, const Shape& out) {
  const auto& attrs = l.attrs<PoolAttrs>();
  const size_t n = in.size() - 2;
  for (size_t d = 0; d < 3; ++d) {
    const bool real = d + n >= 3;
    const size_t i = d + n - 3;
    p.in[d] = real ? in[i + 1] : 1;
    p.out[d] = real ? out[i + 1] : 1;
    p.kernel[d] = real ? attrs.kernel[i] : 1;
    p.stride[d] = real ? attrs.stride[i] : 1;
    p.low[d] = real ? attrs.low[i] : 0;
  }
  p.samples = in[0];
  p.channels = in.back();
  p.to = l.out[0].data;
  if (l.out[0].size) launch_over("pool", cat(l.op->name, suffix(l.out[0].dtype)), l.out[0].size, p);
}

void run_forward(Launch& l) {
  PoolParams p{};
  p.x = l.in[0].data;
  launch(l, p, *l.in[0].shape, *l.out[0].shape);
}
void run_max_vjp(Launch& l) {
  PoolParams p{};
  p.x = l.in[0].data;
  p.y = l.in[1].data;
  p.g = l.in[2].data;
  launch(l, p, *l.out[0].shape, *l.in[1].shape);
}
void run_avg_transpose(Launch& l) {
  PoolParams p{};
  p.g = l.in[0].data;
  launch(l, p, *l.out[0].shape, *l.in[0].shape);
}

}  // namespace

void register_pool_kernels(KernelTable& table) {
  auto add = [&](const char* name, void (*run)(Launch&)) {
    add_kernels(table, op_named(name), FloatTypes{},
                [=](auto) { return Kernel{run, AcceptLayout::row_major}; });
  };
  add("max_pool", run_forward);
  add("avg_pool", run_forward);
  add("max_pool_vjp", run_max_vjp);
  add("avg_pool_transpose", run_avg_transpose);
}

}  // namespace legato::cuda
