// Distinct elements, from a stable argsort.
#include "legato/op/composed.h"
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

/// The flattened elements in order, and for each the number of distinct ones before it.
struct Ranked {
  Array order, sorted, rank;
  int64_t n;
};
Ranked ranked(const Array& a) {
  Ranked r;
  Array flat = flatten(a);
  r.n = flat.size();
  r.order = argsort(flat, 0);
  r.sorted = take(flat, r.order, 0);
  if (r.n == 0) {
    r.rank = zeros(Shape{0}, Dtype::int32);
    return r;
  }
  Array before = slice(r.sorted, Dims{0}, Dims{r.n - 1}),
        here = slice(r.sorted, Dims{1}, Dims{r.n});
  Array differs = not_equal(before, here);
  if (is_inexact(a.dtype()))
    differs = logical_and(differs, logical_not(logical_and(isnan(before), isnan(here))));
  const Array parts[] = {zeros(Shape{1}, Dtype::int32), astype(differs, Dtype::int32)};
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
  if (inverse)
    out.push_back(reshape(astype(take(r.rank, argsort(r.order, 0), 0), Dtype::uint32), a.shape()));
  if (counts) out.push_back(subtract(slice(places, Dims{1}, Dims{size + 1}), first));
  return out;
}

}  // namespace

std::vector<Array> unique(const Array& a, int64_t size, bool return_index, bool return_inverse,
                          bool return_counts, const std::optional<Operand>& fill_value) {
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
      return unique(in[0], size, return_index, return_inverse, return_counts, fill);
    });
  }
  return unique_of(a, ranked(a), size, return_index, return_inverse, return_counts, fill_value);
}

std::vector<Array> unique(const Array& a, bool return_index, bool return_inverse,
                          bool return_counts) {
  Ranked r = ranked(a);
  const int64_t size =
      r.n ? slice(r.rank, Dims{r.n - 1}, Dims{r.n}).item<int32_t>() + int64_t{1} : 0;
  return unique_of(a, r, size, return_index, return_inverse, return_counts, {});
}

}  // namespace legato
