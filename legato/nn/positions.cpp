// Resizing, and ways to tell a transformer where its inputs stand.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "legato/nn/check.h"
#include "legato/nn/layers.h"
#include "legato/ops/concat/concat.h"
#include "legato/ops/create/create.h"
#include "legato/ops/index/index.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/reduce/reduce.h"
#include "legato/ops/rope/rope.h"
#include "legato/ops/shape/shape.h"

namespace legato::nn {
namespace {

using Mode = UpsampleOptions::Mode;

/// The filter of linear interpolation, of half width 1.
Array triangle(const Array& t) { return maximum(1 - abs(t), 0); }

/// The cubic convolution filter of Keys, 1981, of half width 2, with slope `a` at 1.
Array cubic(const Array& x, double a) {
  const Array t = abs(x);
  const Array near = ((a + 2) * t - (a + 3)) * t * t + 1;
  const Array far = (((t - 5) * t + 8) * t - 4) * a;
  return where(t <= 1, near, where(t < 2, far, 0.0));
}

Array count_to(int64_t n) { return arange(Scalar(n)); }

/// Resamples one axis: each output is a weighted sum of the inputs around its place.
Array resize_axis(const Array& x, int axis, double scale, const UpsampleOptions& o) {
  const int64_t size = x.shape(axis);
  const auto count = static_cast<int64_t>(scale * static_cast<double>(size));
  const double half_width = o.mode == Mode::linear ? 1 : 2;
  // `places` are positions of the outputs among the inputs, `step` the distance between two of
  // them. What the output lacks of scale * size is missing on both sides alike.
  double step = 1 / scale;
  Array places;
  if (o.align_corners) {
    step = count > 1 ? static_cast<double>(size - 1) / static_cast<double>(count - 1) : 0.0;
    places = count_to(count) * step;
  } else {
    places = (count_to(count) - static_cast<double>(count - 1) / 2) * step +
             static_cast<double>(size - 1) / 2;
  }
  const double stretch = o.antialias ? std::max(step, 1.0) : 1.0;
  const double support = half_width * stretch;
  const auto taps = static_cast<int64_t>(std::ceil(2 * support));
  const Array first = floor(places - support) + 1;

  Array indices = expand_dims(first, {0}) + expand_dims(count_to(taps), {1});  // (taps, count)
  const Array t = (indices - expand_dims(places, {0})) / stretch;
  Array weights = o.mode == Mode::linear ? triangle(t) : cubic(t, o.antialias ? -0.5 : -0.75);
  if (o.antialias) {  // what lies outside does not count; otherwise the edge is repeated
    weights = where((indices >= 0) & (indices < size), weights, 0.0);
    weights = weights / sum(weights, Dims{0}, true);
  }
  indices = astype(minimum(maximum(indices, 0), size - 1), Dtype::int32);

  Shape along = Shape::filled(x.ndim(), 1);
  along[static_cast<size_t>(axis)] = count;
  const std::vector<Array> place = unstack(indices), weight = unstack(weights);
  Array y;
  for (size_t k = 0; k < place.size(); ++k) {
    const Array term = take(x, place[k], axis) * reshape(weight[k], along);
    y = y ? y + term : term;
  }
  return y;
}

Array repeat_nearest(const Array& x, int axis, double scale) {
  if (scale == std::floor(scale)) return repeat(x, {static_cast<int64_t>(scale)}, axis);
  const int64_t size = x.shape(axis);
  const auto count = static_cast<int64_t>(scale * static_cast<double>(size));
  Array indices;
  if (scale > 1) {
    const double step = static_cast<double>(size) / static_cast<double>(count);
    indices = round((count_to(count) + 0.5) * step - 0.5);
    indices = astype(minimum(maximum(indices, 0), size - 1), Dtype::int32);
  } else {  // each output stands for a range of inputs and takes the first
    indices = floor_divide(count_to(count) * size, count);
  }
  return take(x, indices, axis);
}

}  // namespace

Array upsample(const Array& x, const std::vector<double>& scale_factor, const UpsampleOptions& o) {
  if (x.ndim() < 3)
    throw ValueError(
        cat("Upsample: the input has shape ", x.shape(), "; expected (N, spatial..., C)."));
  const size_t axes = x.ndim() - 2;
  if (scale_factor.size() != 1 && scale_factor.size() != axes)
    throw ValueError(cat("Upsample: ", scale_factor.size(), " scales were given for ", axes,
                         " spatial axes; expected one, or one each."));
  if (o.align_corners && o.antialias && o.mode != Mode::nearest)
    throw ValueError("Upsample: antialias is not supported with align_corners; choose one.");
  Array y = x;
  for (size_t i = 0; i < axes; ++i) {
    const double scale = scale_factor.size() == 1 ? scale_factor[0] : scale_factor[i];
    const int axis = static_cast<int>(i) + 1;
    const double size = scale * static_cast<double>(x.shape(axis));
    if (!(size >= 1 && size < 9e15))
      throw ValueError(cat("Upsample: the scale ", scale, " of spatial axis ", i, " of size ",
                           x.shape(axis), " gives no positive, finite size."));
    if (scale == 1) continue;
    y = o.mode == Mode::nearest ? repeat_nearest(y, axis, scale) : resize_axis(y, axis, scale, o);
  }
  return is_inexact(x.dtype()) && y.dtype() != x.dtype() ? astype(y, x.dtype()) : y;
}

Array RoPE::operator()(const Array& x, const Operand& offset) const {
  return rope(x, static_cast<int>(dims), options.traditional, options.base, options.scale, offset);
}

SinusoidalPositionalEncoding::SinusoidalPositionalEncoding(int64_t dims, const SinusoidalOptions& o)
    : scale_(o.scale.value_or(std::sqrt(2 / static_cast<double>(dims)))), cos_first_(o.cos_first) {
  if (dims < 2)
    throw ValueError(cat("SinusoidalPositionalEncoding: dims is ", dims, "; expected 2 or more."));
  const int64_t half = dims / 2;
  // From the largest frequency to the smallest.
  const Array place = 1 - count_to(half) / std::max<int64_t>(half - 1, 1);
  const double low = std::log(o.min_freq), high = std::log(o.max_freq);
  frequencies_ = exp(place * (high - low) + low);
  if (o.full_turns) frequencies_ *= 2 * std::numbers::pi;
}

Array SinusoidalPositionalEncoding::operator()(const Array& x) const {
  const Array angles = expand_dims(x, {-1}) * frequencies_;
  std::vector<Array> parts{sin(angles), cos(angles)};
  if (cos_first_) std::swap(parts[0], parts[1]);
  const Array y = concatenate(parts, -1);
  return scale_ == 1 ? y : y * scale_;
}

Array ALiBi::create_alibi_slope(int64_t num_heads, Dtype dtype) {
  check_sizes("ALiBi", {{"num_heads", num_heads}});
  // For a power of two 2^(-8 h / num_heads), h = 1, 2, ...; otherwise those for the next lower
  // power of two, and then every other one of those for the next higher.
  int64_t power = 1;
  while (power * 2 <= num_heads) power *= 2;
  const double p = static_cast<double>(power);
  std::vector<double> slopes;
  for (int64_t h = 1; h <= power; ++h) slopes.push_back(std::exp2(-8 * static_cast<double>(h) / p));
  for (int64_t h = 1; h < 2 * (num_heads - power); h += 2)
    slopes.push_back(std::exp2(-4 * static_cast<double>(h) / p));
  return astype(Array::from<double>(slopes, {num_heads, 1, 1}), dtype);
}

Array ALiBi::create_alibi_matrix(int64_t q_length, int64_t k_length, int64_t num_heads,
                                 int64_t offset, Dtype dtype) {
  const Array queries = expand_dims(arange(Scalar(offset), Scalar(q_length)), {1});
  const Array distance = abs(queries - expand_dims(count_to(k_length), {0}));
  return -(astype(expand_dims(distance, {0, 1}), dtype) * create_alibi_slope(num_heads, dtype));
}

Array ALiBi::operator()(const Array& scores, int64_t offset, const Array& mask) const {
  if (scores.ndim() != 4)
    throw ValueError(
        cat("ALiBi: the scores have shape ", scores.shape(), "; expected (B, heads, L, S)."));
  Array bias = create_alibi_matrix(scores.shape(2) + offset, scores.shape(3), scores.shape(1),
                                   offset, scores.dtype());
  if (mask) bias += mask;
  return scores + bias;
}

}  // namespace legato::nn
