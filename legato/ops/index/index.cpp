// a[...] and its assignment in terms of slices, gather and scatter; the public functions.
#include "legato/ops/index/index.h"

#include "legato/op/composed.h"
#include "legato/op/registry.h"
#include "legato/op/rules.h"
#include "legato/ops/create/create.h"
#include "legato/ops/index/gather.h"
#include "legato/ops/index/masked.h"
#include "legato/ops/index/slice.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/shape/shape.h"

namespace legato {
namespace {

// Note [Plan of an index]: an index is carried out in three steps. `slice` applies slices and
// single numbers, all without a copy; axes of size 1 are inserted for None; index arrays are
// gathered from what is left. Numbers beside index arrays count as arrays where it matters: for the
// place of the broadcast dimensions.
struct Plan {
  SliceAttrs slice;
  bool sliced = false;        // whether slice selects less than everything, or drops an axis
  Dims new_axes;              // of size 1, in the array after the slices
  std::vector<Array> arrays;  // integers
  Dims axes;                  // of the array with its new axes: one an index array
  int64_t at = 0;             // place of the index dimensions among the other axes
};

bool is_mask(const IndexItem& item) {
  return item.kind == IndexItem::Kind::array && is_bool(item.indices.dtype());
}

size_t axes_taken(const IndexItem& item) {
  if (item.kind == IndexItem::Kind::ellipsis || item.kind == IndexItem::Kind::newaxis) return 0;
  return is_mask(item) ? item.indices.ndim() : 1;
}

class Planner {
 public:
  Planner(const char* op, const Shape& shape) : op_(op), shape_(shape) {
    plan_.slice = full_slice(shape.size());
  }

  Plan run(std::span<const IndexItem> items) {
    size_t taken = 0, ellipses = 0;
    bool any_array = false;
    for (const IndexItem& item : items) {
      taken += axes_taken(item);
      ellipses += item.kind == IndexItem::Kind::ellipsis;
      any_array |= item.kind == IndexItem::Kind::array;
    }
    if (ellipses > 1)
      throw IndexError(
          cat(op_, ": an index can only have a single ellipsis ('...'), found ", ellipses));
    if (taken > shape_.size())
      throw AxisError(cat(op_, ": too many indices: the array has ", shape_.size(),
                          shape_.size() == 1 ? " dimension" : " dimensions", ", but ", taken,
                          " were indexed"));
    for (size_t i = 0; i < items.size(); ++i) {
      const IndexItem& item = items[i];
      switch (item.kind) {
        case IndexItem::Kind::ellipsis:
          axis_ += shape_.size() - taken;
          place_ += static_cast<int64_t>(shape_.size() - taken);
          break;
        case IndexItem::Kind::newaxis:
          plan_.new_axes.push_back(place_++);
          break;
        case IndexItem::Kind::slice:
          add_slice(item);
          break;
        case IndexItem::Kind::integer:
          if (any_array) note_array(i);
          plan_.slice.start[axis_] = item.value;
          plan_.slice.step[axis_] = 0;
          plan_.sliced = true;
          ++axis_;
          break;
        case IndexItem::Kind::array:
          note_array(i);
          is_mask(item) ? add_mask(item.indices) : add_array(item.indices);
          break;
      }
    }
    plan_.at = neighbours_ ? first_place_ : 0;
    return std::move(plan_);
  }

 private:
  /// Item i is an index array, or a number beside one.
  void note_array(size_t i) {
    if (last_array_ < 0)
      first_place_ = place_;
    else if (last_array_ + 1 != static_cast<int64_t>(i))
      neighbours_ = false;
    last_array_ = static_cast<int64_t>(i);
  }

  void add_slice(const IndexItem& item) {
    int64_t step = item.step.value_or(1);
    if (step == 0) throw ValueError(cat(op_, ": the step of a slice must not be 0"));
    auto bound = [](const std::optional<int64_t>& v) {  // a bound at the sentinel clips the same
      return v ? std::max(*v, kNoBound + 1) : kNoBound;
    };
    plan_.slice.start[axis_] = bound(item.start);
    plan_.slice.stop[axis_] = bound(item.stop);
    plan_.slice.step[axis_] = step;
    plan_.sliced |= item.start.has_value() || item.stop.has_value() || step != 1;
    ++axis_;
    ++place_;
  }

  void add_array(const Array& indices) {
    if (!is_integer(indices.dtype()))
      throw IndexError(cat(op_, ": arrays used as indices must hold integers or bools, found ",
                           indices.dtype()));
    plan_.arrays.push_back(indices);
    plan_.axes.push_back(place_++);
    ++axis_;
  }

  void add_mask(const Array& mask) {
    if (mask.ndim() == 0) {  // True or False: selects a new axis of size 1, or nothing of it
      int64_t count = flat_nonzero(mask).size();
      plan_.new_axes.push_back(place_);
      plan_.arrays.push_back(zeros({count}, Dtype::int32));
      plan_.axes.push_back(place_++);
      return;
    }
    for (size_t i = 0; i < mask.ndim(); ++i)
      if (mask.shape()[i] != shape_[axis_ + i])
        throw IndexError(cat(op_, ": a mask of shape ", mask.shape(), " does not match axis ",
                             axis_ + i, " of size ", shape_[axis_ + i]));
    for (const Array& positions : nonzero(mask)) add_array(positions);
  }

  const char* op_;
  const Shape& shape_;
  Plan plan_;
  size_t axis_ = 0;    // of the array
  int64_t place_ = 0;  // in the array after slices and new axes
  int64_t last_array_ = -1, first_place_ = 0;
  bool neighbours_ = true;
};

Array apply_slices(const Array& a, const Plan& plan) {
  Array part = plan.sliced ? slice(a, plan.slice) : a;
  return plan.new_axes.empty() ? part : expand_dims(part, plan.new_axes);
}

/// `value` with axes of size 1 in front of `shape` dropped, broadcast to it.
Array fit_value(const char* op, const Array& value, const Shape& shape) {
  Array v = value;
  if (v.ndim() > shape.size()) {
    size_t extra = v.ndim() - shape.size();
    Shape kept;
    bool ones = true;
    for (size_t i = 0; i < v.ndim(); ++i) {
      if (i < extra)
        ones &= v.shape()[i] == 1;
      else
        kept.push_back(v.shape()[i]);
    }
    if (!ones)
      throw ValueError(cat(op, ": a value of shape ", value.shape(),
                           " does not broadcast to the selection of shape ", shape));
    v = reshape(v, kept);
  }
  if (broadcast_shapes(op, v.shape(), shape) != shape)
    throw ValueError(cat(op, ": a value of shape ", value.shape(),
                         " does not broadcast to the selection of shape ", shape));
  return broadcast_to(v, shape);
}

Array combine(const Array& a, const Array& value, UpdateMode mode) {
  switch (mode) {
    case UpdateMode::add:
      return add(a, value);
    case UpdateMode::multiply:
      return multiply(a, value);
    case UpdateMode::divide:
      return astype(divide(a, value), a.dtype());
    case UpdateMode::maximum:
      return maximum(a, value);
    case UpdateMode::minimum:
      return minimum(a, value);
    case UpdateMode::set:
      break;
  }
  return value;
}

/// a[mask] = value, without knowing how many elements that are.
Array update_masked(const Array& a, const Array& mask, const Array& value, UpdateMode mode) {
  const char* op = "index_update";
  for (size_t i = 0; i < mask.ndim(); ++i)
    if (mask.ndim() > a.ndim() || mask.shape()[i] != a.shape()[i])
      throw IndexError(cat(op, ": a mask of shape ", mask.shape(),
                           " does not match the leading axes of ", a.shape()));
  Shape rest;
  for (size_t i = mask.ndim(); i < a.ndim(); ++i) rest.push_back(a.shape()[i]);
  bool one_for_all = value.ndim() <= rest.size();
  for (size_t i = 0; !one_for_all && i < value.ndim() - rest.size(); ++i) {
    if (value.shape()[i] != 1) break;
    one_for_all = i + 1 == value.ndim() - rest.size();
  }
  if (one_for_all) {
    Shape aligned = mask.shape();
    for (size_t i = 0; i < rest.size(); ++i) aligned.push_back(1);
    return where(reshape(mask, aligned), combine(a, fit_value(op, value, rest), mode), a);
  }
  if (value.ndim() != rest.size() + 1)
    throw ValueError(cat(op, ": a value of shape ", value.shape(),
                         " does not match a selection by a mask from ", a.shape(),
                         "; it must broadcast to one entry for each true element"));
  Array rows = broadcast_to(value, rules::prepend(value.shape()[0], rest));
  if (mode == UpdateMode::set) return masked_scatter(a, mask, rows);
  // The values meet what they replace: spread them over the array first.
  Array spread = masked_scatter(zeros_like(a), mask, rows);
  Shape aligned = mask.shape();
  for (size_t i = 0; i < rest.size(); ++i) aligned.push_back(1);
  return where(reshape(mask, aligned), combine(a, spread, mode), a);
}

}  // namespace

namespace {

bool any_mask(std::span<const IndexItem> items) {
  for (const IndexItem& item : items)
    if (is_mask(item)) return true;
  return false;
}

/// The arrays of an index behind `first`, and an index that takes them from there.
std::vector<Array> arrays_of(std::vector<Array> first, std::span<const IndexItem> items) {
  for (const IndexItem& item : items)
    if (item.kind == IndexItem::Kind::array) first.push_back(item.indices);
  return first;
}
std::vector<IndexItem> with_arrays(std::vector<IndexItem> items, Inputs arrays) {
  size_t next = 0;
  for (IndexItem& item : items)
    if (item.kind == IndexItem::Kind::array) item.indices = arrays[next++];
  return items;
}
/// Without its arrays, which a composed function takes from its inputs.
std::vector<IndexItem> without_arrays(std::span<const IndexItem> items) {
  std::vector<IndexItem> out(items.begin(), items.end());
  for (IndexItem& item : out) item.indices = Array();
  return out;
}

/// Whether the arrays name one element of each row of a matrix, as in a[arange(n), i].
bool names_one_a_row(const Array& a, const Plan& plan) {
  return a.ndim() == 2 && plan.arrays.size() == 2 && plan.axes == Dims{0, 1} &&
         plan.arrays[1].shape() == Shape{a.shape()[0]} && is_arange(plan.arrays[0], a.shape()[0]);
}

}  // namespace

Array index(const Array& a, std::span<const IndexItem> items) {
  // A mask is evaluated at the call, so its size cannot change with those of the inputs.
  if (tracing_shapeless() && !any_mask(items))
    return composed("index", arrays_of({a}, items), [kept = without_arrays(items)](Inputs in) {
      return index(in[0], with_arrays(kept, in.subspan(1)));
    });
  if (items.size() == 1 && is_mask(items[0]) && items[0].indices.ndim() > 1 &&
      items[0].indices.ndim() <= a.ndim()) {
    // A mask over several axes: they are merged, which copies nothing of a row-major array.
    const Array& mask = items[0].indices;
    int64_t last = static_cast<int64_t>(mask.ndim()) - 1;
    bool fits = true;
    for (size_t i = 0; i < mask.ndim(); ++i) fits &= mask.shape()[i] == a.shape()[i];
    if (fits) return take(flatten(a, 0, last), flat_nonzero(mask), 0);
  }
  Plan plan = Planner("index", a.shape()).run(items);
  Array part = apply_slices(a, plan);
  if (plan.arrays.empty()) return part;
  // Kernels know more of elements along an axis than of places anywhere.
  if (names_one_a_row(part, plan))
    return squeeze(take_along_axis(part, expand_dims(plan.arrays[1], Dims{1}), 1), Dims{1});
  return gather(part, plan.arrays, plan.axes, plan.at);
}

Array index_update(const Array& a, std::span<const IndexItem> items, const Array& value,
                   UpdateMode mode) {
  const char* op = "index_update";
  if (tracing_shapeless() && (!any_mask(items) || items.size() == 1))
    return composed("index_update", arrays_of({a, value}, items),
                    [kept = without_arrays(items), mode](Inputs in) {
                      return index_update(in[0], with_arrays(kept, in.subspan(2)), in[1], mode);
                    });
  Array v = astype(value, a.dtype());
  if (items.size() == 1 && is_mask(items[0])) return update_masked(a, items[0].indices, v, mode);
  Plan plan = Planner(op, a.shape()).run(items);
  if (plan.arrays.empty()) {
    Array part = mode == UpdateMode::set ? Array() : apply_slices(a, plan);
    Shape kept = resolve_slice(op, plan.slice, a.shape()).shape, selected = kept;
    for (int64_t axis : plan.new_axes) selected.insert(axis, 1);
    v = fit_value(op, v, selected);
    if (part) v = combine(part, v, mode);
    v = reshape(v, kept);
    return plan.sliced ? slice_update(a, v, plan.slice) : v;
  }
  Array part = apply_slices(a, plan);
  Shape selected = gather(part, plan.arrays, plan.axes, plan.at).shape();
  part = scatter(part, plan.arrays, plan.axes, plan.at, fit_value(op, v, selected), mode);
  if (!plan.new_axes.empty()) part = squeeze(part, plan.new_axes);
  return plan.sliced ? slice_update(a, part, plan.slice) : part;
}

Array take(const Array& a, const Operand& indices, std::optional<int64_t> axis) {
  if (!axis) return take(flatten(a), indices, 0);
  int64_t n = normalize_axis("take", *axis, a.ndim());
  if (!indices.is_array()) {
    const Scalar& i = indices.scalar();
    if (i.kind != Scalar::Kind::integer)
      throw ValueError(cat("take: an index must be an integer, found ", i));
    SliceAttrs attrs = full_slice(a.ndim());
    attrs.start[n] = i.i;
    attrs.step[n] = 0;
    return slice(a, attrs);
  }
  return gather(a, {&indices.array(), 1}, {n}, n);
}

namespace {

Array put(const Array& a, const Array& indices, const Array& values, std::optional<int64_t> axis) {
  return put_along_axis(a, indices, values, axis);
}

ArrayTuple nonzero_tuple(const Array& a) { return {nonzero(a)}; }

constexpr Function kFunctions[] = {
    function<&take>("take", "a, /, indices, axis=None",
                    R"(Elements of `a` at `indices`, an int or an integer array, along `axis`.

The dimensions of `indices` replace the axis. Without an axis, `a` is flattened. Negative indices count from the end.

Raises:
    IndexError: for an index outside the axis, when the result is computed.

>>> take(array([10, 20, 30]), array([2, 0]))
array([30, 10], dtype=int32))"),
    function<&take_along_axis>(
        "take_along_axis", "a, /, indices, axis=-1",
        R"(Elements of `a` at `indices` along one axis, each position on its own.

`indices` has as many dimensions as `a`; the axes other than `axis` broadcast. With axis=None both are flattened.
This is how the result of argsort is applied.

>>> take_along_axis(array([[3, 1], [2, 4]]), array([[1, 0], [0, 1]]))
array([[1, 3],
       [2, 4]], dtype=int32))"),
    function<&put>(
        "put_along_axis", "a, /, indices, values, axis=None",
        R"(`a` with `values` written at `indices` along one axis, each position on its own.

The counterpart of take_along_axis; `values` broadcasts to `indices`. Of several writes to one place the last one counts.

>>> put_along_axis(array([[3, 1], [2, 4]]), array([[1], [0]]), array(9), axis=1)
array([[3, 9],
       [9, 4]], dtype=int32))"),
    function<&dynamic_slice>(
        "slice", "a, start_indices, axes, slice_size",
        R"(The part of `a` that begins at `start_indices` on `axes` and has `slice_size` there.

`start_indices` is an integer array with one entry an axis of `axes`: it may be computed, and changes nothing that is
compiled. `slice_size` has one entry for each axis of `a`, or for each of `axes`.

Raises:
    IndexError: if the part does not lie inside `a`, when the result is computed.

>>> slice(array([1, 2, 3, 4]), array([1]), (0,), (2,))
array([2, 3], dtype=int32))"),
    function<&dynamic_slice_update>(
        "slice_update", "a, update, start_indices, axes",
        R"(`a` with the part of the size of `update` that begins at `start_indices` on `axes` replaced.

>>> slice_update(array([1, 2, 3, 4]), array([9, 9]), array([1]), (0,))
array([1, 9, 9, 4], dtype=int32))"),
    function<&nonzero_tuple>(
        "nonzero", "a, /",
        R"(Positions of the elements that are not 0, in row-major order: one index array an axis.

Evaluates `a`: the size of the result depends on its values.

>>> nonzero(array([0, 5, 0, 7]))
(array([1, 3], dtype=int32),))"),
    function<&masked_select>("masked_select", "a, /, mask, size",
                             R"(The first `size` entries of `a` whose `mask` is true, then zeros.

A selection by a mask whose size is known beforehand, so that it works inside vmap and compile. `mask` is bool, of the
shape of the leading axes of `a`.

>>> masked_select(array([1, 2, 3]), array([True, False, True]), 3)
array([1, 3, 0], dtype=int32))"),
};

}  // namespace

void register_index(Registry& registry) {
  register_slices(registry);
  register_gather(registry);
  register_masked(registry);
  for (const Function& f : kFunctions) registry.add(f);
}

}  // namespace legato
