#include "legato/nn/losses.h"

#include <cmath>
#include <numbers>

#include "legato/ops/index/index.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/reduce/reduce.h"
#include "legato/ops/shape/shape.h"
#include "legato/ops/softmax/softmax.h"

namespace legato::nn::losses {
namespace {

Array reduced(const Array& loss, Reduction reduction) {
  if (reduction == Reduction::mean) return mean(loss);
  if (reduction == Reduction::sum) return sum(loss);
  return loss;
}

Array weighted(const Array& loss, const Array& weights) {
  if (!weights) return loss;
  if (weights.shape() != loss.shape())
    throw ValueError(cat("weights have shape ", weights.shape(), ", but the loss has shape ",
                         loss.shape(), "; one weight for each loss is expected."));
  return loss * weights;
}

void check_same(const char* loss, const char* first, const Array& a, const char* second,
                const Array& b) {
  if (a.shape() != b.shape())
    throw ValueError(cat(loss, ": ", first, " have shape ", a.shape(), ", but ", second,
                         " have shape ", b.shape(), "; they must be equal."));
}

/// x[..., target, ...] along the axis of the classes.
Array at_target(const Array& x, const Array& targets, int axis) {
  return squeeze(take_along_axis(x, expand_dims(targets, Dims{axis}), axis), Dims{axis});
}

/// log(p), but at least -100. Zero is kept from the logarithm, whose infinite slope would make
/// gradients nan.
Array bounded_log(const Array& p) {
  const Array none = equal(p, 0);
  return where(none, -100.0, maximum(log(where(none, 1.0, p)), -100.0));
}

}  // namespace

Array cross_entropy(const Array& logits, const Array& targets, const CrossEntropyOptions& o) {
  if (!(o.label_smoothing >= 0 && o.label_smoothing < 1))
    throw ValueError(
        cat("cross_entropy: label_smoothing is ", o.label_smoothing, "; expected [0, 1)."));
  const int axis = normalize_axis("cross_entropy", o.axis, logits.ndim());
  const Axes classes = Dims{axis};
  const bool probabilities = targets.ndim() == logits.ndim();
  Shape expected = logits.shape();
  if (!probabilities) expected.erase(static_cast<size_t>(axis));
  if (targets.shape() != expected)
    throw ValueError(cat("cross_entropy: logits have shape ", logits.shape(),
                         " and targets have shape ", targets.shape(), "; expected ", expected,
                         ", or the shape of the logits for probabilities."));
  Array loss;
  if (probabilities) {
    loss = sum(targets * (logsumexp(logits, classes, true) - logits), classes);
  } else {
    if (!is_integer(targets.dtype()))
      throw ValueError(cat("cross_entropy: targets are of dtype ", targets.dtype(),
                           "; class indices must be integers, and probabilities must have the "
                           "shape ",
                           logits.shape(), " of the logits."));
    if (static_cast<size_t>(axis) + 1 == logits.ndim() && is_floating(logits.dtype()))
      loss = legato::cross_entropy(logits, targets);
    else
      loss = logsumexp(logits, classes) - at_target(logits, targets, axis);
  }
  if (o.label_smoothing > 0) {
    const Array uniform = logsumexp(logits, classes) - mean(logits, classes);
    loss = (1 - o.label_smoothing) * loss + o.label_smoothing * uniform;
  }
  return reduced(weighted(loss, o.weights), o.reduction);
}

Array binary_cross_entropy(const Array& inputs, const Array& targets,
                           const BinaryCrossEntropyOptions& o) {
  check_same("binary_cross_entropy", "inputs", inputs, "targets", targets);
  const Array loss =
      o.with_logits ? logaddexp(0.0, inputs) - inputs * targets
                    : -(targets * bounded_log(inputs) + (1 - targets) * bounded_log(1 - inputs));
  return reduced(weighted(loss, o.weights), o.reduction);
}

Array l1_loss(const Array& predictions, const Array& targets, Reduction reduction) {
  check_same("l1_loss", "predictions", predictions, "targets", targets);
  return reduced(abs(predictions - targets), reduction);
}

Array mse_loss(const Array& predictions, const Array& targets, Reduction reduction) {
  check_same("mse_loss", "predictions", predictions, "targets", targets);
  return reduced(square(predictions - targets), reduction);
}

Array nll_loss(const Array& inputs, const Array& targets, int axis, Reduction reduction) {
  return reduced(-at_target(inputs, targets, axis), reduction);
}

Array gaussian_nll_loss(const Array& inputs, const Array& targets, const Array& vars, bool full,
                        double eps, Reduction reduction) {
  check_same("gaussian_nll_loss", "inputs", inputs, "targets", targets);
  check_same("gaussian_nll_loss", "inputs", inputs, "vars", vars);
  const Array v = maximum(vars, eps);
  Array loss = 0.5 * (log(v) + square(targets - inputs) / v);
  if (full) loss += 0.5 * std::log(2 * std::numbers::pi);
  return reduced(loss, reduction);
}

Array kl_div_loss(const Array& inputs, const Array& targets, int axis, Reduction reduction) {
  return reduced(sum(exp(targets) * (targets - inputs), Dims{axis}), reduction);
}

Array smooth_l1_loss(const Array& predictions, const Array& targets, double beta,
                     Reduction reduction) {
  check_same("smooth_l1_loss", "predictions", predictions, "targets", targets);
  const Array distance = abs(predictions - targets);
  const Array small = 0.5 * square(distance) / beta;
  return reduced(where(distance < beta, small, distance - 0.5 * beta), reduction);
}

Array triplet_loss(const Array& anchors, const Array& positives, const Array& negatives,
                   const TripletOptions& o) {
  auto distance = [&](const Array& others) {
    const Array difference = anchors - others;
    if (o.p == 2) return sqrt(sum(square(difference), Dims{o.axis}) + o.eps);
    return power(sum(power(abs(difference), o.p), Dims{o.axis}) + o.eps, 1 / o.p);
  };
  return reduced(maximum(distance(positives) - distance(negatives) + o.margin, 0), o.reduction);
}

Array hinge_loss(const Array& inputs, const Array& targets, Reduction reduction) {
  return reduced(maximum(1 - inputs * targets, 0), reduction);
}

Array huber_loss(const Array& inputs, const Array& targets, double delta, Reduction reduction) {
  const Array distance = abs(inputs - targets);
  const Array small = 0.5 * square(distance);
  return reduced(where(distance <= delta, small, delta * (distance - 0.5 * delta)), reduction);
}

Array log_cosh_loss(const Array& inputs, const Array& targets, Reduction reduction) {
  const Array errors = inputs - targets;
  return reduced(logaddexp(errors, -errors) - std::numbers::ln2, reduction);
}

Array cosine_similarity_loss(const Array& x1, const Array& x2, int axis, double eps,
                             Reduction reduction) {
  const Axes along = Dims{axis};
  const Array lengths = sqrt(sum(square(x1), along)) * sqrt(sum(square(x2), along));
  return reduced(sum(x1 * x2, along) / maximum(lengths, eps), reduction);
}

Array margin_ranking_loss(const Array& inputs1, const Array& inputs2, const Array& targets,
                          double margin, Reduction reduction) {
  check_same("margin_ranking_loss", "inputs1", inputs1, "inputs2", inputs2);
  check_same("margin_ranking_loss", "inputs1", inputs1, "targets", targets);
  return reduced(maximum(-targets * (inputs1 - inputs2) + margin, 0), reduction);
}

}  // namespace legato::nn::losses
