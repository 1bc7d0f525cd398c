#include "legato/backends/cuda/print.h"
#include "legato/backends/cuda/reduction.h"
#include "legato/ops/arg_reduce/ops.h"

namespace legato::cuda {
namespace {

template <bool largest>
Reducer arg_extreme(const void*, Dtype dtype, double) {
  const Dtype t = dtype == Dtype::bool_ ? Dtype::uint8 : dtype;
  Reducer r{{.image = "arg_reduce",
             .reducer = cat("arg", suffix(t)),
             .type = cat("ArgExtreme<", device_type(t), ">"),
             .accumulator_bytes = 32,
             .in_order = true}};
  r.params.flag = largest;
  return r;
}
Axes axes_of(const void* attrs) {
  const auto& axis = static_cast<const ArgReduceAttrs*>(attrs)->axis;
  return axis ? Axes(Dims{*axis}) : Axes();
}
template <bool largest>
void run(Launch& l) {
  const View& x = l.in[0];
  const Reducer r = arg_extreme<largest>(l.raw_attrs, x.dtype, 0);
  reduce_over(l, r.call, x, axes_of(l.raw_attrs), r.params);
}
int row_axes(const void* attrs, size_t rank) { return trailing_axes(axes_of(attrs), rank); }
template <bool largest>
void add(KernelTable& table, const char* name) {
  static constexpr ReducerOf own{arg_extreme<largest>};
  // Over one axis any layout serves; over all of them the places are counted in row-major order.
  add_kernels(table, op_named(name), AllTypes{}, [](auto) {
    return Kernel{.run = run<largest>,
                  .accepts = AcceptLayout::row_major,
                  .row_axes = row_axes,
                  .takes_input = takes_input,
                  .own = &own};
  });
}

}  // namespace

void register_arg_reduce_kernels(KernelTable& table) {
  add<true>(table, "argmax");
  add<false>(table, "argmin");
}

}  // namespace legato::cuda
