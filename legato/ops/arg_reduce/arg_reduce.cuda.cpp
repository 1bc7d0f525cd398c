#include "legato/backends/cuda/reduction.h"
#include "legato/ops/arg_reduce/ops.h"

namespace legato::cuda {
namespace {

template <bool largest>
void run(Launch& l) {
  const View& x = l.in[0];
  const auto& attrs = l.attrs<ArgReduceAttrs>();
  Axes axes;
  if (attrs.axis) axes = Dims{*attrs.axis};
  ReduceParams p{};
  p.flag = largest;
  const char* end = x.dtype == Dtype::bool_ ? "_u8" : suffix(x.dtype);
  reduce_over(l,
              {.image = "arg_reduce",
               .reducer = cat("arg", end),
               .accumulator_bytes = 32,
               .in_order = true},
              x, axes, p);
}

}  // namespace

void register_arg_reduce_kernels(KernelTable& table) {
  // Over one axis any layout serves; over all of them the places are counted in row-major order.
  add_kernels(table, op_named("argmax"), AllTypes{},
              [](auto) { return Kernel{run<true>, AcceptLayout::row_major}; });
  add_kernels(table, op_named("argmin"), AllTypes{},
              [](auto) { return Kernel{run<false>, AcceptLayout::row_major}; });
}

}  // namespace legato::cuda
