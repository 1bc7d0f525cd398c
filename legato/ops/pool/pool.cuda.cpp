#include "legato/ops/pool/pool.cuh"

#include "legato/backends/cuda/kit.h"
#include "legato/ops/pool/ops.h"

namespace legato::cuda {
namespace {

/// `result_is_input`: of a derivative, which has the shape of the pooled array.
void launch(Launch& l, PoolParams& p, const Shape& in, const Shape& out, bool result_is_input) {
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
  const long long* sizes = result_is_input ? p.in : p.out;
  p.to = l.out[0].data;
  const View& y = l.out[0];
  if (y.size == 0) return;
  const int64_t pack = p.packed ? 16 / size_of(y.dtype) : 1;
  p.narrow = y.size < INT32_MAX;
  if (p.narrow) {
    p.by_channels = divider_of(p.channels / pack);
    for (size_t d = 0; d < 3; ++d) p.by_size[d] = divider_of(sizes[d]);
  }
  launch_over("pool", cat(l.op->name, suffix(y.dtype)), y.size / pack, p);
}

/// Whether channels go 16 bytes at a time.
bool in_packs(const Launch& l) {
  const View& first = l.in[0];
  uintptr_t bits = reinterpret_cast<uintptr_t>(l.out[0].data);
  for (const View& v : l.in) bits |= reinterpret_cast<uintptr_t>(v.data);
  return first.shape->back() % (16 / size_of(first.dtype)) == 0 && bits % 16 == 0;
}

void run_forward(Launch& l) {
  PoolParams p{};
  p.x = l.in[0].data;
  p.packed = in_packs(l);
  launch(l, p, *l.in[0].shape, *l.out[0].shape, false);
}
void run_max_vjp(Launch& l) {
  PoolParams p{};
  p.x = l.in[0].data;
  p.y = l.in[1].data;
  p.g = l.in[2].data;
  p.packed = in_packs(l);
  launch(l, p, *l.out[0].shape, *l.in[1].shape, true);
}
void run_avg_transpose(Launch& l) {
  PoolParams p{};
  p.g = l.in[0].data;
  p.packed = in_packs(l);
  launch(l, p, *l.out[0].shape, *l.in[0].shape, true);
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
