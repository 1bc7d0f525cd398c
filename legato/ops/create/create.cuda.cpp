#include "legato/ops/create/create.cuh"

#include "legato/backends/cuda/kit.h"
#include "legato/ops/create/records.h"

namespace legato::cuda {
namespace {

void launch(Launch& l, ArangeParams& p) {
  p.to = l.out[0].data;
  p.n = l.out[0].size;
  if (p.n) launch_over("create", cat("arange", suffix(l.out[0].dtype)), p.n, p);
}

void run_arange(Launch& l) {
  auto& a = l.attrs<ArangeAttrs>();
  ArangeParams p{};
  p.real = a.start.kind == Scalar::Kind::real;
  if (p.real) {
    p.start = a.start.re;
    p.step = a.step.re;
  } else {
    p.start_bits = a.start.u;
    p.step_bits = a.step.u;
  }
  launch(l, p);
}

void run_linspace(Launch& l) {
  auto& a = l.attrs<LinspaceAttrs>();
  const int64_t steps = a.endpoint ? a.num - 1 : a.num;
  ArangeParams p{};
  p.real = 1;
  p.start = a.start;
  p.step = steps > 0 ? (a.stop - a.start) / static_cast<double>(steps) : 0;
  p.exact_stop = a.endpoint && a.num > 1;
  p.stop = a.stop;
  launch(l, p);
}

}  // namespace

void register_create_kernels(KernelTable& table) {
  using NumberTypes =
      Types<uint8_t, uint16_t, uint32_t, uint64_t, int8_t, int16_t, int32_t, int64_t, float16_t,
            bfloat16_t, float, double, complex64_t, complex128_t>;
  add_kernels(table, op_named("arange"), NumberTypes{}, [](auto) { return Kernel{run_arange}; });
  add_kernels(table, op_named("linspace"), NumberTypes{},
              [](auto) { return Kernel{run_linspace}; });
}

}  // namespace legato::cuda
