#include "legato/ops/index/slice.h"

#include <algorithm>

#include "legato/op/composed.h"
#include "legato/op/registry.h"
#include "legato/op/rules.h"
#include "legato/ops/create/create.h"
#include "legato/ops/index/index.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/shape/shape.h"

namespace legato {

SliceAttrs full_slice(size_t rank) {
  return {Dims::filled(rank, kNoBound), Dims::filled(rank, kNoBound), Dims::filled(rank, 1)};
}

SliceRegion resolve_slice(const char* op, const SliceAttrs& attrs, const Shape& shape) {
  size_t rank = shape.size();
  if (attrs.start.size() != rank || attrs.stop.size() != rank || attrs.step.size() != rank)
    throw ValueError(cat(op, ": start ", attrs.start, ", stop ", attrs.stop, " and step ",
                         attrs.step, " must have one entry for each axis of ", shape));
  SliceRegion r;
  for (size_t i = 0; i < rank; ++i) {
    int64_t n = shape[i], start = attrs.start[i], stop = attrs.stop[i], step = attrs.step[i];
    if (step == 0) {
      if (start < -n || start >= n)
        throw IndexError(cat(op, ": index ", start, " is out of range for axis ",
                             static_cast<int64_t>(i), " of size ", n));
      r.begin.push_back(start < 0 ? start + n : start);
      r.step.push_back(1);
      r.count.push_back(1);
      continue;
    }
    step = std::max(step, -INT64_MAX);
    int64_t low = step > 0 ? 0 : -1, high = step > 0 ? n : n - 1;
    auto clip = [&](int64_t v, int64_t missing) {
      return v == kNoBound ? missing : std::clamp(v < 0 ? v + n : v, low, high);
    };
    start = clip(start, step > 0 ? low : high);
    stop = clip(stop, step > 0 ? high : low);
    int64_t distance = step > 0 ? stop - start : start - stop;
    int64_t count = distance > 0 ? (distance - 1) / (step > 0 ? step : -step) + 1 : 0;
    r.begin.push_back(count ? start : 0);
    r.step.push_back(count > 1 ? step : 1);
    r.count.push_back(count);
    r.shape.push_back(count);
  }
  return r;
}

namespace {

using rules::prepend;

SliceAttrs behind_batch_axis(const SliceAttrs& a) {
  return {prepend(kNoBound, a.start), prepend(kNoBound, a.stop), prepend(1, a.step)};
}

constinit const Op slice_op{
    .name = "slice",
    .attrs = &attrs_type<SliceAttrs>,
    .infer =
        [](Inference& in) {
          in.result(resolve_slice(in.name(), in.attrs<SliceAttrs>(), in.shape()).shape, in.dtype());
        },
    .view =
        [](const void* raw, const Shape& in_shape, const Layout& in, const Shape& out_shape, int,
           Layout& out) {
          auto& attrs = *static_cast<const SliceAttrs*>(raw);
          SliceRegion r = resolve_slice("slice", attrs, in_shape);
          bool empty = std::find(out_shape.begin(), out_shape.end(), 0) != out_shape.end();
          out.offset = in.offset;
          out.strides.clear();
          for (size_t i = 0; i < in_shape.size(); ++i) {
            if (!empty) out.offset += r.begin[i] * in.strides[i];
            if (attrs.step[i] != 0) out.strides.push_back(r.step[i] * in.strides[i]);
          }
          return true;
        },
    .derive = Linear(1,
                     [](const Call& c, int, const Array& cotangent) {
                       return slice_update(zeros(c.in().shape(), cotangent.dtype()), cotangent,
                                           c.attrs<SliceAttrs>());
                     }),
    .batch =
        [](const BatchedCall& c, std::span<Array> out) {
          out[0] = slice(c.in[0], behind_batch_axis(c.attrs<SliceAttrs>()));
        },
};

void check_update(const char* op, const Shape& part, const Array& a, const Array& update) {
  if (update.shape() != part)
    throw ValueError(cat(op, ": the selected part of ", a.shape(), " has shape ", part,
                         ", the update has ", update.shape()));
  if (update.dtype() != a.dtype())
    throw ValueError(cat(op, ": the update is ", update.dtype(), ", the array ", a.dtype(),
                         "; cast the update with astype"));
}

// --- slices whose start is read from an array ----------------------------------------------------

struct DynamicPart {
  Dims axes;
  Shape shape;
};

/// Checks what both dynamic ops have in common; `size` of axis axes[i] is size[i].
DynamicPart dynamic_part(const char* op, const Array& a, const Array& start, const Dims& axes,
                         const Dims& size) {
  DynamicPart part{rules::normalize_axes(op, axes, a.ndim()), a.shape()};
  if (!is_integer(start.dtype()))
    throw ValueError(cat(op, ": the start indices must be integers, found ", start.dtype()));
  if (start.ndim() != 1 || start.size() != static_cast<int64_t>(axes.size()))
    throw ValueError(cat(op, ": needs one start index for each of the axes ", axes,
                         ", found start indices of shape ", start.shape()));
  if (size.size() != axes.size())
    throw ValueError(
        cat(op, ": slice_size ", size, " must have one size for each of the axes ", axes));
  for (size_t i = 0; i < axes.size(); ++i) {
    int64_t n = a.shape()[part.axes[i]];
    if (size[i] < 0 || size[i] > n)
      throw ValueError(cat(op, ": a part of size ", size[i], " does not fit axis ", part.axes[i],
                           " of size ", n));
    part.shape[part.axes[i]] = size[i];
  }
  return part;
}

Dims sizes_on(const Shape& shape, const Dims& axes) {
  Dims out;
  for (int64_t axis : axes) out.push_back(shape[axis]);
  return out;
}

/// Index arrays, broadcast against each other, that select the part with gather: used where the
/// start indices are batched, because then each element of the batch has its own part.
std::vector<Array> part_indices(const Array& a, const Array& starts, const Dims& axes,
                                const Dims& size, size_t first_axis) {
  // starts: (batch, axes). Index array i: (batch, 1, .., size[i], .., 1).
  size_t rank = axes.size() + 1;
  int64_t batch = starts.shape(0);
  std::vector<Array> out;
  Shape lead = Dims::filled(rank, 1);
  lead[0] = batch;
  out.push_back(reshape(arange(Scalar(batch)), lead));
  for (size_t i = 0; i < axes.size(); ++i) {
    Shape along = Dims::filled(rank, 1);
    along[i + 1] = size[i];
    SliceAttrs column = full_slice(2);
    column.start[1] = static_cast<int64_t>(i);
    column.step[1] = 0;
    // Wrap a negative start before adding to it; a bad one stays bad: it is checked when gathered.
    Array start = astype(slice(starts, column), Dtype::int64);
    int64_t n = a.shape()[first_axis + axes[i]];
    start = where(less(start, 0), where(less(start, -n), n, add(start, n)), start);
    out.push_back(add(reshape(start, lead), reshape(arange(Scalar(size[i])), along)));
  }
  return out;
}

/// The axes that part_indices indexes, and the order in which the result of a gather at 0 has them:
/// batch, parts of `axes`, the other axes.
struct PartOrder {
  Dims indexed, back;  // back: moves the gathered axes to where they belong
};
PartOrder part_order(const Dims& axes, size_t rank) {
  PartOrder o;
  Dims sorted = axes;
  std::sort(sorted.begin(), sorted.end());
  o.indexed.push_back(0);
  for (int64_t axis : sorted) o.indexed.push_back(axis + 1);
  Dims order = o.indexed;  // order[i]: the axis of `a` that stands at place i of the gathered array
  for (size_t i = 1; i <= rank; ++i)
    if (std::find(o.indexed.begin(), o.indexed.end(), static_cast<int64_t>(i)) == o.indexed.end())
      order.push_back(static_cast<int64_t>(i));
  o.back = Dims::filled(order.size(), 0);
  for (size_t i = 0; i < order.size(); ++i) o.back[order[i]] = static_cast<int64_t>(i);
  return o;
}

/// `axes` and `size` reordered so that axes ascend, and the start indices with them.
Array sort_axes(const Array& starts, Dims& axes, Dims& size) {
  std::vector<size_t> order(axes.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](size_t x, size_t y) { return axes[x] < axes[y]; });
  if (std::is_sorted(axes.begin(), axes.end())) return starts;
  Dims a, s;
  std::vector<Array> columns;
  std::vector<int32_t> pick;
  for (size_t i : order) {
    a.push_back(axes[i]);
    s.push_back(size[i]);
    pick.push_back(static_cast<int32_t>(i));
  }
  axes = a;
  size = s;
  Array at = Array::from<int32_t>(pick, {static_cast<int64_t>(pick.size())});
  return take(starts, at, 1);
}

void batch_dynamic_slice(const BatchedCall& c, std::span<Array> out) {
  auto attrs = c.attrs<DynamicSliceAttrs>();
  Dims axes = rules::normalize_axes(c.op.name, attrs.axes, c.rank(0));
  if (!c.batched[1]) {
    for (int64_t& axis : axes) ++axis;
    out[0] = bind(c.op, {c.in[0], c.in[1]}, DynamicSliceAttrs{axes, attrs.size});
    return;
  }
  Dims size = attrs.size;
  Array a = c.with_axis(0), starts = sort_axes(c.in[1], axes, size);
  PartOrder order = part_order(axes, c.rank(0));
  out[0] =
      transpose(gather(a, part_indices(a, starts, axes, size, 1), order.indexed, 0), order.back);
}

void batch_dynamic_update(const BatchedCall& c, std::span<Array> out) {
  Dims axes = rules::normalize_axes(c.op.name, c.attrs<DynamicSliceAttrs>().axes, c.rank(0));
  Array a = c.with_axis(0), update = c.with_axis(1);
  if (!c.batched[2]) {
    for (int64_t& axis : axes) ++axis;
    out[0] = bind(c.op, {a, update, c.in[2]}, DynamicSliceAttrs{axes, {}});
    return;
  }
  Shape part = update.shape();
  part.erase(0);
  Dims size = sizes_on(part, axes);
  Array starts = sort_axes(c.in[2], axes, size);
  PartOrder order = part_order(axes, c.rank(0));
  Dims forth = Dims::filled(order.back.size(), 0);
  for (size_t i = 0; i < forth.size(); ++i) forth[order.back[i]] = static_cast<int64_t>(i);
  out[0] = scatter(a, part_indices(a, starts, axes, size, 1), order.indexed, 0,
                   transpose(update, forth), UpdateMode::set);
}

}  // namespace

constinit const Op slice_update_op{
    .name = "slice_update",
    .attrs = &attrs_type<SliceAttrs>,
    .infer =
        [](Inference& in) {
          SliceRegion r = resolve_slice(in.name(), in.attrs<SliceAttrs>(), in.shape());
          check_update(in.name(), r.shape, in.inputs()[0], in.inputs()[1]);
          in.result(in.shape(), in.dtype());
        },
    .derive = LinearJointly(3,
                            [](const Call& c, int i, const Array& ct) {
                              auto& attrs = c.attrs<SliceAttrs>();
                              return i == 1 ? slice(ct, attrs)
                                            : slice_update(ct, zeros(c.in(1).shape(), ct.dtype()),
                                                           attrs);
                            }),
    .batch =
        [](const BatchedCall& c, std::span<Array> out) {
          out[0] = slice_update(c.with_axis(0), c.with_axis(1),
                                behind_batch_axis(c.attrs<SliceAttrs>()));
        },
};

// Inputs: array, start indices.
constinit const Op dynamic_slice_op{
    .name = "dynamic_slice",
    .attrs = &attrs_type<DynamicSliceAttrs>,
    .infer =
        [](Inference& in) {
          auto& a = in.attrs<DynamicSliceAttrs>();
          in.result(dynamic_part(in.name(), in.inputs()[0], in.inputs()[1], a.axes, a.size).shape,
                    in.dtype());
        },
    .derive = Linear(1,
                     [](const Call& c, int, const Array& cotangent) {
                       return dynamic_slice_update(zeros(c.in().shape(), cotangent.dtype()),
                                                   cotangent, c.in(1),
                                                   c.attrs<DynamicSliceAttrs>().axes);
                     }),
    .batch = batch_dynamic_slice,
};

// Inputs: array, update, start indices.
constinit const Op dynamic_slice_update_op{
    .name = "dynamic_slice_update",
    .attrs = &attrs_type<DynamicSliceAttrs>,
    .infer =
        [](Inference& in) {
          const Array &a = in.inputs()[0], &update = in.inputs()[1];
          Dims axes =
              rules::normalize_axes(in.name(), in.attrs<DynamicSliceAttrs>().axes, a.ndim());
          if (update.ndim() != a.ndim())
            throw ValueError(cat(in.name(), ": the update must have as many dimensions as ",
                                 a.shape(), ", found ", update.shape()));
          auto part =
              dynamic_part(in.name(), a, in.inputs()[2], axes, sizes_on(update.shape(), axes));
          check_update(in.name(), part.shape, a, update);
          in.result(a.shape(), a.dtype());
        },
    .derive = LinearJointly(3,
                            [](const Call& c, int i, const Array& ct) {
                              const Dims& axes = c.attrs<DynamicSliceAttrs>().axes;
                              const Shape& part = c.in(1).shape();
                              return i == 1 ? dynamic_slice(ct, c.in(2), axes, part)
                                            : dynamic_slice_update(ct, zeros(part, ct.dtype()),
                                                                   c.in(2), axes);
                            }),
    .batch = batch_dynamic_update,
};

Array slice(const Array& a, const SliceAttrs& attrs) { return bind(slice_op, {a}, attrs); }

Array slice(const Array& a, const Dims& start, const Dims& stop, const Dims& step) {
  return slice(a, SliceAttrs{start, stop, step.empty() ? Dims::filled(start.size(), 1) : step});
}

Array slice_update(const Array& a, const Array& update, const SliceAttrs& attrs) {
  return bind(slice_update_op, {a, update}, attrs);
}

namespace {

Array as_starts(const Array& a) { return a.ndim() == 0 ? reshape(a, {1}) : a; }

}  // namespace

Array dynamic_slice(const Array& a, const Array& start_indices, const Dims& axes,
                    const Dims& slice_size) {
  if (tracing_shapeless())
    return composed("slice", {a, start_indices}, [axes, slice_size](Inputs in) {
      return dynamic_slice(in[0], in[1], axes, slice_size);
    });
  Dims on = rules::normalize_axes("slice", axes, a.ndim());
  Array starts = as_starts(start_indices);
  if (slice_size.size() != a.ndim())
    return bind(dynamic_slice_op, {a, starts}, DynamicSliceAttrs{on, slice_size});
  // One size for each axis: the axes that are not named begin at 0.
  SliceAttrs head = full_slice(a.ndim());
  bool narrowed = false;
  for (size_t i = 0; i < a.ndim(); ++i) {
    if (std::find(on.begin(), on.end(), static_cast<int64_t>(i)) != on.end()) continue;
    if (slice_size[i] < 0 || slice_size[i] > a.shape()[i])
      throw ValueError(cat("slice: a part of size ", slice_size[i], " does not fit axis ", i,
                           " of size ", a.shape()[i]));
    head.stop[i] = slice_size[i];
    narrowed |= slice_size[i] != a.shape()[i];
  }
  return bind(dynamic_slice_op, {narrowed ? slice(a, head) : a, starts},
              DynamicSliceAttrs{on, sizes_on(slice_size, on)});
}

Array dynamic_slice_update(const Array& a, const Array& update, const Array& start_indices,
                           const Dims& axes) {
  if (tracing_shapeless())
    return composed("slice_update", {a, update, start_indices},
                    [axes](Inputs in) { return dynamic_slice_update(in[0], in[1], in[2], axes); });
  Dims on = rules::normalize_axes("slice_update", axes, a.ndim());
  Array u = astype(update, a.dtype()), starts = as_starts(start_indices);
  if (u.ndim() < a.ndim()) {
    Shape aligned = Dims::filled(a.ndim() - u.ndim(), 1);
    for (int64_t s : u.shape()) aligned.push_back(s);
    u = reshape(u, aligned);
  }
  // Axes that are not named begin at 0; where the update is smaller there, only the head changes.
  SliceAttrs head = full_slice(a.ndim());
  bool narrowed = false;
  for (size_t i = 0; i < a.ndim() && u.ndim() == a.ndim(); ++i) {
    if (std::find(on.begin(), on.end(), static_cast<int64_t>(i)) != on.end()) continue;
    head.stop[i] = u.shape()[i];
    narrowed |= u.shape()[i] < a.shape()[i];
  }
  if (!narrowed) return bind(dynamic_slice_update_op, {a, u, starts}, DynamicSliceAttrs{on, {}});
  Array part =
      bind(dynamic_slice_update_op, {slice(a, head), u, starts}, DynamicSliceAttrs{on, {}});
  return slice_update(a, part, head);
}

void register_slices(Registry& registry) {
  for (const Op* op : {&slice_op, &slice_update_op, &dynamic_slice_op, &dynamic_slice_update_op})
    registry.add(*op);
}

}  // namespace legato
