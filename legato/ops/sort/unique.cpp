// Distinct elements, from a stable argsort.
#include "legato/op/composed.h"
#include "legato/op/registry.h"
#include "legato/ops/concat/concat.h"
#include "legato/ops/create/create.h"
#include "legato/ops/index/index.h"
#include "legato/ops/index/slice.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/scan/scan.h"
#include "legato/ops/shape/shape.h"
#include "legato/ops/sort/sort.h"

namespace legato {
namespace {

/// Whether each of the sorted elements but the first differs from the one before.
Array steps_of(const Array& sorted, bool equal_nan) {
  const int64_t n = sorted.size();
  const Array before = slice(sorted, Dims{0}, Dims{n - 1}), here = slice(sorted, Dims{1}, Dims{n});
  const Array differs = not_equal(before, here);
  if (!equal_nan || !is_inexact(sorted.dtype())) return differs;
  return logical_and(differs, logical_not(logical_and(isnan(before), isnan(here))));
}

/// The flattened elements in order, and for each the number of distinct ones before it.
struct Ranked {
  Array order, sorted, rank;
  int64_t n;
};
Ranked ranked(const Array& a, bool equal_nan) {
  Ranked r;
  Array flat = flatten(a);
  r.n = flat.size();
  r.order = argsort(flat, 0);
  r.sorted = take(flat, r.order, 0);
  if (r.n == 0) {
    r.rank = zeros(Shape{0}, Dtype::int32);
    return r;
  }
  const Array parts[] = {zeros(Shape{1}, Dtype::int32),
                         astype(steps_of(r.sorted, equal_nan), Dtype::int32)};
  r.rank = cumsum(concatenate(parts, 0), 0);
  return r;
}

std::vector<Array> unique_of(const Array& a, const Ranked& r, int64_t size, bool index,
                             bool inverse, bool counts, const std::optional<Operand>& fill_value) {
  std::vector<Array> out;
  if (r.n == 0) {
    out.push_back(fill_value ? full(Shape{size}, *fill_value, a.dtype())
                             : zeros(Shape{size}, a.dtype()));
    if (index) out.push_back(zeros(Shape{size}, Dtype::uint32));
    if (inverse) out.push_back(zeros(a.shape(), Dtype::uint32));
    if (counts) out.push_back(zeros(Shape{size}, Dtype::int32));
    return out;
  }
  // Ranks rise, so that the first element of each is found by searching; n for those that do not
  // exist.
  Array places =
      astype(searchsorted(r.rank, arange(Scalar(int64_t{0}), Scalar(size + 1), {}, Dtype::int32)),
             Dtype::int32);
  Array first = slice(places, Dims{0}, Dims{size});
  Array exists = less(first, r.n);
  Array safe = minimum(first, r.n - 1);
  Array values = take(r.sorted, safe, 0);
  Array fill = fill_value ? (fill_value->is_array() ? astype(fill_value->array(), a.dtype())
                                                    : literal(fill_value->scalar(), a.dtype()))
                          : slice(r.sorted, Dims{0}, Dims{1});
  out.push_back(where(exists, values, fill));
  if (index) {
    Array at = take(r.order, safe, 0);
    out.push_back(where(exists, at, slice(r.order, Dims{0}, Dims{1})));
  }
  if (inverse) {
    Array place = minimum(take(r.rank, argsort(r.order, 0), 0), std::max<int64_t>(size - 1, 0));
    out.push_back(reshape(astype(place, Dtype::uint32), a.shape()));
  }
  if (counts) out.push_back(subtract(slice(places, Dims{1}, Dims{size + 1}), first));
  return out;
}

}  // namespace

std::vector<Array> unique(const Array& a, int64_t size, bool return_index, bool return_inverse,
                          bool return_counts, const std::optional<Operand>& fill_value,
                          bool equal_nan) {
  if (size < 0) throw ValueError(cat("unique: size is ", size, "; expected 0 or more."));
  if (tracing_shapeless()) {
    std::vector<Array> in{a};
    const bool filled_by_array = fill_value && fill_value->is_array();
    if (filled_by_array) in.push_back(fill_value->array());
    const std::optional<Scalar> number =
        fill_value && !filled_by_array ? std::optional(fill_value->scalar()) : std::nullopt;
    return composed("unique", in, [=](Inputs in) {
      std::optional<Operand> fill;
      if (filled_by_array)
        fill = in[1];
      else if (number)
        fill = *number;
      return unique(in[0], size, return_index, return_inverse, return_counts, fill, equal_nan);
    });
  }
  return unique_of(a, ranked(a, equal_nan), size, return_index, return_inverse, return_counts,
                   fill_value);
}

std::vector<Array> unique(const Array& a, bool return_index, bool return_inverse,
                          bool return_counts, bool equal_nan) {
  // Without ranks where nobody asks for them: the places where a new element begins will do.
  if (!return_inverse && a.size() > 0) {
    const Array flat = flatten(a), order = return_index ? argsort(flat, 0) : flat,
                sorted = return_index ? take(flat, order, 0) : sort(flat, 0);
    const Array begins[] = {ones(Shape{1}, Dtype::bool_), steps_of(sorted, equal_nan)};
    const Array first = nonzero(concatenate(begins, 0))[0];
    std::vector<Array> out{take(sorted, first, 0)};
    if (return_index) out.push_back(take(order, first, 0));
    if (return_counts) {
      const Array ends[] = {slice(first, Dims{1}, Dims{first.size()}),
                            full(Shape{1}, Scalar(flat.size()), first.dtype())};
      out.push_back(astype(subtract(concatenate(ends, 0), first), Dtype::int32));
    }
    return out;
  }
  Ranked r = ranked(a, equal_nan);
  const int64_t size =
      r.n ? slice(r.rank, Dims{r.n - 1}, Dims{r.n}).item<int32_t>() + int64_t{1} : 0;
  return unique_of(a, r, size, return_index, return_inverse, return_counts, {});
}

namespace {

OneOrTuple unique_or_tuple(const Array& a, const std::optional<int64_t>& size, bool return_index,
                           bool return_inverse, bool return_counts,
                           const std::optional<Operand>& fill_value, bool equal_nan) {
  if (size)
    return {unique(a, *size, return_index, return_inverse, return_counts, fill_value, equal_nan)};
  if (fill_value) throw ValueError("unique: fill_value is given without a size to fill");
  return {unique(a, return_index, return_inverse, return_counts, equal_nan)};
}

constinit const Function unique_function = function<&unique_or_tuple>(
    "unique",
    "a, /, size=None, return_index=False, return_inverse=False, return_counts=False, "
    "fill_value=None, *, equal_nan=True",
    R"(The distinct elements of the flattened array, in rising order.

Args:
    a: Array of any dtype.
    size: Number of elements of the result: the smallest ones, padded with `fill_value` if there are
        fewer. None: as many as there are, for which `a` is computed at the call; inside vmap and
        compile a size is needed.
    return_index: Also give the index of the first appearance of each, uint32.
    return_inverse: Also give for each element of `a` the index of its equal, uint32; the last index
        for those that were cut off.
    return_counts: Also give how often each appears, int32; 0 for padding.
    fill_value: The padding; the smallest element if None.
    equal_nan: Whether nan equals nan.

Returns:
    Array, or a tuple of arrays in the order of the flags.

Raises:
    ValueError: if size is negative, or fill_value is given without it.

>>> unique(array([2, 1, 2, 3, 1]))
array([1, 2, 3], dtype=int32)
>>> unique(array([2, 1, 2]), 3, return_counts=True, fill_value=0)
(array([1, 2, 0], dtype=int32), array([1, 2, 0], dtype=int32))
)");

}  // namespace

void register_unique(Registry& r) { r.add(unique_function); }

}  // namespace legato
