#include "legato/ops/index/gather.h"

#include <algorithm>

#include "legato/op/composed.h"
#include "legato/op/registry.h"
#include "legato/op/rules.h"
#include "legato/ops/create/create.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/shape/shape.h"

namespace legato {
namespace {

void check_indices(const char* op, std::span<const Array> indices) {
  for (const Array& i : indices) {
    if (!is_integer(i.dtype()))
      throw ValueError(cat(op, ": indices must be integers, found ", i.dtype()));
    if (i.shape() != indices[0].shape())
      throw ValueError(cat(op, ": index arrays of shapes ", indices[0].shape(), " and ", i.shape(),
                           " were not broadcast"));
  }
}

/// The shape of what gather reads: the axes that are not indexed, with those of the index arrays
/// among them.
Shape gathered_shape(const char* op, const Shape& a, std::span<const Array> indices,
                     const GatherAttrs& attrs) {
  check_indices(op, indices);
  if (indices.empty() || indices.size() != attrs.axes.size())
    throw ValueError(cat(op, ": ", indices.size(), " index arrays for the axes ", attrs.axes));
  Dims axes = rules::normalize_axes(op, attrs.axes, a.size());
  Shape out;
  for (size_t i = 0; i < a.size(); ++i)
    if (std::find(axes.begin(), axes.end(), static_cast<int64_t>(i)) == axes.end())
      out.push_back(a[i]);
  if (attrs.at < 0 || attrs.at > static_cast<int64_t>(out.size()))
    throw ValueError(cat(op, ": the place ", attrs.at, " of the index dimensions is not among the ",
                         out.size(), " axes that are not indexed"));
  size_t at = attrs.at;
  for (int64_t s : indices[0].shape()) out.insert(at++, s);
  return out;
}

void check_updates(const char* op, const Array& a, const Array& updates, const Shape& want) {
  if (updates.shape() != want || updates.dtype() != a.dtype())
    throw ValueError(cat(op, ": expected updates of shape ", want, " and dtype ", a.dtype(),
                         ", found ", updates.shape(), " of ", updates.dtype()));
}

bool accumulates_rounded(Dtype t, UpdateMode mode) {
  return is_half(t) &&
         (mode == UpdateMode::add || mode == UpdateMode::multiply || mode == UpdateMode::divide);
}

// --- batching ------------------------------------------------------------------------------------

Dims shifted(const Dims& axes, int64_t by) {
  Dims out = axes;
  for (int64_t& axis : out) axis += by;
  return out;
}

/// The batch axis of an array becomes an indexed axis of its own: index arrays with a batch axis in
/// front, and one more that counts it.
std::vector<Array> with_batch_index(const BatchedCall& c, size_t first, Dims& axes) {
  std::vector<Array> indices;
  size_t rank = 1;
  for (size_t i = first; i < c.in.size(); ++i) {
    indices.push_back(c.in[i]);
    rank = std::max(rank, c.rank(static_cast<int>(i)) + 1);
  }
  Shape lead = Dims::filled(rank, 1);
  lead[0] = c.size;
  indices.insert(indices.begin(), reshape(arange(Scalar(c.size)), lead));
  axes = rules::prepend(0, shifted(axes, 1));
  return indices;
}

bool any_batched(const BatchedCall& c, size_t first) {
  return std::find(c.batched.begin() + first, c.batched.end(), true) != c.batched.end();
}

void batch_gather(const BatchedCall& c, std::span<Array> out) {
  auto attrs = c.attrs<GatherAttrs>();
  if (!any_batched(c, 1)) {
    out[0] = gather(c.in[0], c.in.subspan(1), shifted(attrs.axes, 1), attrs.at + 1);
  } else if (!c.batched[0]) {
    out[0] = moveaxis(gather(c.in[0], c.in.subspan(1), attrs.axes, attrs.at), {attrs.at}, {0});
  } else {
    Dims axes = attrs.axes;
    auto indices = with_batch_index(c, 1, axes);
    out[0] = moveaxis(gather(c.in[0], indices, axes, attrs.at), {attrs.at}, {0});
  }
}

void batch_scatter(const BatchedCall& c, std::span<Array> out) {
  auto attrs = c.attrs<GatherAttrs>();
  Array a = c.with_axis(0), updates = c.with_axis(1);
  if (!any_batched(c, 2)) {
    out[0] = scatter(a, c.in.subspan(2), shifted(attrs.axes, 1), attrs.at + 1, updates, attrs.mode);
  } else {
    Dims axes = attrs.axes;
    auto indices = with_batch_index(c, 2, axes);
    out[0] = scatter(a, indices, axes, attrs.at, moveaxis(updates, {0}, {attrs.at}), attrs.mode);
  }
}

// --- derivatives of scatter and put_along_axis ---------------------------------------------------

/// Where a scatter or a put_along_axis writes: reads from and writes to the same places.
class Place {
 public:
  explicit Place(const Call& c) : c_(c), along_(&c.op() == &put_along_axis_op) {}
  UpdateMode mode() const {
    return along_ ? c_.attrs<AlongAttrs>().mode : c_.attrs<GatherAttrs>().mode;
  }
  Array read(const Array& a) const {
    if (along_) return take_along_axis(a, c_.in(2), c_.attrs<AlongAttrs>().axis);
    auto& attrs = c_.attrs<GatherAttrs>();
    return gather(a, indices(), attrs.axes, attrs.at);
  }
  Array write(const Array& a, const Array& updates, UpdateMode mode) const {
    if (along_) return put_along_axis(a, c_.in(2), updates, c_.attrs<AlongAttrs>().axis, mode);
    auto& attrs = c_.attrs<GatherAttrs>();
    return scatter(a, indices(), attrs.axes, attrs.at, updates, mode);
  }
  /// Where an update is the last one of its place: those that `set` keeps. Broadcasts to the
  /// updates.
  Array kept() const {
    const Array& first = c_.in(2);
    Array order = reshape(arange(Scalar(first.size())), first.shape());
    if (along_)
      return equal(read(write(zeros(c_.in(0).shape(), order.dtype()), order, UpdateMode::set)),
                   order);
    auto& attrs = c_.attrs<GatherAttrs>();
    Shape sizes;
    Dims axes;
    for (size_t i = 0; i < attrs.axes.size(); ++i) {
      sizes.push_back(c_.in(0).shape()[attrs.axes[i]]);
      axes.push_back(static_cast<int64_t>(i));
    }
    Array last = scatter(zeros(sizes, order.dtype()), indices(), axes, 0, order, UpdateMode::set);
    Array keeps = equal(gather(last, indices(), axes, 0), order);
    Shape aligned = first.shape();
    size_t behind = c_.in(0).ndim() - axes.size() - attrs.at;
    for (size_t i = 0; i < behind; ++i) aligned.push_back(1);
    return reshape(keeps, aligned);
  }

 private:
  std::span<const Array> indices() const { return c_.inputs().subspan(2); }
  const Call& c_;
  bool along_;
};

/// ∂out/∂a at each element of `a` and ∂out/∂u at each update, for the modes that are not linear.
void local_derivatives(const Call& c, const Place& place, Array& for_a, Array& for_u) {
  const Array &a = c.in(0), &u = c.in(1);
  UpdateMode mode = place.mode();
  if (mode == UpdateMode::multiply) {
    // The product of the other factors: the whole product without its zeros, divided by the factor,
    // unless another factor is 0.
    Array a_is_0 = equal(a, 0), u_is_0 = equal(u, 0);
    Array a_or_1 = where(a_is_0, 1, a), u_or_1 = where(u_is_0, 1, u);
    Array product = place.write(a_or_1, u_or_1, UpdateMode::multiply);
    Array zeros_in =
        place.write(astype(a_is_0, Dtype::int32), astype(u_is_0, Dtype::int32), UpdateMode::add);
    auto others = [](const Array& is_0, const Array& product, const Array& n, const Array& x) {
      return where(equal(n, astype(is_0, Dtype::int32)), where(is_0, product, divide(product, x)),
                   0);
    };
    for_a = others(a_is_0, product, zeros_in, a_or_1);
    for_u = others(u_is_0, place.read(product), place.read(zeros_in), u_or_1);
  } else if (mode == UpdateMode::divide) {
    for_a = place.write(ones_like(a), u, UpdateMode::divide);
    for_u = divide(negative(place.read(c.out())), u);
  } else {  // maximum, minimum: shared evenly among those that reach it
    Array a_hits = astype(equal(a, c.out()), a.dtype());
    Array u_hits = astype(equal(u, place.read(c.out())), a.dtype());
    Array hits = place.write(a_hits, u_hits, UpdateMode::add);
    for_a = divide(a_hits, hits);
    for_u = divide(u_hits, place.read(hits));
  }
}

void vjp_scatter(const Call& c, std::span<const Array> cotangents, std::span<Array> result) {
  Place place(c);
  const Array& ct = cotangents[0];
  switch (place.mode()) {
    case UpdateMode::set:
      if (c.wanted(0))
        result[0] = place.write(ct, zeros(c.in(1).shape(), ct.dtype()), UpdateMode::set);
      if (c.wanted(1)) result[1] = where(place.kept(), place.read(ct), 0);
      return;
    case UpdateMode::add:
      result[0] = ct;
      if (c.wanted(1)) result[1] = place.read(ct);
      return;
    default:
      Array for_a, for_u;
      local_derivatives(c, place, for_a, for_u);
      if (c.wanted(0)) result[0] = multiply(ct, conjugate(for_a));
      if (c.wanted(1)) result[1] = multiply(place.read(ct), conjugate(for_u));
  }
}

void jvp_scatter(const Call& c, std::span<const Array> tangents, std::span<Array> result) {
  Place place(c);
  Array ta = tangents[0] ? tangents[0] : zeros_like(c.in(0));
  Array tu = tangents[1] ? tangents[1] : zeros_like(c.in(1));
  if (place.mode() == UpdateMode::set || place.mode() == UpdateMode::add) {
    result[0] = place.write(ta, tu, place.mode());
  } else {
    Array for_a, for_u;
    local_derivatives(c, place, for_a, for_u);
    result[0] = place.write(multiply(ta, for_a), multiply(tu, for_u), UpdateMode::add);
  }
}

/// Shapes of array and indices of a take along an axis: equal but for the axis.
void check_along(const char* op, const Array& a, const Array& indices, int64_t axis) {
  check_indices(op, {&indices, 1});
  bool fits = a.ndim() == indices.ndim();
  size_t n = normalize_axis(op, axis, a.ndim());
  for (size_t i = 0; fits && i < a.ndim(); ++i) fits = i == n || a.shape()[i] == indices.shape()[i];
  if (!fits)
    throw ValueError(cat(op, ": indices of shape ", indices.shape(), " do not match ", a.shape(),
                         "; all axes but axis ", axis, " must have equal sizes"));
}

// --- derivative of take_along_axis ---------------------------------------------------------------

/// Where one element of each line was taken, its cotangent is compared into place: pointwise, so
/// that it is part of whatever the gradient is computed by. The numbers of the elements, taken
/// alike, are the indices counted from the front, and checked.
Array place_single(const Call& c, const Array& cotangent) {
  const auto axis = static_cast<size_t>(c.attrs<AlongAttrs>().axis);
  const Shape& shape = c.in().shape();
  Shape line = Dims::filled(shape.size(), 1);
  line[axis] = shape[axis];
  const Array numbers = reshape(arange(Scalar(shape[axis])), line);
  const Array taken =
      take_along_axis(broadcast_to(numbers, shape), c.in(1), c.attrs<AlongAttrs>().axis);
  return where(equal(numbers, taken), cotangent, 0);
}

}  // namespace

constinit const Op gather_op{
    .name = "gather",
    .attrs = &attrs_type<GatherAttrs>,
    .infer =
        [](Inference& in) {
          in.result(gathered_shape(in.name(), in.shape(), in.inputs().subspan(1),
                                   in.attrs<GatherAttrs>()),
                    in.dtype());
        },
    .derive = Linear(1,
                     [](const Call& c, int, const Array& cotangent) {
                       auto& attrs = c.attrs<GatherAttrs>();
                       return scatter(zeros(c.in().shape(), cotangent.dtype()),
                                      c.inputs().subspan(1), attrs.axes, attrs.at, cotangent,
                                      UpdateMode::add);
                     }),
    .batch = batch_gather,
};

constinit const Op scatter_op{
    .name = "scatter",
    .attrs = &attrs_type<GatherAttrs>,
    .infer =
        [](Inference& in) {
          auto arrays = in.inputs();
          check_updates(
              in.name(), arrays[0], arrays[1],
              gathered_shape(in.name(), in.shape(), arrays.subspan(2), in.attrs<GatherAttrs>()));
          in.result(in.shape(), in.dtype());
        },
    .derive = Vjp(vjp_scatter, jvp_scatter),
    .batch = batch_scatter,
};

constinit const Op take_along_axis_op{
    .name = "take_along_axis",
    .attrs = &attrs_type<AlongAttrs>,
    .infer =
        [](Inference& in) {
          check_along(in.name(), in.inputs()[0], in.inputs()[1], in.attrs<AlongAttrs>().axis);
          in.result(in.shape(1), in.dtype());
        },
    .derive = Linear(1,
                     [](const Call& c, int, const Array& cotangent) {
                       const int64_t axis = c.attrs<AlongAttrs>().axis;
                       if (c.in(1).shape()[static_cast<size_t>(axis)] == 1)
                         return place_single(c, cotangent);
                       return put_along_axis(zeros(c.in().shape(), cotangent.dtype()), c.in(1),
                                             cotangent, axis, UpdateMode::add);
                     }),
    .batch =
        [](const BatchedCall& c, std::span<Array> out) {
          int64_t axis = rules::batched_axis(c.op.name, c.attrs<AlongAttrs>().axis, c.rank());
          out[0] = take_along_axis(c.with_axis(0), c.with_axis(1), axis);
        },
};

constinit const Op put_along_axis_op{
    .name = "put_along_axis",
    .attrs = &attrs_type<AlongAttrs>,
    .infer =
        [](Inference& in) {
          auto arrays = in.inputs();
          check_along(in.name(), arrays[0], arrays[2], in.attrs<AlongAttrs>().axis);
          check_updates(in.name(), arrays[0], arrays[1], arrays[2].shape());
          in.result(in.shape(), in.dtype());
        },
    .derive = Vjp(vjp_scatter, jvp_scatter),
    .batch =
        [](const BatchedCall& c, std::span<Array> out) {
          auto& attrs = c.attrs<AlongAttrs>();
          int64_t axis = rules::batched_axis(c.op.name, attrs.axis, c.rank());
          out[0] = put_along_axis(c.with_axis(0), c.with_axis(2), c.with_axis(1), axis, attrs.mode);
        },
};

Array gather(const Array& a, std::span<const Array> indices, const Dims& axes, int64_t at) {
  std::vector<Array> in = broadcast_arrays(indices);
  in.insert(in.begin(), a);
  GatherAttrs attrs{rules::normalize_axes("gather", axes, a.ndim()), at, UpdateMode::set};
  return bind(gather_op, in, &attrs);
}

Array scatter(const Array& a, std::span<const Array> indices, const Dims& axes, int64_t at,
              const Array& updates, UpdateMode mode) {
  if (tracing_shapeless()) {
    std::vector<Array> in{a, updates};
    in.insert(in.end(), indices.begin(), indices.end());
    return composed("scatter", in, [axes, at, mode](Inputs in) {
      return scatter(in[0], in.subspan(2), axes, at, in[1], mode);
    });
  }
  // A sum of many small halves stops growing when it is rounded at each step.
  if (accumulates_rounded(a.dtype(), mode))
    return astype(scatter(astype(a, Dtype::float32), indices, axes, at, updates, mode), a.dtype());
  std::vector<Array> in = broadcast_arrays(indices);
  GatherAttrs attrs{rules::normalize_axes("scatter", axes, a.ndim()), at, mode};
  Shape shape = gathered_shape("scatter", a.shape(), in, attrs);
  in.insert(in.begin(), {a, broadcast_to(astype(updates, a.dtype()), shape)});
  return bind(scatter_op, in, &attrs);
}

namespace {

/// `x` with its axes other than `axis` broadcast to those of `like`.
Array broadcast_beside(const char* op, const Array& x, const Array& like, int64_t axis) {
  if (x.ndim() != like.ndim())
    throw ValueError(cat(op, ": indices and array must have the same number of dimensions, found ",
                         x.shape(), " and ", like.shape()));
  Shape others = like.shape(), own = x.shape();
  others[axis] = own[axis] = 1;
  Shape to = broadcast_shapes(op, own, others);
  to[axis] = x.shape()[axis];
  return broadcast_to(x, to);
}

}  // namespace

Array take_along_axis(const Array& a, const Array& indices, std::optional<int64_t> axis) {
  if (tracing_shapeless())
    return composed("take_along_axis", {a, indices},
                    [axis](Inputs in) { return take_along_axis(in[0], in[1], axis); });
  if (!axis) return take_along_axis(flatten(a), flatten(indices), 0);
  const char* op = "take_along_axis";
  int64_t n = normalize_axis(op, *axis, a.ndim());
  Array all = broadcast_beside(op, a, indices, n);
  return bind(take_along_axis_op, {all, broadcast_beside(op, indices, all, n)},
              AlongAttrs{n, UpdateMode::set});
}

Array put_along_axis(const Array& a, const Array& indices, const Array& values,
                     std::optional<int64_t> axis, UpdateMode mode) {
  if (tracing_shapeless())
    return composed("put_along_axis", {a, indices, values}, [axis, mode](Inputs in) {
      return put_along_axis(in[0], in[1], in[2], axis, mode);
    });
  if (!axis)
    return reshape(put_along_axis(flatten(a), flatten(indices),
                                  flatten(broadcast_to(values, indices.shape())), 0, mode),
                   a.shape());
  if (accumulates_rounded(a.dtype(), mode))
    return astype(put_along_axis(astype(a, Dtype::float32), indices, values, axis, mode),
                  a.dtype());
  const char* op = "put_along_axis";
  int64_t n = normalize_axis(op, *axis, a.ndim());
  Array at = broadcast_beside(op, indices, a, n);
  return bind(put_along_axis_op, {a, broadcast_to(astype(values, a.dtype()), at.shape()), at},
              AlongAttrs{n, mode});
}

void register_gather(Registry& registry) {
  for (const Op* op : {&gather_op, &scatter_op, &take_along_axis_op, &put_along_axis_op})
    registry.add(*op);
}

}  // namespace legato
