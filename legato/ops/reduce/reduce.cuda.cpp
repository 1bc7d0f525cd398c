#include <algorithm>

#include "legato/backends/cuda/print.h"
#include "legato/backends/cuda/reduction.h"
#include "legato/ops/reduce/ops.h"

namespace legato::cuda {
namespace {

// Kernels tell integers apart as far as they must.
Dtype arith_dtype(Dtype t) {
  if (t == Dtype::bool_) return Dtype::uint8;
  if (t == Dtype::int32) return Dtype::uint32;
  return t == Dtype::int64 ? Dtype::uint64 : t;
}
const char* arith_result(Dtype t) {
  if (!is_integer(t) || size_of(t) >= 4) return device_type(t);
  return is_signed_integer(t) ? "int32_t" : "uint32_t";
}
ReductionCall arith_call(Dtype dtype) {
  const Dtype t = arith_dtype(dtype);
  return {.image = "reduce",
          .reducer = cat("arith", suffix(t)),
          .type = cat("Arith<", device_type(t), ", ", arith_result(t), ">"),
          .accumulator_bytes = size_of(t) == 16 ? 16 : 8};
}

template <bool product>
Reducer arith(const void*, Dtype dtype, double) {
  Reducer r{arith_call(dtype)};
  r.params.flag = product;
  r.params.divisor = 1;
  return r;
}
Reducer mean(const void*, Dtype dtype, double count) {
  Reducer r{arith_call(dtype)};
  r.params.divisor = count;
  return r;
}
template <bool largest>
Reducer extreme(const void*, Dtype dtype, double) {
  const Dtype t = dtype == Dtype::bool_ ? Dtype::uint8 : dtype;
  Reducer r{{.image = "reduce",
             .reducer = cat("extreme", suffix(t)),
             .type = cat("Extreme<", device_type(t), ">"),
             .accumulator_bytes = 16}};
  r.params.flag = largest;
  return r;
}
template <bool all>
Reducer any(const void*, Dtype dtype, double) {
  const int64_t size = size_of(dtype);
  Reducer r{{.image = "reduce",
             .reducer = cat("any_", size),
             .type = size == 16 ? "Any<Sixteen>" : cat("Any<uint", 8 * size, "_t>"),
             .accumulator_bytes = 4}};
  r.params.flag = all;
  r.params.mask = ~uint64_t{0};  // all bits, of floats without the sign
  if (is_floating(dtype)) r.params.mask >>= 65 - 8 * size;
  if (dtype == Dtype::complex64) r.params.mask = 0x7fffffff7fffffff;
  if (dtype == Dtype::complex128) r.params.mask >>= 1;
  return r;
}
Reducer var(const void* attrs, Dtype dtype, double count) {
  Reducer r{{.image = "reduce",
             .reducer = cat("variance", suffix(dtype)),
             .type = cat("Variance<", device_type(dtype), ">"),
             .accumulator_bytes = 24}};
  const auto ddof = static_cast<double>(static_cast<const VarAttrs*>(attrs)->ddof);
  r.params.divisor = std::max(count - ddof, 0.0);
  return r;
}

template <class Attrs, auto describe>
void run(Launch& l) {
  const View &x = l.in[0], &out = l.out[0];
  const double count = out.size ? static_cast<double>(x.size) / static_cast<double>(out.size) : 1;
  const Reducer r = describe(l.raw_attrs, x.dtype, count);
  reduce_over(l, r.call, x, l.attrs<Attrs>().axis, r.params);
}
template <class Attrs>
int row_axes(const void* attrs, size_t rank) {
  return trailing_axes(static_cast<const Attrs*>(attrs)->axis, rank);
}
template <class Attrs, auto describe>
void add(KernelTable& table, const char* name, auto types) {
  static constexpr ReducerOf own{describe};
  add_kernels(table, op_named(name), types, [](auto) {
    return Kernel{.run = run<Attrs, describe>,
                  .accepts = AcceptLayout::any,
                  .row_axes = row_axes<Attrs>,
                  .takes_input = takes_input,
                  .own = &own};
  });
}

}  // namespace

void register_reduce_kernels(KernelTable& table) {
  add<ReduceAttrs, arith<false>>(table, "sum", AllTypes{});
  add<ReduceAttrs, arith<true>>(table, "prod", AllTypes{});
  add<ReduceAttrs, extreme<true>>(table, "max", AllTypes{});
  add<ReduceAttrs, extreme<false>>(table, "min", AllTypes{});
  add<ReduceAttrs, any<false>>(table, "any", AllTypes{});
  add<ReduceAttrs, any<true>>(table, "all", AllTypes{});
  add<ReduceAttrs, mean>(table, "mean", FloatTypes{});
  add<ReduceAttrs, mean>(table, "mean", ComplexTypes{});
  add<VarAttrs, var>(table, "var", FloatTypes{});
}

}  // namespace legato::cuda
