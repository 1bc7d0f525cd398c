#include <algorithm>

#include "legato/backends/cuda/reduction.h"
#include "legato/ops/reduce/ops.h"

namespace legato::cuda {
namespace {

// Kernels tell integers apart as far as they must.
std::string arith_suffix(Dtype t) {
  if (t == Dtype::bool_) return "_u8";
  if (t == Dtype::int32) return "_u32";
  if (t == Dtype::int64) return "_u64";
  return suffix(t);
}
std::string extreme_suffix(Dtype t) { return t == Dtype::bool_ ? "_u8" : suffix(t); }

template <bool product>
void run_arith(Launch& l) {
  const View& x = l.in[0];
  ReduceParams p{};
  p.flag = product;
  p.divisor = 1;
  const bool wide = size_of(x.dtype) == 16;
  reduce_over(l, {"reduce", cat("arith", arith_suffix(x.dtype)), wide ? 16 : 8}, x,
              l.attrs<ReduceAttrs>().axis, p);
}
void run_mean(Launch& l) {
  const View &x = l.in[0], &out = l.out[0];
  ReduceParams p{};
  p.divisor = out.size ? static_cast<double>(x.size) / static_cast<double>(out.size) : 1;
  const bool wide = size_of(x.dtype) == 16;
  reduce_over(l, {"reduce", cat("arith", arith_suffix(x.dtype)), wide ? 16 : 8}, x,
              l.attrs<ReduceAttrs>().axis, p);
}
template <bool largest>
void run_extreme(Launch& l) {
  const View& x = l.in[0];
  ReduceParams p{};
  p.flag = largest;
  reduce_over(l, {"reduce", cat("extreme", extreme_suffix(x.dtype)), 16}, x,
              l.attrs<ReduceAttrs>().axis, p);
}
template <bool all>
void run_any(Launch& l) {
  const View& x = l.in[0];
  ReduceParams p{};
  p.flag = all;
  p.mask = ~uint64_t{0};  // all bits, of floats without the sign
  if (is_floating(x.dtype)) p.mask >>= 65 - 8 * size_of(x.dtype);
  if (x.dtype == Dtype::complex64) p.mask = 0x7fffffff7fffffff;
  if (x.dtype == Dtype::complex128) p.mask >>= 1;
  reduce_over(l, {"reduce", cat("any_", size_of(x.dtype)), 4}, x, l.attrs<ReduceAttrs>().axis, p);
}
void run_var(Launch& l) {
  const View &x = l.in[0], &out = l.out[0];
  const auto& attrs = l.attrs<VarAttrs>();
  ReduceParams p{};
  const int64_t n = out.size ? x.size / out.size : 0;
  p.divisor = static_cast<double>(std::max<int64_t>(n - attrs.ddof, 0));
  reduce_over(l, {"reduce", cat("variance", suffix(x.dtype)), 24}, x, attrs.axis, p);
}

}  // namespace

void register_reduce_kernels(KernelTable& table) {
  auto add = [&](const char* name, auto types, void (*run)(Launch&)) {
    add_kernels(table, op_named(name), types,
                [=](auto) { return Kernel{.run = run, .accepts = AcceptLayout::any}; });
  };
  add("sum", AllTypes{}, run_arith<false>);
  add("prod", AllTypes{}, run_arith<true>);
  add("max", AllTypes{}, run_extreme<true>);
  add("min", AllTypes{}, run_extreme<false>);
  add("any", AllTypes{}, run_any<false>);
  add("all", AllTypes{}, run_any<true>);
  add("mean", FloatTypes{}, run_mean);
  add("mean", ComplexTypes{}, run_mean);
  add("var", FloatTypes{}, run_var);
}

}  // namespace legato::cuda
