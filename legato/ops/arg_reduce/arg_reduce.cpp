#include "legato/ops/arg_reduce/arg_reduce.h"

#include "legato/op/function.h"
#include "legato/op/registry.h"
#include "legato/ops/arg_reduce/ops.h"
#include "legato/ops/shape/shape.h"

namespace legato {
namespace {

void infer(Inference& in) {
  const auto& attrs = in.attrs<ArgReduceAttrs>();
  const Shape& shape = in.shape();
  Shape out;
  int64_t n = 1;
  if (attrs.axis) {
    const auto axis = static_cast<size_t>(normalize_axis(in.name(), *attrs.axis, shape.size()));
    n = shape[axis];
    out = shape;
    if (attrs.keepdims)
      out[axis] = 1;
    else
      out.erase(axis);
  } else {
    n = element_count(shape);
    if (attrs.keepdims) out = Dims::filled(shape.size(), 1);
  }
  if (n == 0 && element_count(out) > 0)
    throw ValueError(
        cat(in.name(), ": nothing to choose from: shape ", shape, " has no elements there."));
  if (n > int64_t{UINT32_MAX})
    throw ValueError(
        cat(in.name(), ": ", n, " elements; indices are uint32, which reach 4294967295."));
  in.result(out, Dtype::uint32);
}

void batch(const BatchedCall& c, std::span<Array> out) {
  const auto& attrs = c.attrs<ArgReduceAttrs>();
  const Array& a = c.in[0];
  const size_t rank = c.rank();
  if (attrs.axis) {
    out[0] = bind(c.op, {a},
                  ArgReduceAttrs{normalize_axis(c.op.name, *attrs.axis, rank) + 1, attrs.keepdims});
    return;
  }
  Array rows = rank ? flatten(a, 1, -1) : expand_dims(a, Dims{1});
  Array r = bind(c.op, {rows}, ArgReduceAttrs{1, false});
  Dims ones;
  for (size_t i = 0; i < rank; ++i) ones.push_back(static_cast<int64_t>(i) + 1);
  out[0] = attrs.keepdims && rank ? expand_dims(r, ones) : r;
}

}  // namespace

constinit const Op argmax_op{
    .name = "argmax",
    .attrs = &attrs_type<ArgReduceAttrs>,
    .infer = infer,
    .derive = ZeroDerivative(),  // integers
    .batch = batch,
};
constinit const Op argmin_op{
    .name = "argmin",
    .attrs = &attrs_type<ArgReduceAttrs>,
    .infer = infer,
    .derive = ZeroDerivative(),  // integers
    .batch = batch,
};

Array argmax(const Array& a, const std::optional<int>& axis, bool keepdims) {
  return bind(argmax_op, {a}, ArgReduceAttrs{axis, keepdims});
}
Array argmin(const Array& a, const std::optional<int>& axis, bool keepdims) {
  return bind(argmin_op, {a}, ArgReduceAttrs{axis, keepdims});
}

namespace {

constinit const Function argmax_function =
    function<&argmax>("argmax", "a, /, axis=None, keepdims=False",
                      R"(Index of the largest element along `axis`, uint32.

The first of equal elements; the first nan if there is one. Complex numbers compare by real, then by
imaginary part.

Args:
    a: Array of any dtype.
    axis: An axis, or None for the flattened array.
    keepdims: Whether reduced axes stay, with size 1.

Raises:
    ValueError: if there is no element to choose from.

>>> argmax(array([3, 5, 5]))
array(1, dtype=uint32)
)");
constinit const Function argmin_function =
    function<&argmin>("argmin", "a, /, axis=None, keepdims=False",
                      R"(Index of the smallest element along `axis`, uint32; see `argmax`.

>>> argmin(array([[3, 1], [0, 2]]), axis=1)
array([1, 0], dtype=uint32)
)");

}  // namespace

void register_arg_reduce(Registry& r) {
  r.add(argmax_op);
  r.add(argmin_op);
  r.add(argmax_function);
  r.add(argmin_function);
}

}  // namespace legato
