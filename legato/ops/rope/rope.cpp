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

void check(const Array& a, int dims, const std::optional<double>& base, const Operand& offset,
           const std::optional<Array>& freqs) {
  if (!is_floating(a.dtype()))
    throw ValueError(cat("rope: the dtype is ", a.dtype(), "; expected a floating one."));
  if (a.ndim() < 3)
    throw ValueError(cat("rope: a has shape ", a.shape(), "; expected at least 3 dimensions."));
  if (dims < 2 || dims % 2 != 0 || dims > a.shape(-1))
    throw ValueError(cat("rope: dims is ", dims, "; expected an even number up to ", a.shape(-1),
                         ", the last axis of ", a.shape(), "."));
  if (base.has_value() == freqs.has_value())
    throw ValueError(cat("rope: ", base ? "both base and freqs are" : "neither base nor freqs is",
                         " given; give exactly one of them."));
  if (freqs && !(freqs->shape() == Shape{dims / 2}))
    throw ValueError(cat("rope: freqs has shape ", freqs->shape(), "; expected (", dims / 2,
                         ",), half of dims."));
  if (offset.is_array() &&
      (offset.array().ndim() > 1 || (offset.array().ndim() == 1 && offset.array().size() != 1 &&
                                     offset.array().size() != a.shape(0))))
    throw ValueError(cat("rope: offset has shape ", offset.array().shape(), "; expected () or (",
                         a.shape(0), ",), the first axis of ", a.shape(), "."));
}

/// Features [start, stop) by `step` of the last axis.
Array features(const Array& a, int64_t start, int64_t stop, int64_t step = 1) {
  SliceAttrs part = full_slice(a.ndim());
  part.start.back() = start;
  part.stop.back() = stop;
  part.step.back() = step;
  return slice(a, part);
}

}  // namespace

Array rope(const Array& a, int dims, bool traditional, const std::optional<double>& base,
           double scale, const Operand& offset, const std::optional<Array>& freqs) {
  check(a, dims, base, offset, freqs);
  const Dtype compute = compute_dtype(a.dtype());
  const int64_t half = dims / 2, length = a.shape(-2);

  Array places = astype(arange(Scalar(length)), compute);  // (T,)
  if (!offset.is_array()) {
    places = add(places, offset.scalar());
  } else if (offset.array().ndim() == 0) {
    places = add(places, astype(offset.array(), compute));
  } else {  // (B, 1, ..., T)
    Shape line = Dims::filled(a.ndim() - 1, 1);
    line[0] = offset.array().size();
    places = add(places, reshape(astype(offset.array(), compute), line));
  }
  Array speed = freqs ? reciprocal(astype(*freqs, compute))
                      : exp(multiply(astype(arange(Scalar(half)), compute),
                                     -std::log(*base) / static_cast<double>(half)));
  Array angle =
      multiply(expand_dims(multiply(places, scale), Dims{-1}), speed);  // (..., T, dims / 2)
  Array cosine = cos(angle), sine = sin(angle);

  Array x = astype(a, compute);
  Array first = traditional ? features(x, 0, dims, 2) : features(x, 0, half);
  Array second = traditional ? features(x, 1, dims, 2) : features(x, half, dims);
  Array turned[] = {subtract(multiply(first, cosine), multiply(second, sine)),
                    add(multiply(first, sine), multiply(second, cosine))};
  Array pairs = traditional ? flatten(stack(turned, -1), -2, -1) : concatenate(turned, -1);
  if (dims < a.shape(-1)) {
    const Array parts[] = {pairs, features(x, dims, a.shape(-1))};
    pairs = concatenate(parts, -1);
  }
  return astype(pairs, a.dtype());
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

void register_rope(Registry& r) { r.add(rope_function); }

}  // namespace legato
