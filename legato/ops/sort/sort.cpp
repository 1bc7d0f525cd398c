#include "legato/ops/sort/sort.h"

#include "legato/op/composed.h"
#include "legato/op/function.h"
#include "legato/op/registry.h"
#include "legato/ops/create/create.h"
#include "legato/ops/index/index.h"
#include "legato/ops/index/slice.h"
#include "legato/ops/shape/shape.h"
#include "legato/ops/sort/ops.h"

namespace legato {
namespace {

template <bool indices>
void infer(Inference& in) {
  const auto axis =
      static_cast<size_t>(normalize_axis(in.name(), in.attrs<SortAttrs>().axis, in.shape().size()));
  if (indices && in.shape()[axis] > int64_t{UINT32_MAX})
    throw ValueError(cat(in.name(), ": ", in.shape()[axis],
                         " elements; indices are uint32, which reach 4294967295."));
  in.result(in.shape(), indices ? Dtype::uint32 : in.dtype());
}

void batch(const BatchedCall& c, std::span<Array> out) {
  SortAttrs attrs{normalize_axis(c.op.name, c.attrs<SortAttrs>().axis, c.rank()) + 1};
  out[0] = bind(c.op, c.in, &attrs);
}

Array order_of(const Call& c) { return bind(argsort_op, {c.in()}, c.attrs<SortAttrs>()); }

void vjp_sort(const Call& c, std::span<const Array> cotangents, std::span<Array> result) {
  result[0] = put_along_axis(zeros_like(cotangents[0]), order_of(c), cotangents[0],
                             c.attrs<SortAttrs>().axis);
}
void jvp_sort(const Call& c, std::span<const Array> tangents, std::span<Array> result) {
  result[0] = take_along_axis(tangents[0], order_of(c), c.attrs<SortAttrs>().axis);
}

void infer_topk(Inference& in) {
  const auto& attrs = in.attrs<TopkAttrs>();
  Shape shape = in.shape();
  shape[static_cast<size_t>(normalize_axis(in.name(), attrs.axis, shape.size()))] = attrs.k;
  in.result(shape, in.dtype());
}
void expand_topk(const Call& c, std::span<Array> out) {
  const auto& attrs = c.attrs<TopkAttrs>();
  SliceAttrs part = full_slice(c.in().ndim());
  part.start[static_cast<size_t>(normalize_axis("topk", attrs.axis, c.in().ndim()))] = -attrs.k;
  out[0] = slice(bind(sort_op, {c.in()}, SortAttrs{attrs.axis}), part);
}
void batch_topk(const BatchedCall& c, std::span<Array> out) {
  TopkAttrs attrs = c.attrs<TopkAttrs>();
  attrs.axis = normalize_axis(c.op.name, attrs.axis, c.rank()) + 1;
  out[0] = bind(c.op, c.in, &attrs);
}

void infer_search(Inference& in) {
  const auto lead = static_cast<size_t>(in.attrs<SearchAttrs>().lead);
  if (in.dtype(0) != in.dtype(1))
    throw ValueError(
        cat("searchsorted: the sequence is ", in.dtype(0), ", the values are ", in.dtype(1), "."));
  if (in.shape(0).size() != lead + 1)
    throw ValueError(
        cat("searchsorted: the sequence has shape ", in.shape(0), "; expected one dimension."));
  if (in.shape(0).back() > int64_t{UINT32_MAX})
    throw ValueError(cat("searchsorted: ", in.shape(0).back(), " elements; indices are uint32."));
  in.result(in.shape(1), Dtype::uint32);
}

// Searches in one sequence go on for more values; otherwise the batch is one more common axis.
void batch_search(const BatchedCall& c, std::span<Array> out) {
  SearchAttrs attrs = c.attrs<SearchAttrs>();
  if (!c.batched[0] && attrs.lead == 0) {
    out[0] = bind(c.op, {c.in[0], c.in[1]}, attrs);
    return;
  }
  ++attrs.lead;
  out[0] = bind(c.op, {c.with_axis(0), c.with_axis(1)}, attrs);
}

}  // namespace

constinit const Op sort_op{
    .name = "sort",
    .attrs = &attrs_type<SortAttrs>,
    .infer = infer<false>,
    .derive = Vjp(vjp_sort, jvp_sort),
    .batch = batch,
};
constinit const Op argsort_op{
    .name = "argsort",
    .attrs = &attrs_type<SortAttrs>,
    .infer = infer<true>,
    .derive = ZeroDerivative(),  // integers
    .batch = batch,
};
constinit const Op topk_op{
    .name = "topk",
    .attrs = &attrs_type<TopkAttrs>,
    .infer = infer_topk,
    .expand = expand_topk,
    .derive = ThroughExpand(),
    .batch = batch_topk,
};
constinit const Op searchsorted_op{
    .name = "searchsorted",
    .attrs = &attrs_type<SearchAttrs>,
    .infer = infer_search,
    .derive = ZeroDerivative(),  // integers
    .batch = batch_search,
};

namespace {

/// The array and axis that `axis` means: without one, the flattened array.
struct Along {
  Array a;
  int64_t axis;
};
Along along(const Array& a, const std::optional<int>& axis) {
  return axis ? Along{a, *axis} : Along{flatten(a), 0};
}

int64_t checked_size(const char* op, const Along& x) {
  return x.a.shape()[static_cast<size_t>(normalize_axis(op, x.axis, x.a.ndim()))];
}
void check_kth(const char* op, int kth, const Along& x) {
  const int64_t n = checked_size(op, x);
  if (kth < -n || kth >= n)
    throw ValueError(cat(op, ": kth is ", kth, "; expected ", -n, " to ", n - 1, " for axis ",
                         x.axis, " of shape ", x.a.shape(), "."));
}

}  // namespace

Array sort(const Array& a, const std::optional<int>& axis) {
  Along x = along(a, axis);
  return bind(sort_op, {x.a}, SortAttrs{x.axis});
}
Array argsort(const Array& a, const std::optional<int>& axis) {
  Along x = along(a, axis);
  return bind(argsort_op, {x.a}, SortAttrs{x.axis});
}
// Sorting is a partition for every kth, and the radix sort takes no longer than selecting would.
Array partition(const Array& a, int kth, const std::optional<int>& axis) {
  if (tracing_shapeless())
    return composed("partition", {a},
                    [kth, axis](Inputs in) { return partition(in[0], kth, axis); });
  Along x = along(a, axis);
  check_kth("partition", kth, x);
  return bind(sort_op, {x.a}, SortAttrs{x.axis});
}
Array argpartition(const Array& a, int kth, const std::optional<int>& axis) {
  if (tracing_shapeless())
    return composed("argpartition", {a},
                    [kth, axis](Inputs in) { return argpartition(in[0], kth, axis); });
  Along x = along(a, axis);
  check_kth("argpartition", kth, x);
  return bind(argsort_op, {x.a}, SortAttrs{x.axis});
}

Array topk(const Array& a, int k, const std::optional<int>& axis) {
  if (tracing_shapeless())
    return composed("topk", {a}, [k, axis](Inputs in) { return topk(in[0], k, axis); });
  Along x = along(a, axis);
  const int64_t n = checked_size("topk", x);
  if (k < 0 || k > n)
    throw ValueError(cat("topk: k is ", k, "; expected 0 to ", n, ", the size of axis ", x.axis,
                         " of shape ", x.a.shape(), "."));
  if (k > 0) return bind(topk_op, {x.a}, TopkAttrs{k, x.axis});
  SliceAttrs none = full_slice(x.a.ndim());
  none.stop[static_cast<size_t>(normalize_axis("topk", x.axis, x.a.ndim()))] = 0;
  return slice(x.a, none);
}

Array searchsorted(const Array& sorted_sequence, const Array& values, const std::string& side) {
  if (side != "left" && side != "right")
    throw ValueError(cat("searchsorted: side is \"", side, "\"; expected \"left\" or \"right\"."));
  const Dtype dtype = promote(sorted_sequence.dtype(), values.dtype());
  return bind(searchsorted_op, {astype(sorted_sequence, dtype), astype(values, dtype)},
              SearchAttrs{side == "right", 0});
}

namespace {

constinit const Function sort_function = function<&sort>("sort", "a, /, axis=-1",
                                                         R"(Sorted copy along `axis`.

Args:
    a: Array of any dtype. nan sorts behind everything else, complex numbers by real, then imaginary part.
    axis: An axis, or None for the flattened array.

Returns:
    Array of the shape and dtype of `a` (1-d without an axis). Differentiable.

>>> sort(array([3, 1, 2]))
array([1, 2, 3], dtype=int32)
)");
constinit const Function argsort_function = function<&argsort>(
    "argsort", "a, /, axis=-1",
    R"(Indices that sort along `axis`, uint32. Stable: equal elements keep their order.

>>> argsort(array([3, 1, 2]))
array([1, 2, 0], dtype=uint32)
)");
constinit const Function partition_function =
    function<&partition>("partition", "a, /, kth, axis=-1",
                         R"(The elements in an order in which the kth is where sorting would put it.

None before it is larger, none behind it smaller. Differentiable.

Args:
    a: Array of any dtype.
    kth: The place; it counts from the end if negative.
    axis: An axis, or None for the flattened array.

Raises:
    ValueError: if there is no such place.

>>> partition(array([3, 1, 2]), 1)[1]
array(2, dtype=int32)
)");
constinit const Function argpartition_function =
    function<&argpartition>("argpartition", "a, /, kth, axis=-1",
                            R"(Indices of a `partition`, uint32.

>>> argpartition(array([3, 1, 2]), 1)[1]
array(2, dtype=uint32)
)");
constinit const Function topk_function =
    function<&topk>("topk", "a, /, k, axis=-1",
                    R"(The `k` largest elements along `axis`, in rising order.

Raises:
    ValueError: if k is negative or larger than the axis.

>>> topk(array([3, 1, 2]), 2)
array([2, 3], dtype=int32)
)");
constinit const Function searchsorted_function = function<&searchsorted>(
    "searchsorted", "sorted_sequence, values, /, side='left'",
    R"(Where to insert each value into a sorted sequence so that it stays sorted, uint32.

Args:
    sorted_sequence: 1-d array in rising order.
    values: Array of any shape.
    side: "left" inserts before equal elements, "right" behind them.

Raises:
    ValueError: if the sequence is not 1-d, or for another side.

>>> searchsorted(array([1, 3, 5]), array([3, 4]))
array([1, 2], dtype=uint32)
)");

}  // namespace

void register_unique(Registry& r);

void register_sort(Registry& r) {
  register_unique(r);
  for (const Op* op : {&sort_op, &argsort_op, &topk_op, &searchsorted_op}) r.add(*op);
  for (const Function* f : {&sort_function, &argsort_function, &partition_function,
                            &argpartition_function, &topk_function, &searchsorted_function})
    r.add(*f);
}

}  // namespace legato
