#include "legato/ops/concat/concat.h"

#include <algorithm>

#include "legato/op/registry.h"
#include "legato/op/rules.h"
#include "legato/ops/concat/records.h"
#include "legato/ops/create/create.h"
#include "legato/ops/index/index.h"
#include "legato/ops/index/slice.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/shape/shape.h"

namespace legato {
namespace {

Array part_of(const Array& a, int64_t axis, int64_t begin, int64_t end) {
  SliceAttrs attrs = full_slice(a.ndim());
  attrs.start[axis] = begin;
  attrs.stop[axis] = end;
  return slice(a, attrs);
}

// --- concatenate ---------------------------------------------------------------------------------

void infer_concatenate(Inference& in) {
  if (in.n_in() == 0) throw ValueError(cat(in.name(), ": needs at least one array"));
  int64_t axis = normalize_axis(in.name(), in.attrs<ConcatAttrs>().axis, in.shape().size());
  Shape out = in.shape();
  for (int i = 1; i < in.n_in(); ++i) {
    const Shape& s = in.shape(i);
    bool fits = s.size() == out.size() && in.dtype(i) == in.dtype();
    for (size_t d = 0; fits && d < s.size(); ++d)
      fits = static_cast<int64_t>(d) == axis || s[d] == out[d];
    if (!fits)
      throw ValueError(cat(in.name(), ": array ", i, " of shape ", s, " and dtype ", in.dtype(i),
                           " does not match the first, ", in.shape(), " of ", in.dtype(),
                           "; all axes but axis ", axis, " must have equal sizes"));
    if (__builtin_add_overflow(out[axis], s[axis], &out[axis]))
      throw ValueError(
          cat(in.name(), ": axis ", axis, " has more elements than 63 bits can count"));
  }
  in.result(out, in.dtype());
}

Array transpose_concatenate(const Call& c, int i, const Array& cotangent) {
  int64_t axis = c.attrs<ConcatAttrs>().axis, begin = 0;
  for (int k = 0; k < i; ++k) begin += c.in(k).shape()[axis];
  return part_of(cotangent, axis, begin, begin + c.in(i).shape()[axis]);
}

// --- split ---------------------------------------------------------------------------------------

struct SplitAttrs {
  int64_t sections;  // equal parts, or 0
  Dims at;           // places to cut
  int64_t axis;
  static constexpr auto fields() {
    return std::tuple(field("sections", &SplitAttrs::sections), field("at", &SplitAttrs::at),
                      field("axis", &SplitAttrs::axis));
  }
};

int count_parts(const SplitAttrs& a) {
  return static_cast<int>(a.sections ? a.sections : static_cast<int64_t>(a.at.size()) + 1);
}

/// Where part `i` of an axis of size n begins and ends; never end < begin.
std::pair<int64_t, int64_t> part_range(const SplitAttrs& a, int64_t n, int i) {
  if (a.sections) return {n / a.sections * i, n / a.sections * (i + 1)};
  auto clip = [n](int64_t v) { return std::clamp<int64_t>(v < 0 ? v + n : v, 0, n); };
  int64_t begin = i == 0 ? 0 : clip(a.at[i - 1]);
  int64_t end = i == count_parts(a) - 1 ? n : clip(a.at[i]);
  return {begin, std::max(begin, end)};
}

void vjp_split(const Call& c, std::span<const Array> cotangents, std::span<Array> result) {
  auto& attrs = c.attrs<SplitAttrs>();
  const Array& in = c.in();
  int64_t axis = normalize_axis("split", attrs.axis, in.ndim()), n = in.shape()[axis];
  std::vector<Array> parts;
  bool in_order = true;
  int64_t next = 0;
  Dtype dtype = in.dtype();
  for (const Array& ct : cotangents)
    if (ct) dtype = ct.dtype();
  for (int i = 0; i < count_parts(attrs); ++i) {
    auto [begin, end] = part_range(attrs, n, i);
    in_order &= begin == next;
    next = end;
    Shape s = in.shape();
    s[axis] = end - begin;
    parts.push_back(cotangents[i] ? cotangents[i] : zeros(s, dtype));
  }
  if (in_order && next == n) {
    result[0] = concatenate(parts, axis);
    return;
  }
  // Cuts out of order: parts overlap, and what lies in several adds up.
  Array total = zeros(in.shape(), dtype);
  for (int i = 0; i < count_parts(attrs); ++i) {
    auto [begin, end] = part_range(attrs, n, i);
    SliceAttrs where = full_slice(in.ndim());
    where.start[axis] = begin;
    where.stop[axis] = end;
    total = add(total, slice_update(zeros(in.shape(), dtype), parts[i], where));
  }
  result[0] = total;
}

constinit const Op split_op{
    .name = "split",
    .attrs = &attrs_type<SplitAttrs>,
    .count_outputs =
        [](std::span<const Array>, const void* attrs) {
          return count_parts(*static_cast<const SplitAttrs*>(attrs));
        },
    .infer =
        [](Inference& in) {
          auto& attrs = in.attrs<SplitAttrs>();
          const Shape& s = in.shape();
          int64_t axis = normalize_axis(in.name(), attrs.axis, s.size());
          if (attrs.sections && s[axis] % attrs.sections != 0)
            throw ValueError(cat(in.name(), ": axis ", axis, " of size ", s[axis],
                                 " does not divide into ", attrs.sections, " equal parts"));
          for (int i = 0; i < in.n_out(); ++i) {
            auto [begin, end] = part_range(attrs, s[axis], i);
            Shape out = s;
            out[axis] = end - begin;
            in.result(out, in.dtype(), i);
          }
        },
    .view =
        [](const void* raw, const Shape& in_shape, const Layout& in, const Shape&, int index,
           Layout& out) {
          auto& attrs = *static_cast<const SplitAttrs*>(raw);
          int64_t axis = normalize_axis("split", attrs.axis, in_shape.size());
          auto [begin, end] = part_range(attrs, in_shape[axis], index);
          out = in;
          if (end > begin) out.offset += begin * in.strides[axis];
          return true;
        },
    .derive = Vjp(vjp_split,
                  [](const Call& c, std::span<const Array> tangents, std::span<Array> result) {
                    auto parts = bind_all(c.op(), tangents, c.raw_attrs());
                    std::move(parts.begin(), parts.end(), result.begin());
                  }),
    .batch =
        [](const BatchedCall& c, std::span<Array> out) {
          SplitAttrs attrs = c.attrs<SplitAttrs>();
          attrs.axis = rules::batched_axis("split", attrs.axis, c.rank());
          auto parts = bind_all(c.op, c.in, &attrs);
          std::move(parts.begin(), parts.end(), out.begin());
        },
};

// --- tile, repeat --------------------------------------------------------------------------------

struct TileAttrs {
  Dims reps;
  static constexpr auto fields() { return std::tuple(field("reps", &TileAttrs::reps)); }
};

/// `d` with ones in front, up to `rank` entries.
Dims aligned(const Dims& d, size_t rank) {
  Dims out = Dims::filled(rank > d.size() ? rank - d.size() : 0, 1);
  for (int64_t v : d) out.push_back(v);
  return out;
}

/// `a` with each axis i repeated times[i]: as a whole (before), or each element (behind).
Array repeat_axes(const Array& a, const Dims& times, bool whole) {
  Shape split, wide, out;
  for (size_t i = 0; i < a.ndim(); ++i) {
    int64_t n = a.shape()[i], by = times[i];
    out.push_back(n * by);
    if (by != 1 && whole) {
      split.push_back(1);
      wide.push_back(by);
    }
    split.push_back(n);
    wide.push_back(n);
    if (by != 1 && !whole) {
      split.push_back(1);
      wide.push_back(by);
    }
  }
  return reshape(broadcast_to(reshape(a, split), wide), out);
}

void multiply_size(const char* op, int64_t& size, int64_t by) {
  if (by < 0) throw ValueError(cat(op, ": cannot repeat ", by, " times"));
  if (__builtin_mul_overflow(size, by, &size))
    throw ValueError(cat(op, ": repeating ", by,
                         " times gives more elements than 63 bits can "
                         "count"));
}

constinit const Op tile_op{
    .name = "tile",
    .attrs = &attrs_type<TileAttrs>,
    .infer =
        [](Inference& in) {
          const Dims& reps = in.attrs<TileAttrs>().reps;
          size_t rank = std::max(reps.size(), in.shape().size());
          Shape out = aligned(in.shape(), rank);
          Dims by = aligned(reps, rank);
          for (size_t i = 0; i < rank; ++i) multiply_size(in.name(), out[i], by[i]);
          in.result(out, in.dtype());
        },
    .expand =
        [](const Call& c, std::span<Array> out) {
          const Dims& reps = c.attrs<TileAttrs>().reps;
          size_t rank = std::max(reps.size(), c.in().ndim());
          out[0] = repeat_axes(reshape(c.in(), aligned(c.in().shape(), rank)), aligned(reps, rank),
                               true);
        },
    .derive = ThroughExpand(),
    .batch =
        [](const BatchedCall& c, std::span<Array> out) {
          const Dims& reps = c.attrs<TileAttrs>().reps;
          size_t rank = std::max(reps.size(), c.rank());
          Array a =
              reshape(c.in[0], rules::prepend(c.size, aligned(rules::unbatched_shape(c), rank)));
          out[0] = tile(a, rules::prepend(1, aligned(reps, rank)));
        },
};

struct RepeatAttrs {
  int64_t repeats, axis;
  static constexpr auto fields() {
    return std::tuple(field("repeats", &RepeatAttrs::repeats), field("axis", &RepeatAttrs::axis));
  }
};

constinit const Op repeat_op{
    .name = "repeat",
    .attrs = &attrs_type<RepeatAttrs>,
    .infer =
        [](Inference& in) {
          auto& attrs = in.attrs<RepeatAttrs>();
          Shape out = in.shape();
          multiply_size(in.name(), out[normalize_axis(in.name(), attrs.axis, out.size())],
                        attrs.repeats);
          in.result(out, in.dtype());
        },
    .expand =
        [](const Call& c, std::span<Array> out) {
          auto& attrs = c.attrs<RepeatAttrs>();
          Dims times = Dims::filled(c.in().ndim(), 1);
          times[normalize_axis("repeat", attrs.axis, c.in().ndim())] = attrs.repeats;
          out[0] = repeat_axes(c.in(), times, false);
        },
    .derive = ThroughExpand(),
    .batch =
        [](const BatchedCall& c, std::span<Array> out) {
          auto& attrs = c.attrs<RepeatAttrs>();
          out[0] =
              repeat(c.in[0], {attrs.repeats}, rules::batched_axis("repeat", attrs.axis, c.rank()));
        },
};

/// A 1-d array of the indices that `at(i)` gives for i in [0, n).
template <class F>
Array index_array(int64_t n, F at) {
  std::vector<int64_t> values(n);
  for (int64_t i = 0; i < n; ++i) values[i] = at(i);
  return Array::from<int64_t>(values, {n});
}

// --- pad -----------------------------------------------------------------------------------------

enum class PadMode : uint8_t { constant, edge, reflect, symmetric, wrap };
constexpr const char* kPadModes[] = {"constant", "edge", "reflect", "symmetric", "wrap"};

struct PadAttrs {
  Dims low, high;
  PadMode mode;
  static constexpr auto fields() {
    return std::tuple(field("low", &PadAttrs::low), field("high", &PadAttrs::high),
                      field("mode", &PadAttrs::mode));
  }
};

/// The element of an axis of size n that stands at place i, which may lie outside.
int64_t padded_source(PadMode mode, int64_t i, int64_t n) {
  if (mode == PadMode::edge) return std::clamp<int64_t>(i, 0, n - 1);
  int64_t period = mode == PadMode::wrap ? n : mode == PadMode::symmetric ? 2 * n : 2 * (n - 1);
  if (period == 0) return 0;
  int64_t at = (i % period + period) % period;
  if (at < n) return at;
  return mode == PadMode::symmetric ? period - 1 - at : period - at;
}

// Inputs: array, the value of the constant mode (broadcasts to the result).
constinit const Op pad_op{
    .name = "pad",
    .attrs = &attrs_type<PadAttrs>,
    .infer =
        [](Inference& in) {
          auto& attrs = in.attrs<PadAttrs>();
          Shape out = in.shape();
          for (size_t i = 0; i < out.size(); ++i) {
            if (attrs.low[i] < 0 || attrs.high[i] < 0)
              throw ValueError(cat(in.name(), ": pad widths must not be negative, found (",
                                   attrs.low[i], ", ", attrs.high[i], ") for axis ", i));
            if (attrs.mode != PadMode::constant && out[i] == 0 && attrs.low[i] + attrs.high[i] > 0)
              throw ValueError(cat(in.name(), ": mode ", kPadModes[static_cast<int>(attrs.mode)],
                                   " cannot extend axis ", i, " of size 0"));
            if (__builtin_add_overflow(out[i], attrs.low[i], &out[i]) ||
                __builtin_add_overflow(out[i], attrs.high[i], &out[i]))
              throw ValueError(cat(in.name(), ": axis ", i,
                                   " gets more elements than 63 bits can "
                                   "count"));
          }
          in.result(out, in.dtype());
        },
    .expand =
        [](const Call& c, std::span<Array> out) {
          auto& attrs = c.attrs<PadAttrs>();
          Array a = c.in(0);
          if (attrs.mode == PadMode::constant) {
            SliceAttrs inside = full_slice(a.ndim());
            Shape shape = a.shape();
            for (size_t i = 0; i < shape.size(); ++i) {
              inside.start[i] = attrs.low[i];
              inside.stop[i] = attrs.low[i] + a.shape()[i];
              shape[i] += attrs.low[i] + attrs.high[i];
            }
            out[0] = slice_update(broadcast_to(c.in(1), shape), a, inside);
            return;
          }
          for (size_t i = 0; i < a.ndim(); ++i) {
            int64_t n = a.shape()[i], low = attrs.low[i];
            if (low + attrs.high[i] == 0) continue;
            a = take(a,
                     index_array(low + n + attrs.high[i],
                                 [&](int64_t k) { return padded_source(attrs.mode, k - low, n); }),
                     static_cast<int64_t>(i));
          }
          out[0] = a;
        },
    .derive = ThroughExpand(),
    .batch =
        [](const BatchedCall& c, std::span<Array> out) {
          auto attrs = c.attrs<PadAttrs>();
          attrs.low = rules::prepend(0, attrs.low);
          attrs.high = rules::prepend(0, attrs.high);
          Array value = c.in[1];
          if (c.batched[1]) {
            size_t rank = attrs.low.size() - 1;
            value =
                reshape(value, rules::prepend(c.size, aligned(rules::unbatched_shape(c, 1), rank)));
          }
          out[0] = bind(pad_op, {c.with_axis(0), value}, attrs);
        },
};

}  // namespace

constinit const Op concatenate_op{
    .name = "concatenate",
    .attrs = &attrs_type<ConcatAttrs>,
    .infer = infer_concatenate,
    .derive = LinearJointly(~0u, transpose_concatenate),
    .batch =
        [](const BatchedCall& c, std::span<Array> out) {
          std::vector<Array> all;
          for (size_t i = 0; i < c.in.size(); ++i) all.push_back(c.with_axis(static_cast<int>(i)));
          out[0] = concatenate(all, c.attrs<ConcatAttrs>().axis + 1);
        },
};

// --- the API -------------------------------------------------------------------------------------

Array concatenate(std::span<const Array> arrays, std::optional<int64_t> axis) {
  if (arrays.empty()) throw ValueError("concatenate: needs at least one array");
  std::vector<Array> in(arrays.begin(), arrays.end());
  if (!axis)
    for (Array& a : in) a = flatten(a);
  Dtype dtype = in[0].dtype();
  for (const Array& a : in) dtype = promote(dtype, a.dtype());
  for (Array& a : in) a = astype(a, dtype);
  if (in[0].ndim() == 0)
    throw ValueError("concatenate: arrays without dimensions cannot be joined; use stack");
  ConcatAttrs attrs{normalize_axis("concatenate", axis.value_or(0), in[0].ndim())};
  return in.size() == 1 ? in[0] : bind(concatenate_op, in, &attrs);
}

Array stack(std::span<const Array> arrays, std::optional<int64_t> axis) {
  if (arrays.empty()) throw ValueError("stack: needs at least one array");
  std::vector<Array> in;
  for (const Array& a : arrays) {
    if (a.shape() != arrays[0].shape())
      throw ValueError(cat("stack: all arrays must have the same shape, found ", arrays[0].shape(),
                           " and ", a.shape()));
    in.push_back(axis ? expand_dims(a, {*axis}) : expand_dims(flatten(a), {0}));
  }
  return concatenate(in, axis ? normalize_axis("stack", *axis, arrays[0].ndim() + 1) : 0);
}

std::vector<Array> split(const Array& a, int64_t sections, int64_t axis) {
  if (sections < 1 || sections > UINT16_MAX)
    throw ValueError(
        cat("split: asked for ", sections, " parts; there must be from 1 to ", UINT16_MAX));
  return bind_all(split_op, {a}, SplitAttrs{sections, {}, axis});
}

std::vector<Array> split_at(const Array& a, const Dims& indices, int64_t axis) {
  if (indices.size() >= UINT16_MAX)
    throw ValueError(cat("split: ", indices.size(), " cuts are more than ", UINT16_MAX - 1));
  return bind_all(split_op, {a}, SplitAttrs{0, indices, axis});
}

std::vector<Array> unstack(const Array& a, int64_t axis) {
  int64_t n = a.shape()[normalize_axis("unstack", axis, a.ndim())];
  if (n == 0) return {};
  std::vector<Array> parts = split(a, n, axis);
  for (Array& part : parts) part = squeeze(part, Dims{axis});
  return parts;
}

Array tile(const Array& a, const Dims& reps) { return bind(tile_op, {a}, TileAttrs{reps}); }

Array repeat(const Array& array, const Dims& repeats, std::optional<int64_t> axis) {
  if (!axis) return repeat(flatten(array), repeats, 0);
  int64_t n = normalize_axis("repeat", *axis, array.ndim());
  if (repeats.size() == 1) return bind(repeat_op, {array}, RepeatAttrs{repeats[0], n});
  int64_t size = array.shape()[n];
  if (static_cast<int64_t>(repeats.size()) != size)
    throw ValueError(cat("repeat: ", repeats.size(), " numbers of repeats for the ", size,
                         " elements of axis ", n));
  std::vector<int64_t> from;
  for (int64_t i = 0; i < size; ++i) {
    if (repeats[i] < 0) throw ValueError(cat("repeat: cannot repeat ", repeats[i], " times"));
    from.insert(from.end(), repeats[i], i);
  }
  return take(array, Array::from<int64_t>(from, {static_cast<int64_t>(from.size())}), n);
}

Array pad(const Array& a, const std::vector<Dims>& pad_width, const std::string& mode,
          const Operand& constant_values) {
  const char* const* found = std::find(std::begin(kPadModes), std::end(kPadModes), mode);
  if (found == std::end(kPadModes))
    throw ValueError(
        cat("pad: mode must be 'constant', 'edge', 'reflect', 'symmetric' or 'wrap', "
            "found '",
            mode, "'"));
  PadAttrs attrs{{}, {}, static_cast<PadMode>(found - kPadModes)};
  if (pad_width.size() != 1 && pad_width.size() != a.ndim())
    throw ValueError(cat("pad: needs one pad width for all axes or one for each of the ", a.ndim(),
                         " axes of ", a.shape(), ", found ", pad_width.size()));
  for (size_t i = 0; i < a.ndim(); ++i) {
    const Dims& width = pad_width[pad_width.size() == 1 ? 0 : i];
    if (width.size() != 1 && width.size() != 2)
      throw ValueError(cat("pad: a pad width is one number or (before, after), found ", width));
    attrs.low.push_back(width[0]);
    attrs.high.push_back(width.back());
  }
  Array value = constant_values.is_array() ? astype(constant_values.array(), a.dtype())
                                           : literal(constant_values.scalar(), a.dtype());
  return bind(pad_op, {a, value}, attrs);
}

namespace {

std::vector<Array> split_nested(const Array& a, const NestedInts& indices_or_sections,
                                int64_t axis) {
  if (indices_or_sections.kind == NestedInts::Kind::nested)
    throw ValueError("split: indices_or_sections must be an int or a sequence of ints");
  const Dims& given = indices_or_sections.values[0];
  return indices_or_sections.kind == NestedInts::Kind::number ? split(a, given[0], axis)
                                                              : split_at(a, given, axis);
}

ArrayTuple unstack_tuple(const Array& a, int64_t axis) { return {unstack(a, axis)}; }

Array pad_nested(const Array& a, const NestedInts& pad_width, const std::string& mode,
                 const Operand& constant_values) {
  return pad(a, pad_width.values, mode, constant_values);
}

constexpr const char* kConcatDoc =
    R"(The arrays one after another along `axis`, in their common dtype.

With axis=None they are flattened first.

Raises:
    ValueError: if no array is given, or sizes differ on another axis.

>>> concatenate([array([1, 2]), array([3])])
array([1, 2, 3], dtype=int32))";

constexpr Function kFunctions[] = {
    function<&concatenate>("concatenate", "arrays, axis=0", kConcatDoc),
    function<&concatenate>("concat", "arrays, axis=0", kConcatDoc),
    function<&stack>("stack", "arrays, axis=0",
                     R"(The arrays, all of one shape, along a new axis.

With axis=None they are flattened first.

>>> stack([array([1, 2]), array([3, 4])])
array([[1, 2],
       [3, 4]], dtype=int32))"),
    function<&split_nested>("split", "a, /, indices_or_sections, axis=0",
                            R"(Parts of `a` along `axis`, without copies.

An int asks for that many equal parts; a sequence holds the places to cut, with the rules of slices.

Raises:
    ValueError: if the axis does not divide into equal parts.

>>> split(array([1, 2, 3, 4]), [1])
[array([1], dtype=int32), array([2, 3, 4], dtype=int32)])"),
    function<&unstack_tuple>("unstack", "a, /, axis=0",
                             R"(The arrays along `axis`, each without it.

>>> unstack(array([[1, 2], [3, 4]]))
(array([1, 2], dtype=int32), array([3, 4], dtype=int32)))"),
    function<&tile>("tile", "a, reps, /",
                    R"(`a` repeated reps[i] times along axis i.

The shorter of the shape of `a` and `reps` (an int or a sequence) is extended in front by ones.

>>> tile(array([1, 2]), 2)
array([1, 2, 1, 2], dtype=int32))"),
    function<&repeat>("repeat", "array, repeats, axis=None",
                      R"(Each element several times in a row along `axis`.

`repeats` is one number, or one for each element of the axis. Without an axis, `array` is flattened.

>>> repeat(array([1, 2]), 2)
array([1, 1, 2, 2], dtype=int32))"),
    function<&pad_nested>("pad", "a, pad_width, mode='constant', constant_values=0",
                          R"(`a` with elements added at both ends of its axes.

Args:
    pad_width: n or (before, after) for all axes, or a sequence with one of these for each axis.
    mode: "constant" adds `constant_values`, "edge" the last element, "reflect" the elements mirrored at the edge
        without it, "symmetric" with it, "wrap" those from the other end.

Raises:
    ValueError: for negative widths, and for an empty axis in a mode other than "constant".

>>> pad(array([1, 2]), (1, 2))
array([0, 1, 2, 0, 0], dtype=int32))"),
};

}  // namespace

void register_concat(Registry& registry) {
  for (const Op* op : {&concatenate_op, &split_op, &tile_op, &repeat_op, &pad_op})
    registry.add(*op);
  for (const Function& f : kFunctions) registry.add(f);
}

}  // namespace legato
