#include "legato/ops/reduce/reduce.h"

#include <algorithm>
#include <numeric>

#include "legato/op/function.h"
#include "legato/op/registry.h"
#include "legato/ops/create/create.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/reduce/ops.h"
#include "legato/ops/scan/scan.h"
#include "legato/ops/shape/shape.h"

namespace legato {

// --- axes
// -----------------------------------------------------------------------------------------

Dims reduced_axes(const char* op, const Axes& axis, size_t rank) {
  Dims axes;
  if (!axis) {
    axes.resize(rank);
    std::iota(axes.begin(), axes.end(), 0);
    return axes;
  }
  for (int64_t a : *axis) axes.push_back(normalize_axis(op, a, rank));
  std::sort(axes.begin(), axes.end());
  for (size_t i = 1; i < axes.size(); ++i)
    if (axes[i] == axes[i - 1])
      throw ValueError(
          cat(op, ": axis ", axes[i], " is named twice in axis=", *axis, ". Name each axis once."));
  return axes;
}

Shape reduced_shape(const Shape& shape, const Dims& axes, bool keepdims) {
  Shape out;
  size_t next = 0;
  for (size_t i = 0; i < shape.size(); ++i) {
    const bool is_reduced = next < axes.size() && axes[next] == static_cast<int64_t>(i);
    if (is_reduced) ++next;
    if (!is_reduced)
      out.push_back(shape[i]);
    else if (keepdims)
      out.push_back(1);
  }
  return out;
}

Array restore_reduced(const Array& a, const char* op, const ReduceAttrs& attrs, size_t rank) {
  return attrs.keepdims ? a : expand_dims(a, reduced_axes(op, attrs.axis, rank));
}

namespace {

int64_t reduced_count(const Shape& shape, const Dims& axes) {
  int64_t n = 1;
  for (int64_t a : axes) n *= shape[static_cast<size_t>(a)];
  return n;
}

void infer(Inference& in, Dtype dtype) {
  const auto& attrs = in.attrs<ReduceAttrs>();
  in.result(reduced_shape(in.shape(), reduced_axes(in.name(), attrs.axis, in.shape().size()),
                          attrs.keepdims),
            dtype);
}

/// Narrow integers and bool add up in 32 bits.
Dtype widened(Dtype t) {
  if (is_bool(t) || is_signed_integer(t)) return size_of(t) < 4 ? Dtype::int32 : t;
  return is_unsigned_integer(t) && size_of(t) < 4 ? Dtype::uint32 : t;
}

void infer_widened(Inference& in) { infer(in, widened(in.dtype())); }
void infer_bool(Inference& in) { infer(in, Dtype::bool_); }
void infer_inexact(Inference& in) {
  if (!is_inexact(in.dtype()))
    throw ValueError(
        cat(in.name(), ": the dtype is ", in.dtype(), "; expected a floating or complex one."));
  infer(in, in.dtype());
}
void infer_extreme(Inference& in) {
  infer(in, in.dtype());
  const auto& attrs = in.attrs<ReduceAttrs>();
  const Shape& shape = in.shape();
  Dims axes = reduced_axes(in.name(), attrs.axis, shape.size());
  if (reduced_count(shape, axes) == 0 && element_count(reduced_shape(shape, axes, false)) > 0)
    throw ValueError(cat(in.name(), ": nothing to choose from: shape ", shape,
                         " has no elements along axis=", Dims(axes),
                         ". Reduce other axes, or check the size first."));
}

// A batch axis in front moves every reduced axis one place.
void batch(const BatchedCall& c, std::span<Array> out) {
  const auto& attrs = c.attrs<ReduceAttrs>();
  Dims axes = reduced_axes(c.op.name, attrs.axis, c.rank());
  for (int64_t& a : axes) ++a;
  ReduceAttrs shifted{axes, attrs.keepdims};
  out[0] = bind(c.op, c.in, &shifted);
}

// The cotangent of a sum goes to every term.
Array transpose_sum(const Call& c, int, const Array& cotangent) {
  const Shape& shape = c.in().shape();
  return broadcast_to(restore_reduced(cotangent, c.op().name, c.attrs<ReduceAttrs>(), shape.size()),
                      shape);
}
Array transpose_mean(const Call& c, int, const Array& cotangent) {
  const Shape& shape = c.in().shape();
  Dims axes = reduced_axes(c.op().name, c.attrs<ReduceAttrs>().axis, shape.size());
  const double n = static_cast<double>(reduced_count(shape, axes));
  return transpose_sum(c, 0, divide(cotangent, n));
}

// d prod / d a[i] is the product of the others: a product of all before and all after, so that
// zeros need no care.
void vjp_prod(const Call& c, std::span<const Array> cotangents, std::span<Array> result) {
  const Array& a = c.in();
  const auto& attrs = c.attrs<ReduceAttrs>();
  const size_t rank = a.ndim();
  Dims axes = reduced_axes(c.op().name, attrs.axis, rank), order;
  for (size_t i = 0; i < rank; ++i)
    if (std::find(axes.begin(), axes.end(), static_cast<int64_t>(i)) == axes.end())
      order.push_back(static_cast<int64_t>(i));
  const size_t n_kept = order.size();
  for (int64_t i : axes) order.push_back(i);
  Dims inverse = Dims::filled(rank, 0);
  for (size_t i = 0; i < rank; ++i)
    inverse[static_cast<size_t>(order[i])] = static_cast<int64_t>(i);

  Array moved = astype(transpose(a, order), c.out().dtype());  // kept axes, then reduced ones
  Shape flat(std::span<const int64_t>(moved.shape().data(), n_kept));
  flat.push_back(reduced_count(a.shape(), axes));
  Array row = reshape(moved, flat);
  Array others = multiply(cumprod(row, -1, false, false), cumprod(row, -1, true, false));
  if (is_complex(others.dtype())) others = conjugate(others);
  Array all = transpose(reshape(others, moved.shape()), inverse);
  result[0] = multiply(restore_reduced(cotangents[0], c.op().name, attrs, rank), all);
}

// Equal extremes share the derivative evenly.
Array chosen(const Call& c, Array& kept_out) {
  kept_out = restore_reduced(c.out(), c.op().name, c.attrs<ReduceAttrs>(), c.in().ndim());
  return astype(equal(c.in(), kept_out), real_part(c.out().dtype()));
}
void vjp_extreme(const Call& c, std::span<const Array> cotangents, std::span<Array> result) {
  const auto& attrs = c.attrs<ReduceAttrs>();
  Array kept_out, mask = chosen(c, kept_out);
  Array share = divide(restore_reduced(cotangents[0], c.op().name, attrs, c.in().ndim()),
                       sum(mask, attrs.axis, true));
  result[0] = multiply(mask, share);
}
void jvp_extreme(const Call& c, std::span<const Array> tangents, std::span<Array> result) {
  const auto& attrs = c.attrs<ReduceAttrs>();
  Array kept_out, mask = chosen(c, kept_out);
  result[0] = divide(sum(multiply(mask, tangents[0]), attrs.axis, attrs.keepdims),
                     sum(mask, attrs.axis, attrs.keepdims));
}

void expand_mean(const Call& c, std::span<Array> out) {
  const Array& a = c.in();
  const auto& attrs = c.attrs<ReduceAttrs>();
  const double n =
      static_cast<double>(reduced_count(a.shape(), reduced_axes("mean", attrs.axis, a.ndim())));
  out[0] = astype(divide(sum(astype(a, compute_dtype(a.dtype())), attrs.axis, attrs.keepdims), n),
                  a.dtype());
}

}  // namespace

// --- the records
// ----------------------------------------------------------------------------------

constinit const Op sum_op{
    .name = "sum",
    .attrs = &attrs_type<ReduceAttrs>,
    .infer = infer_widened,
    .derive = Linear(1, transpose_sum),
    .batch = batch,
};
constinit const Op mean_op{
    .name = "mean",
    .attrs = &attrs_type<ReduceAttrs>,
    .infer = infer_inexact,
    .expand = expand_mean,
    .derive = Linear(1, transpose_mean),
    .batch = batch,
};
constinit const Op prod_op{
    .name = "prod",
    .attrs = &attrs_type<ReduceAttrs>,
    .infer = infer_widened,
    .derive = Vjp(vjp_prod),
    .batch = batch,
};
constinit const Op max_op{
    .name = "max",
    .attrs = &attrs_type<ReduceAttrs>,
    .infer = infer_extreme,
    .derive = Vjp(vjp_extreme, jvp_extreme),
    .batch = batch,
};
constinit const Op min_op{
    .name = "min",
    .attrs = &attrs_type<ReduceAttrs>,
    .infer = infer_extreme,
    .derive = Vjp(vjp_extreme, jvp_extreme),
    .batch = batch,
};
constinit const Op all_op{
    .name = "all",
    .attrs = &attrs_type<ReduceAttrs>,
    .infer = infer_bool,
    .derive = ZeroDerivative(),  // piecewise constant
    .batch = batch,
};
constinit const Op any_op{
    .name = "any",
    .attrs = &attrs_type<ReduceAttrs>,
    .infer = infer_bool,
    .derive = ZeroDerivative(),  // piecewise constant
    .batch = batch,
};

// --- the functions
// --------------------------------------------------------------------------------

Array sum(const Array& a, const Axes& axis, bool keepdims) {
  return bind(sum_op, {a}, ReduceAttrs{axis, keepdims});
}
Array prod(const Array& a, const Axes& axis, bool keepdims) {
  return bind(prod_op, {a}, ReduceAttrs{axis, keepdims});
}
Array max(const Array& a, const Axes& axis, bool keepdims) {
  return bind(max_op, {a}, ReduceAttrs{axis, keepdims});
}
Array min(const Array& a, const Axes& axis, bool keepdims) {
  return bind(min_op, {a}, ReduceAttrs{axis, keepdims});
}
Array all(const Array& a, const Axes& axis, bool keepdims) {
  return bind(all_op, {a}, ReduceAttrs{axis, keepdims});
}
Array any(const Array& a, const Axes& axis, bool keepdims) {
  return bind(any_op, {a}, ReduceAttrs{axis, keepdims});
}
Array mean(const Array& a, const Axes& axis, bool keepdims) {
  return bind(mean_op, {is_inexact(a.dtype()) ? a : astype(a, Dtype::float32)},
              ReduceAttrs{axis, keepdims});
}

namespace {

constinit const Function sum_function = function<&sum>("sum", "array, axis=None, keepdims=False",
                                                       R"(Sum of the elements along `axis`.

Args:
    array: Array of any dtype. bool, int8 and int16 give int32, uint8 and uint16 give uint32; other
        dtypes are kept. Integers wrap. Half types accumulate in float32 and round once.
    axis: An axis, a sequence of axes, or None for all of them. () reduces nothing.
    keepdims: Whether the reduced axes stay, with size 1.

Returns:
    Array without the reduced axes. The sum of nothing is 0. Differentiable.

Raises:
    ValueError: if an axis is named twice, or (as an IndexError too) is out of range.

>>> sum(array([[1, 2], [3, 4]]), axis=0)
array([4, 6], dtype=int32)
)");
constinit const Function prod_function = function<&prod>("prod", "a, /, axis=None, keepdims=False",
                                                         R"(Product of the elements along `axis`.

Args and dtypes as for `sum`. The product of nothing is 1. Differentiable, also where factors are 0.

>>> prod(array([[1, 2], [3, 4]]), axis=1)
array([2, 12], dtype=int32)
)");
constinit const Function max_function =
    function<&max>("max", "a, /, axis=None, keepdims=False",
                   R"(Largest element along `axis`; nan if there is one.

Args:
    a: Array of any dtype; complex numbers compare by real, then by imaginary part.
    axis: An axis, a sequence of axes, or None for all of them.
    keepdims: Whether the reduced axes stay, with size 1.

Returns:
    Array of the dtype of `a`. Differentiable; equal largest elements share the derivative.

Raises:
    ValueError: if there is no element to choose from.

>>> max(array([[1, 5], [3, 4]]), axis=0)
array([3, 5], dtype=int32)
)");
constinit const Function min_function =
    function<&min>("min", "a, /, axis=None, keepdims=False",
                   R"(Smallest element along `axis`; nan if there is one.

See `max`.

>>> min(array([[1, 5], [3, 4]]), axis=0)
array([1, 4], dtype=int32)
)");
constinit const Function all_function =
    function<&all>("all", "a, /, axis=None, keepdims=False",
                   R"(Whether all elements along `axis` are true, that is, not zero (nan is true).

Returns a bool array; True where there are no elements.

>>> all(array([[True, False], [True, True]]), axis=1)
array([False, True], dtype=bool)
)");
constinit const Function any_function =
    function<&any>("any", "a, /, axis=None, keepdims=False",
                   R"(Whether some element along `axis` is true, that is, not zero (nan is true).

Returns a bool array; False where there are no elements.

>>> any(array([[0.0, 0.5], [0.0, 0.0]]), axis=1)
array([True, False], dtype=bool)
)");
constinit const Function mean_function =
    function<&mean>("mean", "a, /, axis=None, keepdims=False",
                    R"(Arithmetic mean of the elements along `axis`.

Integers and bool give float32, other dtypes are kept. The sum is divided before it is rounded, so
that the mean of half types does not overflow. The mean of nothing is nan. Differentiable.

>>> mean(array([[1.0, 2.0], [3.0, 4.0]]), axis=0)
array([2, 3], dtype=float32)
)");

}  // namespace

void register_statistics(Registry& r);

void register_reduce(Registry& r) {
  for (const Op* op : {&sum_op, &prod_op, &max_op, &min_op, &all_op, &any_op, &mean_op}) r.add(*op);
  for (const Function* f : {&sum_function, &prod_function, &max_function, &min_function,
                            &all_function, &any_function, &mean_function})
    r.add(*f);
  register_statistics(r);
}

}  // namespace legato
