// Functions composed of reductions. Those that read a size are ops with a meaning, so that they
// stay right when a graph is run again on other shapes.
#include "legato/op/composed.h"
#include "legato/op/function.h"
#include "legato/op/registry.h"
#include "legato/ops/create/create.h"
#include "legato/ops/index/slice.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/reduce/ops.h"
#include "legato/ops/reduce/reduce.h"
#include "legato/ops/shape/shape.h"
#include "legato/ops/sort/sort.h"

namespace legato {
namespace {

int64_t count_along(const char* op, const Array& a, const Axes& axis) {
  int64_t n = 1;
  for (int64_t i : reduced_axes(op, axis, a.ndim())) n *= a.shape()[static_cast<size_t>(i)];
  return n;
}

template <class Attrs>
void infer_real(Inference& in) {
  const auto& attrs = in.attrs<Attrs>();
  const Dims axes = reduced_axes(in.name(), attrs.axis, in.shape().size());
  in.result(reduced_shape(in.shape(), axes, attrs.keepdims), real_part(in.dtype()));
}

template <class Attrs>
void batch_axes(const BatchedCall& c, std::span<Array> out) {
  Attrs shifted = c.attrs<Attrs>();
  Dims axes = reduced_axes(c.op.name, shifted.axis, c.rank());
  for (int64_t& a : axes) ++a;
  shifted.axis = axes;
  out[0] = bind(c.op, c.in, &shifted);
}

void expand_var(const Call& c, std::span<Array> out) {
  const auto& attrs = c.attrs<VarAttrs>();
  const Array a = astype(c.in(), compute_dtype(c.in().dtype()));
  Array d = subtract(a, mean(a, attrs.axis, true));
  Array squares = is_complex(a.dtype()) ? add(square(real(d)), square(imag(d))) : square(d);
  Array result;
  if (attrs.ddof == 0) {
    result = mean(squares, attrs.axis, attrs.keepdims);
  } else {
    const int64_t n = count_along("var", a, attrs.axis) - attrs.ddof;
    result = divide(sum(squares, attrs.axis, attrs.keepdims), static_cast<double>(n > 0 ? n : 0));
  }
  out[0] = astype(result, real_part(c.in().dtype()));
}

constinit const Op var_op{
    .name = "var",
    .attrs = &attrs_type<VarAttrs>,
    .infer = infer_real<VarAttrs>,
    .expand = expand_var,
    .derive = ThroughExpand(),
    .batch = batch_axes<VarAttrs>,
};

void infer_median(Inference& in) {
  infer_real<ReduceAttrs>(in);
  if (is_complex(in.dtype()))
    throw ValueError(cat("median: the dtype is ", in.dtype(),
                         "; complex numbers have no middle. Take the median of "
                         "real(a) and imag(a)."));
  if (count_along("median", in.inputs()[0], in.attrs<ReduceAttrs>().axis) == 0)
    throw ValueError(cat("median: shape ", in.shape(), " has no elements along the reduced axes."));
}

void expand_median(const Call& c, std::span<Array> out) {
  const auto& attrs = c.attrs<ReduceAttrs>();
  const Array& a = c.in();
  const Dims axes = reduced_axes("median", attrs.axis, a.ndim());
  const int64_t n = count_along("median", a, attrs.axis);
  Dims last;
  for (size_t i = 0; i < axes.size(); ++i)
    last.push_back(static_cast<int64_t>(a.ndim() - axes.size() + i));
  Array moved = moveaxis(a, axes, last);  // kept axes, then the reduced ones
  Shape rows = reduced_shape(a.shape(), axes, false);
  rows.push_back(n);
  Array sorted = sort(reshape(moved, rows), -1);
  const size_t rank = rows.size();
  auto at = [&](int64_t i) {
    Dims start = Dims::filled(rank, 0), stop = rows;
    start[rank - 1] = i;
    stop[rank - 1] = i + 1;
    return slice(sorted, start, stop);
  };
  Array low = at((n - 1) / 2), high = at(n / 2), largest = at(n - 1);
  // Sorting puts nan last, so the last element tells whether there is one.
  Array middle = n % 2 ? low : multiply(add(low, high), 0.5);
  middle = where(isnan(largest), largest, middle);
  out[0] = reshape(middle, reduced_shape(a.shape(), axes, attrs.keepdims));
}

constinit const Op median_op{
    .name = "median",
    .attrs = &attrs_type<ReduceAttrs>,
    .infer = infer_median,
    .expand = expand_median,
    .derive = ThroughExpand(),
    .batch = batch_axes<ReduceAttrs>,
};

Array inexact(const Array& a) { return is_inexact(a.dtype()) ? a : astype(a, Dtype::float32); }

}  // namespace

std::pair<Array, Array> minmax(const Array& a, const Axes& axis, bool keepdims) {
  return {min(a, axis, keepdims), max(a, axis, keepdims)};
}

Array var(const Array& a, const Axes& axis, bool keepdims, int ddof) {
  return bind(var_op, {inexact(a)}, VarAttrs{axis, keepdims, ddof});
}

Array stddev(const Array& a, const Axes& axis, bool keepdims, int ddof) {
  return sqrt(var(a, axis, keepdims, ddof));
}

Array median(const Array& a, const Axes& axis, bool keepdims) {
  return bind(median_op, {inexact(a)}, ReduceAttrs{axis, keepdims});
}

Array count_nonzero(const Array& a, const Axes& axis, bool keepdims) {
  return sum(astype(a, Dtype::bool_), axis, keepdims);
}

Array trace(const Array& a, int offset, int axis1, int axis2, const std::optional<Dtype>& dtype) {
  Array d = diagonal(a, offset, axis1, axis2);
  return dtype ? astype(sum(astype(d, *dtype), Dims{-1}), *dtype) : sum(d, Dims{-1});
}

Array isclose(const Array& a, const Array& b, double rtol, double atol, bool equal_nan) {
  const Dtype dtype = to_inexact(promote(a.dtype(), b.dtype()));
  const Array x = astype(a, dtype), y = astype(b, dtype);
  Array within = less_equal(abs(subtract(x, y)), add(multiply(abs(y), rtol), atol));
  // Where either is infinite the difference says nothing, and only equal ones are close.
  Array close = logical_or(logical_and(within, logical_and(isfinite(x), isfinite(y))), equal(x, y));
  return equal_nan ? logical_or(close, logical_and(isnan(x), isnan(y))) : close;
}

Array allclose(const Array& a, const Array& b, double rtol, double atol, bool equal_nan) {
  return all(isclose(a, b, rtol, atol, equal_nan));
}

Array array_equal(const Operand& a, const Operand& b, bool equal_nan) {
  if (tracing_shapeless() && a.is_array() && b.is_array())
    return composed("array_equal", {a.array(), b.array()},
                    [equal_nan](Inputs in) { return array_equal(in[0], in[1], equal_nan); });
  const Shape scalar;
  const Shape& shape_a = a.is_array() ? a.array().shape() : scalar;
  const Shape& shape_b = b.is_array() ? b.array().shape() : scalar;
  if (!(shape_a == shape_b)) return literal(false, Dtype::bool_);
  Array same = equal(a, b);
  if (equal_nan && a.is_array() && b.is_array())
    same = logical_or(same, logical_and(isnan(a.array()), isnan(b.array())));
  return all(same);
}

namespace {

constinit const Function minmax_function =
    function<&minmax>("minmax", "a, /, axis=None, keepdims=False",
                      R"(Smallest and largest element along `axis`, as a pair.

>>> minmax(array([3, 1, 2]))
(array(1, dtype=int32), array(3, dtype=int32))
)");
constinit const Function var_function =
    function<&var>("var", "a, /, axis=None, keepdims=False, ddof=0",
                   R"(Variance: the sum of |a - mean(a)|**2 along `axis`, divided by n - `ddof`.

Integers and bool give float32, complex numbers the dtype of their parts. Half types compute in
float32. Differentiable.

>>> var(array([1.0, 2.0, 3.0, 4.0]))
array(1.25, dtype=float32)
)");
constinit const Function std_function =
    function<&stddev>("std", "a, /, axis=None, keepdims=False, ddof=0",
                      R"(Standard deviation: the square root of `var`.

>>> std(array([1.0, 3.0]))
array(1, dtype=float32)
)");
constinit const Function median_function = function<&median>(
    "median", "a, /, axis=None, keepdims=False",
    R"(Middle of the sorted elements along `axis`, or the mean of the two in the middle.

Integers and bool give float32. nan if there is one. Differentiable.

Raises:
    ValueError: if there are no elements, or they are complex.

>>> median(array([3.0, 1.0, 2.0]))
array(2, dtype=float32)
)");
constinit const Function count_nonzero_function =
    function<&count_nonzero>("count_nonzero", "a, /, axis=None, *, keepdims=False",
                             R"(Number of elements along `axis` that are not zero, as int32.

>>> count_nonzero(array([1, 0, 2]))
array(2, dtype=int32)
)");
constinit const Function trace_function =
    function<&trace>("trace", "a, /, offset=0, axis1=0, axis2=1, dtype=None",
                     R"(Sum along a diagonal of the planes spanned by `axis1` and `axis2`.

Args:
    a: Array with at least two axes.
    offset: Which diagonal; above the main one if positive.
    dtype: dtype of the result; as for `sum` if None.

>>> trace(array([[1, 2], [3, 4]]))
array(5, dtype=int32)
)");
constinit const Function isclose_function =
    function<&isclose>("isclose", "a, b, /, rtol=1e-05, atol=1e-08, *, equal_nan=False",
                       R"(Whether |a - b| <= atol + rtol * |b|, element by element.

Infinities are close to themselves only; nan is close to nan only if `equal_nan`.

>>> isclose(array([1.0, 2.0]), array([1.0, 2.1]))
array([True, False], dtype=bool)
)");
constinit const Function allclose_function =
    function<&allclose>("allclose", "a, b, /, rtol=1e-05, atol=1e-08, *, equal_nan=False",
                        R"(Whether `isclose` holds for all elements; the arrays broadcast.

>>> allclose(array([1.0, 2.0]), array([1.0, 2.0]))
array(True, dtype=bool)
)");
constinit const Function array_equal_function =
    function<&array_equal>("array_equal", "a, b, /, *, equal_nan=False",
                           R"(Whether two arrays have the same shape and equal elements.

>>> array_equal(array([1, 2]), array([1, 2]))
array(True, dtype=bool)
)");

}  // namespace

void register_statistics(Registry& r) {
  for (const Op* op : {&var_op, &median_op}) r.add(*op);
  for (const Function* f :
       {&minmax_function, &var_function, &std_function, &median_function, &count_nonzero_function,
        &trace_function, &isclose_function, &allclose_function, &array_equal_function})
    r.add(*f);
}

}  // namespace legato
