#include "legato/ops/rope/rope.h"

#include <cmath>

#include "legato/op/function.h"
#include "legato/op/registry.h"
#include "legato/ops/concat/concat.h"
#include "legato/ops/create/create.h"
#include "legato/ops/index/slice.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/shape/shape.h"

namespace legato {
namespace {

/// Inputs are `a`, then the offset if it is an array, then freqs if they are given.
struct RopeAttrs {
  int64_t dims = 0;
  bool traditional = false, offset_is_array = false;
  std::optional<double> base;  // nothing: freqs are given
  double scale = 1;
  Scalar offset;
  static constexpr auto fields() {
    return std::tuple(
        field("dims", &RopeAttrs::dims), field("traditional", &RopeAttrs::traditional),
        field("offset_is_array", &RopeAttrs::offset_is_array), field("base", &RopeAttrs::base),
        field("scale", &RopeAttrs::scale), field("offset", &RopeAttrs::offset));
  }
};

void infer(Inference& in) {
  const auto& attrs = in.attrs<RopeAttrs>();
  const Shape& a = in.shape();
  if (!is_floating(in.dtype()))
    throw ValueError(cat("rope: the dtype is ", in.dtype(), "; expected a floating one."));
  if (a.size() < 3)
    throw ValueError(cat("rope: a has shape ", a, "; expected at least 3 dimensions."));
  if (attrs.dims < 2 || attrs.dims % 2 != 0 || attrs.dims > a.back())
    throw ValueError(cat("rope: dims is ", attrs.dims, "; expected an even number up to ", a.back(),
                         ", the last axis of ", a, "."));
  int next = 1;
  if (attrs.offset_is_array) {
    const Shape& offset = in.shape(next++);
    if (offset.size() > 1 || (offset.size() == 1 && offset[0] != 1 && offset[0] != a[0]))
      throw ValueError(cat("rope: offset has shape ", offset, "; expected () or (", a[0],
                           ",), the first axis of ", a, "."));
  }
  if (!attrs.base && !(in.shape(next) == Shape{attrs.dims / 2}))
    throw ValueError(cat("rope: freqs has shape ", in.shape(next), "; expected (", attrs.dims / 2,
                         ",), half of dims."));
  in.result(a, in.dtype());
}

/// Features [start, stop) by `step` of the last axis.
Array features(const Array& a, int64_t start, int64_t stop, int64_t step = 1) {
  SliceAttrs part = full_slice(a.ndim());
  part.start.back() = start;
  part.stop.back() = stop;
  part.step.back() = step;
  return slice(a, part);
}

void expand(const Call& c, std::span<Array> out) {
  const auto& attrs = c.attrs<RopeAttrs>();
  const Array& a = c.in();
  const Dtype compute = compute_dtype(a.dtype());
  const int64_t dims = attrs.dims, half = dims / 2, length = a.shape(-2);
  int next = 1;

  Array places = astype(arange(Scalar(length)), compute);  // (T,)
  if (!attrs.offset_is_array) {
    places = add(places, attrs.offset);
  } else {
    Array offset = astype(c.in(next++), compute);
    if (offset.ndim() == 1) {  // (B, 1, ..., 1)
      Shape line = Dims::filled(a.ndim() - 1, 1);
      line[0] = offset.size();
      offset = reshape(offset, line);
    }
    places = add(places, offset);
  }
  Array speed = attrs.base ? exp(multiply(astype(arange(Scalar(half)), compute),
                                          -std::log(*attrs.base) / static_cast<double>(half)))
                           : reciprocal(astype(c.in(next), compute));
  Array angle =
      multiply(expand_dims(multiply(places, attrs.scale), Dims{-1}), speed);  // (..., T, dims / 2)
  Array cosine = cos(angle), sine = sin(angle);

  Array x = astype(a, compute);
  Array first = attrs.traditional ? features(x, 0, dims, 2) : features(x, 0, half);
  Array second = attrs.traditional ? features(x, 1, dims, 2) : features(x, half, dims);
  const Array turned[] = {subtract(multiply(first, cosine), multiply(second, sine)),
                          add(multiply(first, sine), multiply(second, cosine))};
  Array pairs = attrs.traditional ? flatten(stack(turned, -1), -2, -1) : concatenate(turned, -1);
  if (dims < a.shape(-1)) {
    const Array parts[] = {pairs, features(x, dims, a.shape(-1))};
    pairs = concatenate(parts, -1);
  }
  out[0] = astype(pairs, a.dtype());
}

// An op, so that the length is read anew when a graph is run on other shapes.
constinit const Op rope_op{
    .name = "rope",
    .attrs = &attrs_type<RopeAttrs>,
    .infer = infer,
    .expand = expand,
    .derive = ThroughExpand(),
};

}  // namespace

Array rope(const Array& a, int dims, bool traditional, const std::optional<double>& base,
           double scale, const Operand& offset, const std::optional<Array>& freqs) {
  if (base.has_value() == freqs.has_value())
    throw ValueError(cat("rope: ", base ? "both base and freqs are" : "neither base nor freqs is",
                         " given; give exactly one of them."));
  RopeAttrs attrs{dims, traditional, offset.is_array(),
                  base, scale,       offset.is_array() ? Scalar() : offset.scalar()};
  Array in[3] = {a};
  size_t n = 1;
  if (offset.is_array()) in[n++] = offset.array();
  if (freqs) in[n++] = *freqs;
  return bind(rope_op, std::span<const Array>(in, n), &attrs);
}

namespace {

constinit const Function rope_function = function<&rope>(
    "rope", "a, dims, *, traditional, base, scale, offset, freqs=None",
    R"(Rotary position embedding: turns pairs of features by an angle that grows with the position.

Args:
    a: Floating array of shape (..., T, D), at least 3 dimensions.
    dims: How many of the D features are turned; even. The others pass through.
    traditional: Whether pairs are neighbours; else they are i and i + dims // 2.
    base: The pair i turns by position * scale * base**(-2 * i / dims). None if freqs is given.
    scale: Factor of positions.
    offset: Position of the first entry of T: an int, or an integer array of shape () or (B,), one for
        each entry of the first axis.
    freqs: Array of shape (dims // 2,): the pair i turns by position * scale / freqs[i].

Returns:
    Array of the shape and dtype of `a`. Half types compute in float32. Differentiable in `a`.

Raises:
    ValueError: for wrong shapes, odd dims, or unless exactly one of base and freqs is given.

>>> fast.rope(ones((1, 1, 2)), 2, traditional=False, base=10000.0, scale=1.0, offset=0)
array([[[1, 1]]], dtype=float32)
)",
    "fast");

}  // namespace

void register_rope(Registry& r) {
  r.add(rope_op);
  r.add(rope_function);
}

}  // namespace legato
