#include <algorithm>
#include <cstring>

#include "legato/backends/cpu/scratch.h"
#include "legato/base/cpu_info.h"
#include "legato/base/thread_pool.h"
#include "legato/ops/pool/kernels.h"
#include "legato/ops/pool/ops.h"
#include "legato/runtime/backend.h"

namespace legato::cpu {
namespace {

constexpr int64_t kTaskReads = 32 << 10;  // elements read by a task: about 10 us

const PoolLoops& loops(Dtype dtype) {
#if LEGATO_HAS_X86_LEVELS
  if (simd_level() == SimdLevel::avx512) return avx512::pool_loops(dtype);
  if (simd_level() == SimdLevel::avx2) return avx2::pool_loops(dtype);
#endif
  return base::pool_loops(dtype);
}

PoolShape pool_shape(const Shape& in, const Shape& out, const PoolAttrs& attrs) {
  PoolShape s;
  const size_t n = in.size() - 2;
  for (size_t d = 0; d < 3; ++d) {
    const bool real = d + n >= 3;
    const size_t i = d + n - 3;
    s.in[d] = real ? in[i + 1] : 1;
    s.out[d] = real ? out[i + 1] : 1;
    s.kernel[d] = real ? attrs.kernel[i] : 1;
    s.stride[d] = real ? attrs.stride[i] : 1;
    s.low[d] = real ? attrs.low[i] : 0;
  }
  s.channels = s.pitch = in.back();
  return s;
}
int64_t product(const int64_t* d) { return d[0] * d[1] * d[2]; }

void run_tasks(int64_t tasks, FunctionRef<void(int64_t)> body) {
  if (tasks > 1)
    parallel_for(tasks, body);
  else if (tasks == 1)
    body(0);
}

template <auto loop>
void run_forward(Launch& l) {
  const View &x = l.in[0], &y = l.out[0];
  if (y.size == 0) return;
  const PoolShape s = pool_shape(*x.shape, *y.shape, l.attrs<PoolAttrs>());
  const int64_t bytes = size_of(x.dtype), rows = s.out[0] * s.out[1];
  const int64_t per_row = s.out[2] * product(s.kernel) * s.channels;
  const int64_t join = std::clamp<int64_t>(kTaskReads / std::max<int64_t>(1, per_row), 1, rows);
  const int64_t cuts = (rows + join - 1) / join;
  const auto run = loops(x.dtype).*loop;
  run_tasks(x.dim(0) * cuts, [&](int64_t t) {
    const int64_t sample = t / cuts, first = t % cuts * join;
    run(x.as<char>() + sample * product(s.in) * s.pitch * bytes,
        y.as<char>() + sample * product(s.out) * s.pitch * bytes, s, first,
        std::min(rows, first + join));
  });
}

// Windows overlap, so that a task owns all positions of some channels of one sample.
template <class Body>
void run_backward(Launch& l, const View& x_like, const Shape& out_shape, Body body) {
  const View& dx = l.out[0];
  if (dx.size == 0) return;
  const PoolLoops& k = loops(x_like.dtype);
  const PoolShape whole = pool_shape(*dx.shape, out_shape, l.attrs<PoolAttrs>());
  const int64_t bytes = size_of(dx.dtype), positions = product(whole.in);
  constexpr int64_t kLine = 16;  // channels
  const int64_t block =
      std::min(whole.pitch, kLine * std::max<int64_t>(1, kTaskReads / (positions * kLine)));
  const int64_t cuts = (whole.pitch + block - 1) / block;
  run_tasks(dx.dim(0) * cuts, [&](int64_t t) {
    PoolShape s = whole;
    const int64_t sample = t / cuts, channel = t % cuts * block;
    s.channels = std::min(block, s.pitch - channel);
    const size_t size = static_cast<size_t>(positions * s.channels * k.acc_bytes);
    void* acc = scratch(Scratch::rows, size);
    std::memset(acc, 0, size);
    const int64_t in_at = (sample * positions * s.pitch + channel) * bytes;
    const int64_t out_at = (sample * product(s.out) * s.pitch + channel) * bytes;
    body(k, acc, s, in_at, out_at);
    k.finish(acc, dx.as<char>() + in_at, positions, s.channels, s.pitch);
  });
}

void run_max_vjp(Launch& l) {
  const char *x = l.in[0].as<char>(), *y = l.in[1].as<char>(), *g = l.in[2].as<char>();
  run_backward(l, l.in[0], *l.in[1].shape,
               [&](const PoolLoops& k, void* acc, const PoolShape& s, int64_t in_at,
                   int64_t out_at) { k.max_vjp(x + in_at, y + out_at, g + out_at, acc, s); });
}
void run_avg_transpose(Launch& l) {
  const char* g = l.in[0].as<char>();
  run_backward(l, l.in[0], *l.in[0].shape,
               [&](const PoolLoops& k, void* acc, const PoolShape& s, int64_t, int64_t out_at) {
                 k.mean_vjp(g + out_at, acc, s);
               });
}

}  // namespace

void register_pool_kernels(KernelTable& table) {
  auto add = [&](const Op& op, void (*run)(Launch&)) {
    add_kernels(table, op, FloatTypes{},
                [=](auto) { return Kernel{run, AcceptLayout::row_major}; });
  };
  add(max_pool_op, run_forward<&PoolLoops::max>);
  add(avg_pool_op, run_forward<&PoolLoops::mean>);
  add(max_pool_vjp_op, run_max_vjp);
  add(avg_pool_transpose_op, run_avg_transpose);
}

}  // namespace legato::cpu
