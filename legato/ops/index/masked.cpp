#include "legato/ops/index/masked.h"

#include "legato/op/composed.h"
#include "legato/op/registry.h"
#include "legato/op/rules.h"
#include "legato/ops/create/create.h"
#include "legato/ops/index/index.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/reduce/reduce.h"
#include "legato/ops/shape/shape.h"

namespace legato {
namespace {

void check_rows(const char* op, const Array& a, const Array& mask) {
  if (a.ndim() != 3 || mask.ndim() != 2 || a.shape()[0] != mask.shape()[0] ||
      a.shape()[1] != mask.shape()[1] || !is_bool(mask.dtype()))
    throw ValueError(cat(op, ": expected an array (B, M, R) and a bool mask (B, M), found ",
                         a.shape(), " and ", mask.shape(), " of ", mask.dtype()));
}

/// (batch, B, ...) as (batch * B, ...), for all inputs.
Array fold(const Array& a) { return flatten(a, 0, 1); }

Array unfold(const Array& a, int64_t batch) {
  int64_t each = batch ? a.shape()[0] / batch : 0;
  return unflatten(a, 0, {batch, each});
}

void check_mask(const char* op, const Array& a, const Array& mask) {
  if (!is_bool(mask.dtype()))
    throw ValueError(cat(op, ": the mask must be bool, found ", mask.dtype()));
  bool fits = mask.ndim() <= a.ndim();
  for (size_t i = 0; fits && i < mask.ndim(); ++i) fits = mask.shape()[i] == a.shape()[i];
  if (!fits)
    throw IndexError(cat(op, ": a mask of shape ", mask.shape(),
                         " does not match the leading axes of ", a.shape()));
}

/// `a` with the axes of a mask of `mask_rank` dimensions merged, and the rest: (1, M, R).
Array as_rows(const Array& a, size_t mask_rank) {
  int64_t masked = 1, rest = 1;
  for (size_t i = 0; i < a.ndim(); ++i) (i < mask_rank ? masked : rest) *= a.shape()[i];
  return reshape(a, {1, masked, rest});
}

}  // namespace

constinit const Op masked_select_op{
    .name = "masked_select",
    .attrs = &attrs_type<MaskedSelectAttrs>,
    .infer =
        [](Inference& in) {
          check_rows(in.name(), in.inputs()[0], in.inputs()[1]);
          int64_t size = in.attrs<MaskedSelectAttrs>().size;
          if (size < 0)
            throw ValueError(cat(in.name(), ": size must not be negative, found ", size));
          in.result({in.shape()[0], size, in.shape()[2]}, in.dtype());
        },
    .derive = Linear(1,
                     [](const Call& c, int, const Array& cotangent) {
                       const Array zero = zeros(c.in().shape(), cotangent.dtype());
                       return bind(masked_scatter_op, {zero, c.in(1), cotangent},
                                   MaskedScatterAttrs{false});
                     }),
    .batch =
        [](const BatchedCall& c, std::span<Array> out) {
          out[0] = unfold(bind(c.op, {fold(c.with_axis(0)), fold(c.with_axis(1))},
                               c.attrs<MaskedSelectAttrs>()),
                          c.size);
        },
};

constinit const Op masked_scatter_op{
    .name = "masked_scatter",
    .attrs = &attrs_type<MaskedScatterAttrs>,
    .infer =
        [](Inference& in) {
          const Array &a = in.inputs()[0], &values = in.inputs()[2];
          check_rows(in.name(), a, in.inputs()[1]);
          if (values.ndim() != 3 || values.shape()[0] != a.shape()[0] ||
              values.shape()[2] != a.shape()[2] || values.dtype() != a.dtype())
            throw ValueError(cat(in.name(), ": values of shape ", values.shape(), " and dtype ",
                                 values.dtype(), " do not match ", a.shape(), " of ", a.dtype()));
          in.result(a.shape(), a.dtype());
        },
    .derive = LinearJointly(5,
                            [](const Call& c, int i, const Array& ct) {
                              const Array& mask = c.in(1);
                              const Shape& values = c.in(2).shape();
                              if (i == 2)
                                return bind(masked_select_op, {ct, mask},
                                            MaskedSelectAttrs{values[1]});
                              return bind(masked_scatter_op, {ct, mask, zeros(values, ct.dtype())},
                                          MaskedScatterAttrs{false});
                            }),
    .batch =
        [](const BatchedCall& c, std::span<Array> out) {
          out[0] =
              unfold(bind(c.op, {fold(c.with_axis(0)), fold(c.with_axis(1)), fold(c.with_axis(2))},
                          c.attrs<MaskedScatterAttrs>()),
                     c.size);
        },
};

Array masked_select(const Array& a, const Array& mask, int64_t size) {
  if (tracing_shapeless())
    return composed("masked_select", {a, mask},
                    [size](Inputs in) { return masked_select(in[0], in[1], size); });
  check_mask("masked_select", a, mask);
  Shape out{size};
  for (size_t i = mask.ndim(); i < a.ndim(); ++i) out.push_back(a.shape()[i]);
  Array rows = bind(masked_select_op, {as_rows(a, mask.ndim()), reshape(mask, {1, mask.size()})},
                    MaskedSelectAttrs{size});
  return reshape(rows, out);
}

Array masked_scatter(const Array& a, const Array& mask, const Array& values) {
  if (tracing_shapeless())
    return composed("masked_scatter", {a, mask, values},
                    [](Inputs in) { return masked_scatter(in[0], in[1], in[2]); });
  check_mask("masked_scatter", a, mask);
  Array rows = as_rows(a, mask.ndim());
  Array given = reshape(astype(values, a.dtype()), {1, values.shape()[0], rows.shape()[2]});
  return reshape(bind(masked_scatter_op, {rows, reshape(mask, {1, mask.size()}), given},
                      MaskedScatterAttrs{true}),
                 a.shape());
}

constinit const Op true_places_op{
    .name = "true_places",
    .attrs = &attrs_type<MaskedSelectAttrs>,
    .infer =
        [](Inference& in) {
          if (in.shape().size() == 0 || !is_bool(in.dtype()))
            throw ValueError(cat(in.name(),
                                 ": expected a bool mask of one or more dimensions, found ",
                                 in.dtype(), " of shape ", in.shape()));
          Shape out = in.shape();
          out.back() = in.attrs<MaskedSelectAttrs>().size;
          in.result(out, in.shape().back() <= INT32_MAX ? Dtype::int32 : Dtype::int64);
        },
    .derive = ZeroDerivative(),  // integers
    .batch = [](const BatchedCall& c,
                std::span<Array> out) { out[0] = bind(c.op, c.in, c.raw_attrs); },
};

Array flat_nonzero(const Array& mask) {
  const Array flat = reshape(mask, {mask.size()});
  // The sum of bools is an int32, which needs no pass of its own for a cast.
  const int64_t count = flat.size() <= INT32_MAX ? int64_t{sum(flat).item<int32_t>()}
                                                 : sum(astype(flat, Dtype::int64)).item<int64_t>();
  return bind(true_places_op, {flat}, MaskedSelectAttrs{count});
}

std::vector<Array> nonzero(const Array& a) {
  if (a.ndim() == 0)
    throw ValueError("nonzero: a 0-d array has no positions; use atleast_1d first");
  Array flat = flat_nonzero(is_bool(a.dtype()) ? a : not_equal(a, 0));
  std::vector<Array> out(a.ndim());
  for (size_t i = a.ndim(); i-- > 0;) {
    int64_t n = std::max<int64_t>(a.shape()[i], 1);
    out[i] = i == 0 ? flat : remainder(flat, n);
    if (i) flat = floor_divide(flat, n);
  }
  return out;
}

void register_masked(Registry& registry) {
  registry.add(masked_select_op);
  registry.add(masked_scatter_op);
  registry.add(true_places_op);
}

}  // namespace legato
