// Records of the ops whose result is a layout over their input: reshape and its kin, transpose,
// broadcast, as_strided, view, contiguous, diagonal; and copy.
#include "legato/ops/shape/shape.h"

#include <algorithm>

#include "legato/op/algebra.h"
#include "legato/op/composed.h"
#include "legato/op/registry.h"
#include "legato/op/rules.h"
#include "legato/ops/create/create.h"
#include "legato/ops/index/index.h"
#include "legato/ops/shape/arrange.h"

namespace legato {
namespace {

using rules::prepend;
using rules::unbatched_shape;

// --- reshape and its kin: the same elements in row-major order -----------------------------------

struct ReshapeAttrs {
  Dims shape;
  static constexpr auto fields() { return std::tuple(field("shape", &ReshapeAttrs::shape)); }
};
struct FlattenAttrs {
  int64_t start_axis, end_axis;
  static constexpr auto fields() {
    return std::tuple(field("start_axis", &FlattenAttrs::start_axis),
                      field("end_axis", &FlattenAttrs::end_axis));
  }
};
struct UnflattenAttrs {
  int64_t axis;
  Dims shape;
  static constexpr auto fields() {
    return std::tuple(field("axis", &UnflattenAttrs::axis), field("shape", &UnflattenAttrs::shape));
  }
};
struct AxesAttrs {
  Axes axes;
  static constexpr auto fields() { return std::tuple(field("axes", &AxesAttrs::axes)); }
};

/// `shape` with its -1 replaced, so that it holds `n` elements.
Shape fill_in_size(const char* op, const Dims& shape, int64_t n, const Shape& found) {
  Shape out = shape;
  int64_t unknown = -1;
  Shape known;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == -1) {
      if (unknown >= 0)
        throw ValueError(cat(op, ": shape ", shape,
                             " has more than one -1; only one size can be "
                             "computed"));
      unknown = static_cast<int64_t>(i);
    } else if (shape[i] < 0) {
      throw ValueError(
          cat(op, ": shape ", shape, " has a negative size; only -1 is allowed, once"));
    } else {
      known.push_back(shape[i]);
    }
  }
  int64_t count = element_count(known);
  if (unknown >= 0 && count > 0 && n % count == 0) {
    out[static_cast<size_t>(unknown)] = n / count;
    return out;
  }
  if (unknown >= 0 || count != n)
    throw ValueError(cat(op, ": ", found, " holds ", n, n == 1 ? " element" : " elements",
                         ", which do not fill ", shape));
  return out;
}

Shape reshape_shape(const char* op, const Shape& in, const void* attrs) {
  return fill_in_size(op, static_cast<const ReshapeAttrs*>(attrs)->shape, element_count(in), in);
}

Shape flatten_shape(const char* op, const Shape& in, const void* raw) {
  auto& attrs = *static_cast<const FlattenAttrs*>(raw);
  size_t rank = std::max<size_t>(in.size(), 1);  // a 0-d array counts as one of shape (1,)
  int start = normalize_axis(op, attrs.start_axis, rank);
  int end = normalize_axis(op, attrs.end_axis, rank);
  if (in.empty()) return {1};
  if (start > end)
    throw ValueError(cat(op, ": start_axis ", attrs.start_axis, " lies behind end_axis ",
                         attrs.end_axis, " in an array with ", rank, " dimensions"));
  Shape out, merged;
  for (int i = 0; i < static_cast<int>(rank); ++i) {
    if (i < start || i > end) {
      out.push_back(in[i]);
    } else {
      merged.push_back(in[i]);
      if (i == end) out.push_back(element_count(merged));
    }
  }
  return out;
}

Shape unflatten_shape(const char* op, const Shape& in, const void* raw) {
  auto& attrs = *static_cast<const UnflattenAttrs*>(raw);
  size_t axis = normalize_axis(op, attrs.axis, in.size());
  if (attrs.shape.empty())
    throw ValueError(cat(op, ": shape must have at least one size, found ()"));
  Shape parts = fill_in_size(op, attrs.shape, in[axis], Shape{in[axis]});
  Shape out;
  for (size_t i = 0; i < in.size(); ++i) {
    if (i == axis) {
      for (int64_t s : parts) out.push_back(s);
    } else {
      out.push_back(in[i]);
    }
  }
  return out;
}

Shape expand_dims_shape(const char* op, const Shape& in, const void* raw) {
  const Dims& axes = *static_cast<const AxesAttrs*>(raw)->axes;
  size_t rank = in.size() + axes.size();
  Dims ones = Dims::filled(rank, 0);
  for (int64_t axis : rules::normalize_axes(op, axes, rank)) ones[axis] = 1;
  Shape out;
  for (size_t i = 0, from = 0; i < rank; ++i) out.push_back(ones[i] ? 1 : in[from++]);
  return out;
}

Shape squeeze_shape(const char* op, const Shape& in, const void* raw) {
  const Axes& axes = static_cast<const AxesAttrs*>(raw)->axes;
  Dims drop = Dims::filled(in.size(), 0);
  if (axes) {
    for (int64_t axis : rules::normalize_axes(op, *axes, in.size())) {
      if (in[axis] != 1)
        throw ValueError(cat(op, ": axis ", axis, " of ", in, " has size ", in[axis],
                             ", only axes of size 1 can be dropped"));
      drop[axis] = 1;
    }
  } else {
    for (size_t i = 0; i < in.size(); ++i) drop[i] = in[i] == 1;
  }
  Shape out;
  for (size_t i = 0; i < in.size(); ++i)
    if (!drop[i]) out.push_back(in[i]);
  return out;
}

bool view_reshape(const void*, const Shape& in_shape, const Layout& in, const Shape& out_shape, int,
                  Layout& out) {
  return reshape_layout(in_shape, in, out_shape, out);
}

Array transpose_reshape(const Call& c, int, const Array& cotangent) {
  return reshape(cotangent, c.in().shape());
}

using ShapeRule = Shape (*)(const char* op, const Shape& in, const void* attrs);

template <ShapeRule shape>
constexpr Op reshaping(const char* name, const AttrsType* attrs) {
  return {
      .name = name,
      .attrs = attrs,
      .infer =
          [](Inference& in) {
            in.result(shape(in.name(), in.shape(), &in.attrs<char>()), in.dtype());
          },
      .view = view_reshape,
      .derive = Linear(1, transpose_reshape),
      .batch =
          [](const BatchedCall& c, std::span<Array> out) {
            out[0] = reshape(c.in[0],
                             prepend(c.size, shape(c.op.name, unbatched_shape(c), c.raw_attrs)));
          },
  };
}

constinit const Op reshape_op = reshaping<reshape_shape>("reshape", &attrs_type<ReshapeAttrs>);
constinit const Op flatten_op = reshaping<flatten_shape>("flatten", &attrs_type<FlattenAttrs>);
constinit const Op unflatten_op =
    reshaping<unflatten_shape>("unflatten", &attrs_type<UnflattenAttrs>);
constinit const Op expand_dims_op =
    reshaping<expand_dims_shape>("expand_dims", &attrs_type<AxesAttrs>);
constinit const Op squeeze_op = reshaping<squeeze_shape>("squeeze", &attrs_type<AxesAttrs>);

// --- transpose -----------------------------------------------------------------------------------

/// The permutation: explicit, every axis once, counted from the front.
Dims permutation(const char* op, const Axes& axes, size_t rank) {
  Dims p;
  if (!axes) {
    for (size_t i = rank; i-- > 0;) p.push_back(static_cast<int64_t>(i));
    return p;
  }
  if (axes->size() != rank)
    throw ValueError(cat(op, ": axes ", *axes,
                         " must name each axis of the array once, and it has ", rank,
                         rank == 1 ? " dimension" : " dimensions"));
  return rules::normalize_axes(op, *axes, rank);
}

constinit const Op transpose_op{
    .name = "transpose",
    .attrs = &attrs_type<AxesAttrs>,
    .infer =
        [](Inference& in) {
          const Shape& s = in.shape();
          Shape out;
          for (int64_t axis : permutation(in.name(), in.attrs<AxesAttrs>().axes, s.size()))
            out.push_back(s[axis]);
          in.result(out, in.dtype());
        },
    .view =
        [](const void* attrs, const Shape& in_shape, const Layout& in, const Shape&, int,
           Layout& out) {
          out.offset = in.offset;
          out.strides.clear();
          for (int64_t axis : permutation("transpose", static_cast<const AxesAttrs*>(attrs)->axes,
                                          in_shape.size()))
            out.strides.push_back(in.strides[axis]);
          return true;
        },
    .derive = Linear(1,
                     [](const Call& c, int, const Array& cotangent) {
                       Dims p = permutation("transpose", c.attrs<AxesAttrs>().axes, c.in().ndim());
                       Dims back = Dims::filled(p.size(), 0);
                       for (size_t i = 0; i < p.size(); ++i) back[p[i]] = static_cast<int64_t>(i);
                       return transpose(cotangent, back);
                     }),
    .batch =
        [](const BatchedCall& c, std::span<Array> out) {
          Dims p = permutation("transpose", c.attrs<AxesAttrs>().axes, c.rank());
          for (int64_t& axis : p) ++axis;
          out[0] = transpose(c.in[0], prepend(0, p));
        },
};

// --- broadcast_to --------------------------------------------------------------------------------

constinit const Op broadcast_to_op{
    .name = "broadcast_to",
    .attrs = &attrs_type<ReshapeAttrs>,
    .infer =
        [](Inference& in) {
          const Shape &from = in.shape(), &to = in.attrs<ReshapeAttrs>().shape;
          bool fits = to.size() >= from.size();
          for (int64_t s : to)
            if (s < 0) throw ValueError(cat(in.name(), ": shape ", to, " has a negative size"));
          for (size_t i = 0; fits && i < from.size(); ++i) {
            int64_t size = to[to.size() - from.size() + i];
            fits = from[i] == size || from[i] == 1;
          }
          if (!fits)
            throw ValueError(cat(in.name(), ": ", from, " does not broadcast to ", to,
                                 "; each size must be equal or 1, counted from the last axis"));
          in.result(to, in.dtype());
        },
    .view =
        [](const void*, const Shape& in_shape, const Layout& in, const Shape& out_shape, int,
           Layout& out) {
          out.offset = in.offset;
          out.strides = broadcast_strides(in_shape, in.strides, out_shape);
          return true;
        },
    .derive = Linear(1,
                     [](const Call& c, int, const Array& cotangent) {
                       return algebra::sum_to_shape(cotangent, c.in().shape());
                     }),
    .batch =
        [](const BatchedCall& c, std::span<Array> out) {
          const Dims& to = c.attrs<ReshapeAttrs>().shape;
          Shape aligned = prepend(c.size, Dims::filled(to.size() - c.rank(), 1));
          for (int64_t s : unbatched_shape(c)) aligned.push_back(s);
          out[0] = broadcast_to(reshape(c.in[0], aligned), prepend(c.size, to));
        },
};

// --- as_strided ----------------------------------------------------------------------------------

struct AsStridedAttrs {
  Dims shape, strides;
  int64_t offset;
  static constexpr auto fields() {
    return std::tuple(field("shape", &AsStridedAttrs::shape),
                      field("strides", &AsStridedAttrs::strides),
                      field("offset", &AsStridedAttrs::offset));
  }
};

void infer_as_strided(Inference& in) {
  auto& a = in.attrs<AsStridedAttrs>();
  int64_t size = in.inputs()[0].size();
  if (a.shape.size() != a.strides.size())
    throw ValueError(cat(in.name(), ": shape ", a.shape, " and strides ", a.strides,
                         " must have the same length"));
  bool empty = false, overflow = false;
  int64_t low = a.offset, high = a.offset;  // first and last element touched
  for (size_t i = 0; i < a.shape.size(); ++i) {
    if (a.shape[i] < 0)
      throw ValueError(cat(in.name(), ": shape ", a.shape, " has a negative size"));
    if (a.shape[i] == 0) {
      empty = true;
      continue;
    }
    int64_t reach = 0;
    overflow |= __builtin_mul_overflow(a.shape[i] - 1, a.strides[i], &reach);
    int64_t& end = reach < 0 ? low : high;
    overflow |= __builtin_add_overflow(end, reach, &end);
  }
  if (!empty && (overflow || low < 0 || high >= size))
    throw ValueError(cat(in.name(), ": shape ", a.shape, " with strides ", a.strides,
                         " and offset ", a.offset, " reaches beyond the ", size,
                         size == 1 ? " element" : " elements", " of ", in.shape()));
  in.result(a.shape, in.dtype());
}

constinit const Op as_strided_op{
    .name = "as_strided",
    .attrs = &attrs_type<AsStridedAttrs>,
    .infer = infer_as_strided,
    .view =
        [](const void* raw, const Shape& in_shape, const Layout& in, const Shape&, int,
           Layout& out) {
          if (!is_row_major(in_shape, in.strides)) return false;
          auto& attrs = *static_cast<const AsStridedAttrs*>(raw);
          out = {attrs.strides, element_count(attrs.shape) ? in.offset + attrs.offset : in.offset};
          return true;
        },
    // Elements that appear several times add up: a scatter to where the window was read.
    .derive = Linear(1,
                     [](const Call& c, int, const Array& cotangent) {
                       auto& a = c.attrs<AsStridedAttrs>();
                       const Array& in = c.in();
                       Array where = as_strided(arange(in.size()), a.shape, a.strides, a.offset);
                       IndexItem item(flatten(where));
                       Array flat = index_update(zeros({in.size()}, cotangent.dtype()), {&item, 1},
                                                 flatten(cotangent), UpdateMode::add);
                       return reshape(flat, in.shape());
                     }),
    .batch =
        [](const BatchedCall& c, std::span<Array> out) {
          auto& a = c.attrs<AsStridedAttrs>();
          int64_t each = element_count(unbatched_shape(c));
          out[0] =
              as_strided(c.in[0], prepend(c.size, a.shape), prepend(each, a.strides), a.offset);
        },
};

// --- view of another dtype -----------------------------------------------------------------------

struct DtypeAttrs {
  Dtype dtype;
  static constexpr auto fields() { return std::tuple(field("dtype", &DtypeAttrs::dtype)); }
};

void infer_view(Inference& in) {
  Dtype to = in.attrs<DtypeAttrs>().dtype;
  int64_t have = size_of(in.dtype()), want = size_of(to);
  Shape s = in.shape();
  if (have != want) {
    if (s.empty())
      throw ValueError(cat(in.name(), ": a 0-d array of ", in.dtype(), " has ", have,
                           " bytes, an element of ", to, " has ", want));
    int64_t bytes = s.back() * have;
    if (bytes % want != 0)
      throw ValueError(cat(in.name(), ": the last axis of ", s, " holds ", bytes, " bytes of ",
                           in.dtype(), ", not a multiple of the ", want, " bytes of ", to));
    s.back() = bytes / want;
  }
  in.result(s, to);
}

bool view_view(const void*, const Shape& in_shape, const Layout& in, const Shape& out_shape, int,
               Layout& out) {
  out = in;
  if (in_shape == out_shape) return true;  // same element size, or nothing to see
  int64_t have = in_shape.back(), want = out_shape.back();
  if (have > 1 && in.strides.back() != 1) return false;
  // An old element is `split` new ones, or `merge` old ones are one new element.
  int64_t split = have > 0 ? want / have : 1, merge = want > 0 ? have / want : 1;
  auto convert = [&](int64_t& v) {
    if (want > have) {
      v *= split;
      return true;
    }
    bool whole = v % merge == 0;
    v /= merge;
    return whole;
  };
  for (size_t i = 0; i + 1 < in_shape.size(); ++i)
    if (!convert(out.strides[i])) return false;
  out.strides.back() = 1;
  return convert(out.offset);
}

constinit const Op view_op{
    .name = "view",
    .attrs = &attrs_type<DtypeAttrs>,
    .infer = infer_view,
    .view = view_view,
    .derive = ZeroDerivative(),  // bits read as another type are no differentiable function
    .batch = rules::batch_unchanged,
};

// --- contiguous, copy ----------------------------------------------------------------------------

struct ContiguousAttrs {
  bool allow_col_major;
  static constexpr auto fields() {
    return std::tuple(field("allow_col_major", &ContiguousAttrs::allow_col_major));
  }
};

bool is_col_major(const Shape& shape, const Strides& strides) {
  int64_t step = 1;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] != 1 && strides[i] != step) return false;
    step *= shape[i];
  }
  return true;
}

void infer_same(Inference& in) { in.result(in.shape(), in.dtype()); }
Array transpose_same(const Call&, int, const Array& cotangent) { return cotangent; }

constinit const Op contiguous_op{
    .name = "contiguous",
    .attrs = &attrs_type<ContiguousAttrs>,
    .infer = infer_same,
    .view =
        [](const void* attrs, const Shape& in_shape, const Layout& in, const Shape&, int,
           Layout& out) {
          out = in;
          return is_row_major(in_shape, in.strides) ||
                 (static_cast<const ContiguousAttrs*>(attrs)->allow_col_major &&
                  is_col_major(in_shape, in.strides));
        },
    .derive = Linear(1, transpose_same),
    .batch = rules::batch_unchanged,
};

// --- diagonal ------------------------------------------------------------------------------------

struct DiagonalAttrs {
  int64_t offset, axis1, axis2;
  static constexpr auto fields() {
    return std::tuple(field("offset", &DiagonalAttrs::offset),
                      field("axis1", &DiagonalAttrs::axis1), field("axis2", &DiagonalAttrs::axis2));
  }
};

struct Diagonal {
  int64_t axis1, axis2, row, column, size;  // starts at (row, column)
};

Diagonal find_diagonal(const Shape& in, const DiagonalAttrs& a) {
  Diagonal d;
  d.axis1 = normalize_axis("diagonal", a.axis1, in.size());
  d.axis2 = normalize_axis("diagonal", a.axis2, in.size());
  if (d.axis1 == d.axis2)
    throw ValueError(
        cat("diagonal: axis1 and axis2 are both axis ", d.axis1, "; a diagonal needs two axes"));
  int64_t rows = in[d.axis1], columns = in[d.axis2];
  d.row = a.offset < 0 ? std::min(rows, -std::max(a.offset, -rows)) : 0;
  d.column = a.offset > 0 ? std::min(columns, a.offset) : 0;
  d.size = std::min(rows - d.row, columns - d.column);
  return d;
}

constinit const Op diagonal_op{
    .name = "diagonal",
    .attrs = &attrs_type<DiagonalAttrs>,
    .infer =
        [](Inference& in) {
          const Shape& s = in.shape();
          if (s.size() < 2)
            throw ValueError(cat(in.name(), ": needs at least two dimensions, found ", s));
          Diagonal d = find_diagonal(s, in.attrs<DiagonalAttrs>());
          Shape out;
          for (int64_t i = 0; i < static_cast<int64_t>(s.size()); ++i)
            if (i != d.axis1 && i != d.axis2) out.push_back(s[i]);
          out.push_back(d.size);
          in.result(out, in.dtype());
        },
    .view =
        [](const void* attrs, const Shape& in_shape, const Layout& in, const Shape&, int,
           Layout& out) {
          Diagonal d = find_diagonal(in_shape, *static_cast<const DiagonalAttrs*>(attrs));
          out.strides.clear();
          for (int64_t i = 0; i < static_cast<int64_t>(in_shape.size()); ++i)
            if (i != d.axis1 && i != d.axis2) out.strides.push_back(in.strides[i]);
          int64_t row = in.strides[d.axis1], column = in.strides[d.axis2];
          out.strides.push_back(row + column);
          out.offset = in.offset + (d.size ? d.row * row + d.column * column : 0);
          return true;
        },
    .derive = Linear(1,
                     [](const Call& c, int, const Array& cotangent) {
                       const Array& in = c.in();
                       Diagonal d = find_diagonal(in.shape(), c.attrs<DiagonalAttrs>());
                       Array k = arange(d.size);
                       Array rows = arange(d.row, d.row + d.size),
                             columns = arange(d.column, d.column + d.size);
                       bool swap = d.axis1 > d.axis2;
                       const Array at[2] = {swap ? columns : rows, swap ? rows : columns};
                       Array moved = moveaxis(cotangent, {-1}, {0});
                       return scatter(zeros(in.shape(), cotangent.dtype()), at,
                                      {std::min(d.axis1, d.axis2), std::max(d.axis1, d.axis2)}, 0,
                                      moved, UpdateMode::set);
                     }),
    .batch =
        [](const BatchedCall& c, std::span<Array> out) {
          auto& a = c.attrs<DiagonalAttrs>();
          out[0] = diagonal(c.in[0], a.offset, rules::batched_axis("diagonal", a.axis1, c.rank()),
                            rules::batched_axis("diagonal", a.axis2, c.rank()));
        },
};

}  // namespace

constinit const Op copy_op{
    .name = "copy",
    .infer = infer_same,
    .derive = Linear(1, transpose_same),
    .batch = rules::batch_unchanged,
};

bool reshape_layout(const Shape& from, const Layout& in, const Shape& to, Layout& out) {
  out.offset = in.offset;
  out.strides = row_major_strides(to);
  if (std::find(from.begin(), from.end(), 0) != from.end()) return true;
  // Axes of `from` that lie in memory like one are merged into runs of (size, stride), last first;
  // the axes of `to` are cut from them, last first.
  Dims size, stride;
  for (size_t i = from.size(); i-- > 0;) {
    if (from[i] == 1) continue;
    if (!size.empty() && in.strides[i] == stride.back() * size.back()) {
      // `stride` holds the run's innermost stride; its extent grows.
      size.back() *= from[i];
    } else {
      size.push_back(from[i]);
      stride.push_back(in.strides[i]);
    }
  }
  size_t run = 0;
  int64_t left = size.empty() ? 1 : size[0], step = size.empty() ? 1 : stride[0];
  for (size_t i = to.size(); i-- > 0;) {
    if (to[i] == 1) continue;
    if (left == 1 && run + 1 < size.size()) {
      ++run;
      left = size[run];
      step = stride[run];
    }
    if (left % to[i] != 0) return false;
    out.strides[i] = step;
    step *= to[i];
    left /= to[i];
  }
  return true;
}

// --- the API -------------------------------------------------------------------------------------

Array reshape(const Array& a, const Shape& shape) {
  return a.shape() == shape && !tracing_shapeless() ? a
                                                    : bind(reshape_op, {a}, ReshapeAttrs{shape});
}

Array flatten(const Array& a, int64_t start_axis, int64_t end_axis) {
  return bind(flatten_op, {a}, FlattenAttrs{start_axis, end_axis});
}

Array unflatten(const Array& a, int64_t axis, const Shape& shape) {
  return bind(unflatten_op, {a}, UnflattenAttrs{axis, shape});
}

Array expand_dims(const Array& a, const Dims& axis) {
  return bind(expand_dims_op, {a}, AxesAttrs{axis});
}

Array squeeze(const Array& a, const Axes& axis) { return bind(squeeze_op, {a}, AxesAttrs{axis}); }

Array transpose(const Array& a, const Axes& axes) {
  return bind(transpose_op, {a}, AxesAttrs{axes});
}

Array swapaxes(const Array& a, int64_t axis1, int64_t axis2) {
  int from = normalize_axis("swapaxes", axis1, a.ndim());
  int to = normalize_axis("swapaxes", axis2, a.ndim());
  Dims p;
  for (size_t i = 0; i < a.ndim(); ++i) p.push_back(static_cast<int64_t>(i));
  std::swap(p[from], p[to]);
  return transpose(a, p);
}

Array moveaxis(const Array& a, const Dims& source, const Dims& destination) {
  if (source.size() != destination.size())
    throw ValueError(cat("moveaxis: source ", source, " and destination ", destination,
                         " must have the same length"));
  size_t rank = a.ndim();
  Dims from = rules::normalize_axes("moveaxis", source, rank);
  Dims to = rules::normalize_axes("moveaxis", destination, rank);
  Dims p = Dims::filled(rank, -1), moved = Dims::filled(rank, 0);
  for (size_t i = 0; i < from.size(); ++i) {
    p[to[i]] = from[i];
    moved[from[i]] = 1;
  }
  size_t next = 0;
  for (size_t i = 0; i < rank; ++i) {
    if (p[i] >= 0) continue;
    while (moved[next]) ++next;
    p[i] = static_cast<int64_t>(next++);
  }
  return transpose(a, p);
}

Array matrix_transpose(const Array& a) {
  if (a.ndim() < 2)
    throw ValueError(cat("matrix_transpose: needs at least two dimensions, found ", a.shape()));
  return swapaxes(a, -1, -2);
}

Array broadcast_to(const Operand& a, const Shape& shape) {
  Array from = a.is_array() ? a.array() : literal(a.scalar(), default_dtype(a.scalar()));
  return from.shape() == shape && !tracing_shapeless()
             ? from
             : bind(broadcast_to_op, {from}, ReshapeAttrs{shape});
}

std::vector<Array> broadcast_arrays(std::span<const Array> arrays) {
  if (tracing_shapeless())
    return composed("broadcast_arrays", arrays, [](Inputs in) { return broadcast_arrays(in); });
  Shape shape;
  for (const Array& a : arrays) shape = broadcast_shapes("broadcast_arrays", shape, a.shape());
  std::vector<Array> out;
  for (const Array& a : arrays) out.push_back(broadcast_to(a, shape));
  return out;
}

Array atleast_1d(const Array& a) { return a.ndim() >= 1 ? a : expand_dims(a, {0}); }

Array atleast_2d(const Array& a) {
  return a.ndim() >= 2 ? a : a.ndim() == 1 ? expand_dims(a, {0}) : expand_dims(a, {0, 1});
}

Array atleast_3d(const Array& a) {
  if (a.ndim() >= 3) return a;
  return a.ndim() == 2   ? expand_dims(a, {2})
         : a.ndim() == 1 ? expand_dims(a, {0, 2})
                         : expand_dims(a, {0, 1, 2});
}

Array as_strided(const Array& a, const Axes& shape, const Axes& strides, int64_t offset) {
  if (!shape && tracing_shapeless())
    return composed("as_strided", {a}, [strides, offset](Inputs in) {
      return as_strided(in[0], {}, strides, offset);
    });
  Shape to = shape ? *shape : a.shape();
  return bind(as_strided_op, {a},
              AsStridedAttrs{to, strides ? *strides : row_major_strides(to), offset});
}

Array view(const Operand& a, Dtype dtype) {
  Array from = a.is_array() ? a.array() : literal(a.scalar(), default_dtype(a.scalar()));
  return from.dtype() == dtype ? from : bind(view_op, {from}, DtypeAttrs{dtype});
}

Array contiguous(const Array& a, bool allow_col_major) {
  return bind(contiguous_op, {a}, ContiguousAttrs{allow_col_major});
}

Array copy(const Array& a) { return bind(copy_op, {a}); }

Array diagonal(const Array& a, int64_t offset, int64_t axis1, int64_t axis2) {
  return bind(diagonal_op, {a}, DiagonalAttrs{offset, axis1, axis2});
}

void register_shape_functions(Registry& registry);

void register_shape(Registry& registry) {
  for (const Op* op :
       {&reshape_op, &flatten_op, &unflatten_op, &expand_dims_op, &squeeze_op, &transpose_op,
        &broadcast_to_op, &as_strided_op, &view_op, &contiguous_op, &copy_op, &diagonal_op})
    registry.add(*op);
  register_arrange(registry);
  register_shape_functions(registry);
}

}  // namespace legato
