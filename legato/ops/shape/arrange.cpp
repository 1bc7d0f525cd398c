#include "legato/ops/shape/arrange.h"

#include "legato/op/composed.h"
#include "legato/op/registry.h"
#include "legato/op/rules.h"
#include "legato/ops/concat/concat.h"
#include "legato/ops/create/create.h"
#include "legato/ops/index/slice.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/shape/shape.h"

namespace legato {
namespace {

// --- tril, triu ----------------------------------------------------------------------------------

struct BandAttrs {
  int64_t k;
  bool lower;
  static constexpr auto fields() {
    return std::tuple(field("k", &BandAttrs::k), field("lower", &BandAttrs::lower));
  }
};

Array keep_band(const Array& x, const BandAttrs& attrs);

constinit const Op band_op{
    .name = "band",
    .attrs = &attrs_type<BandAttrs>,
    .infer =
        [](Inference& in) {
          if (in.shape().size() < 2)
            throw ValueError(cat(in.attrs<BandAttrs>().lower ? "tril" : "triu",
                                 ": needs at least two dimensions, found ", in.shape()));
          in.result(in.shape(), in.dtype());
        },
    .expand =
        [](const Call& c, std::span<Array> out) {
          auto& a = c.attrs<BandAttrs>();
          const Array& x = c.in();
          Array rows = expand_dims(arange(x.shape(-2)), {1}), columns = arange(x.shape(-1));
          Array distance = subtract(columns, rows);
          Array keep = a.lower ? less_equal(distance, a.k) : greater_equal(distance, a.k);
          out[0] = where(keep, x, literal(Scalar(0), x.dtype()));
        },
    .derive = Linear(1,
                     [](const Call& c, int, const Array& cotangent) {
                       return keep_band(cotangent, c.attrs<BandAttrs>());
                     }),
    .batch = rules::batch_unchanged,
};

Array keep_band(const Array& x, const BandAttrs& attrs) { return bind(band_op, {x}, attrs); }

// --- diag of a vector ----------------------------------------------------------------------------

struct DiagAttrs {
  int64_t k;
  static constexpr auto fields() { return std::tuple(field("k", &DiagAttrs::k)); }
};

int64_t side_of_diag(const Shape& vectors, int64_t k) {
  int64_t side = 0, wide = 0, count = 0;
  if (k == INT64_MIN || __builtin_add_overflow(vectors.back(), k < 0 ? -k : k, &side) ||
      __builtin_add_overflow(side, 1, &wide) || __builtin_mul_overflow(side, wide, &count))
    throw ValueError(cat("diag: a diagonal of ", vectors.back(), " elements at k = ", k,
                         " needs a matrix with more elements than a 63-bit count can hold"));
  return side;
}

// The last axis becomes a square matrix; leading axes are batched.
constinit const Op diag_op{
    .name = "diag",
    .attrs = &attrs_type<DiagAttrs>,
    .infer =
        [](Inference& in) {
          Shape out = in.shape();
          int64_t side = side_of_diag(out, in.attrs<DiagAttrs>().k);
          out.back() = side;
          out.push_back(side);
          in.result(out, in.dtype());
        },
    .expand =
        [](const Call& c, std::span<Array> out) {
          // In a flattened matrix the diagonal is every (side + 1)-th element.
          const Array& v = c.in();
          int64_t k = c.attrs<DiagAttrs>().k;
          int64_t side = side_of_diag(v.shape(), k);
          int64_t start = k >= 0 ? k : -k * side;
          Shape flat = v.shape(), matrix = v.shape();
          flat.back() = side * side;
          matrix.back() = side;
          matrix.push_back(side);
          SliceAttrs where = full_slice(v.ndim());
          where.start.back() = start;
          where.stop.back() = v.shape(-1) ? start + (v.shape(-1) - 1) * (side + 1) + 1 : start;
          where.step.back() = side + 1;
          out[0] = reshape(slice_update(zeros(flat, v.dtype()), v, where), matrix);
        },
    .derive = Linear(1,
                     [](const Call& c, int, const Array& cotangent) {
                       return diagonal(cotangent, c.attrs<DiagAttrs>().k, -2, -1);
                     }),
    .batch = rules::batch_unchanged,
};

// --- roll ----------------------------------------------------------------------------------------

struct RollAttrs {
  Dims shift, axes;  // as long as each other; axes counted from the front
  static constexpr auto fields() {
    return std::tuple(field("shift", &RollAttrs::shift), field("axes", &RollAttrs::axes));
  }
};

Array roll_axes(const Array& a, const Dims& shift, const Dims& axes);

constinit const Op roll_op{
    .name = "roll",
    .attrs = &attrs_type<RollAttrs>,
    .infer = [](Inference& in) { in.result(in.shape(), in.dtype()); },
    .expand =
        [](const Call& c, std::span<Array> out) {
          auto& attrs = c.attrs<RollAttrs>();
          Array a = c.in();
          for (size_t i = 0; i < attrs.axes.size(); ++i) {
            size_t axis = attrs.axes[i];
            int64_t n = a.shape()[axis];
            int64_t by = n ? attrs.shift[i] % n : 0;
            if (by == 0) continue;
            SliceAttrs head = full_slice(a.ndim()), tail = full_slice(a.ndim());
            head.stop[axis] = tail.start[axis] = by > 0 ? n - by : -by;
            const Array parts[2] = {slice(a, tail), slice(a, head)};
            a = concatenate(parts, static_cast<int64_t>(axis));
          }
          out[0] = a;
        },
    .derive = Linear(1,
                     [](const Call& c, int, const Array& cotangent) {
                       auto& attrs = c.attrs<RollAttrs>();
                       Dims back = attrs.shift;
                       for (int64_t& s : back) s = s == INT64_MIN ? s : -s;
                       return roll_axes(cotangent, back, attrs.axes);
                     }),
    .batch =
        [](const BatchedCall& c, std::span<Array> out) {
          auto attrs = c.attrs<RollAttrs>();
          for (int64_t& axis : attrs.axes) ++axis;
          out[0] = bind(roll_op, {c.in[0]}, attrs);
        },
};

Array roll_axes(const Array& a, const Dims& shift, const Dims& axes) {
  return bind(roll_op, {a}, RollAttrs{shift, axes});
}

}  // namespace

Array tril(const Array& x, int64_t k) { return keep_band(x, {k, true}); }
Array triu(const Array& x, int64_t k) { return keep_band(x, {k, false}); }

Array diag(const Array& a, int64_t k) {
  if (a.ndim() == 2) return diagonal(a, k);
  if (a.ndim() != 1)
    throw ValueError(
        cat("diag: needs one dimension (to make a matrix) or two (to read its "
            "diagonal), found ",
            a.shape()));
  return bind(diag_op, {a}, DiagAttrs{k});
}

Array roll(const Array& a, const Dims& shift, const Axes& axis) {
  if (!axis) {
    if (tracing_shapeless())
      return composed("roll", {a}, [shift](Inputs in) { return roll(in[0], shift, {}); });
    // INT64_MIN modulo anything is well-defined in roll, but sums may wrap: reduce them first.
    int64_t n = std::max<int64_t>(a.size(), 1), total = 0;
    for (int64_t s : shift) total = (total + s % n) % n;
    return reshape(roll_axes(flatten(a), {total}, {0}), a.shape());
  }
  Dims axes, shifts;
  size_t n = std::max(axis->size(), shift.size());
  if ((axis->size() != n && axis->size() != 1) || (shift.size() != n && shift.size() != 1))
    throw ValueError(cat("roll: shift ", shift, " and axis ", *axis,
                         " must have the same length, or one of them a single entry"));
  for (size_t i = 0; i < n; ++i) {
    axes.push_back(normalize_axis("roll", (*axis)[axis->size() == 1 ? 0 : i], a.ndim()));
    shifts.push_back(shift[shift.size() == 1 ? 0 : i]);
  }
  return roll_axes(a, shifts, axes);
}

Array flip(const Array& a, const Axes& axis) {
  SliceAttrs attrs = full_slice(a.ndim());
  if (axis) {
    for (int64_t i : rules::normalize_axes("flip", *axis, a.ndim())) attrs.step[i] = -1;
  } else {
    for (int64_t& step : attrs.step) step = -1;
  }
  return slice(a, attrs);
}

std::vector<Array> meshgrid(std::span<const Array> arrays, bool sparse,
                            const std::string& indexing) {
  if (indexing != "xy" && indexing != "ij")
    throw ValueError(cat("meshgrid: indexing must be 'xy' or 'ij', found '", indexing, "'"));
  if (tracing_shapeless())
    return composed("meshgrid", arrays,
                    [sparse, indexing](Inputs in) { return meshgrid(in, sparse, indexing); });
  size_t n = arrays.size();
  bool exchange = indexing == "xy" && n > 1;
  std::vector<Array> out;
  Shape full;
  for (size_t i = 0; i < n; ++i) {
    if (arrays[i].ndim() > 1)
      throw ValueError(cat("meshgrid: array ", i, " has shape ", arrays[i].shape(),
                           ", but grids are made of 1-d arrays"));
    Shape own = Dims::filled(n, 1);
    own[exchange && i < 2 ? 1 - i : i] = arrays[i].size();
    full = broadcast_shapes("meshgrid", full, own);
    out.push_back(reshape(arrays[i], own));
  }
  if (!sparse)
    for (Array& grid : out) grid = broadcast_to(grid, full);
  return out;
}

void register_arrange(Registry& registry) {
  for (const Op* op : {&band_op, &diag_op, &roll_op}) registry.add(*op);
}

}  // namespace legato
