// Loss functions.
//
// All are differentiable with respect to every floating argument, and reduce as `reduction` says:
// none gives the loss of each element, mean and sum a scalar. Shapes that do not fit throw
// ValueError.
#pragma once

#include <cstdint>

#include "legato/array/operand.h"

namespace legato::nn {

enum class Reduction : uint8_t { none, mean, sum };

namespace losses {

struct CrossEntropyOptions {
  Array weights = {};  // factor of each loss; a mean divides by the number of losses all the same
  int axis = -1;       // of the classes
  double label_smoothing = 0;  // how much probability to spread evenly over the classes, in [0, 1)
  Reduction reduction = Reduction::none;
};
/// Cross-entropy of `targets` and softmax(logits), in nats. logits (..., C, ...) with the classes
/// on an axis; targets: integers in [0, C) of the shape of logits without that axis, or
/// probabilities of the shape of logits. Result: the shape of logits without the axis.
LEGATO_API Array cross_entropy(const Array& logits, const Array& targets,
                               const CrossEntropyOptions& options = {});

struct BinaryCrossEntropyOptions {
  Array weights = {};       // factor of each loss
  bool with_logits = true;  // otherwise inputs are probabilities, whose log is at least -100
  Reduction reduction = Reduction::mean;
};
LEGATO_API Array binary_cross_entropy(const Array& inputs, const Array& targets,
                                      const BinaryCrossEntropyOptions& options = {});

/// |predictions - targets|, and its square.
LEGATO_API Array l1_loss(const Array& predictions, const Array& targets,
                         Reduction reduction = Reduction::mean);
LEGATO_API Array mse_loss(const Array& predictions, const Array& targets,
                          Reduction reduction = Reduction::mean);
/// -inputs[targets] for log-probabilities with the classes on `axis`.
LEGATO_API Array nll_loss(const Array& inputs, const Array& targets, int axis = -1,
                          Reduction reduction = Reduction::none);
/// (log(vars) + (targets - inputs)^2 / vars) / 2, with variances of at least eps; `full` adds
/// log(2 pi) / 2.
LEGATO_API Array gaussian_nll_loss(const Array& inputs, const Array& targets, const Array& vars,
                                   bool full = false, double eps = 1e-6,
                                   Reduction reduction = Reduction::mean);
/// sum(exp(targets) * (targets - inputs)) over `axis`, of log-probabilities.
LEGATO_API Array kl_div_loss(const Array& inputs, const Array& targets, int axis = -1,
                             Reduction reduction = Reduction::none);
/// d^2 / (2 beta) if |d| < beta, else |d| - beta / 2.
LEGATO_API Array smooth_l1_loss(const Array& predictions, const Array& targets, double beta = 1,
                                Reduction reduction = Reduction::mean);

struct TripletOptions {
  int axis = -1;  // of the coordinates
  double p = 2;   // which norm is the distance: (sum(|difference|^p) + eps)^(1/p)
  double margin = 1;
  double eps = 1e-6;
  Reduction reduction = Reduction::none;
};
/// max(d(anchors, positives) - d(anchors, negatives) + margin, 0).
LEGATO_API Array triplet_loss(const Array& anchors, const Array& positives, const Array& negatives,
                              const TripletOptions& options = {});
/// max(1 - inputs * targets, 0), with targets of -1 or 1.
LEGATO_API Array hinge_loss(const Array& inputs, const Array& targets,
                            Reduction reduction = Reduction::none);
/// d^2 / 2 if |d| <= delta, else delta * (|d| - delta / 2).
LEGATO_API Array huber_loss(const Array& inputs, const Array& targets, double delta = 1,
                            Reduction reduction = Reduction::none);
/// log(cosh(inputs - targets)).
LEGATO_API Array log_cosh_loss(const Array& inputs, const Array& targets,
                               Reduction reduction = Reduction::none);
/// The cosine of the angle between vectors, to be maximized: x1 * x2 / max(|x1| |x2|, eps).
LEGATO_API Array cosine_similarity_loss(const Array& x1, const Array& x2, int axis = 1,
                                        double eps = 1e-8, Reduction reduction = Reduction::none);
/// max(-targets * (inputs1 - inputs2) + margin, 0).
LEGATO_API Array margin_ranking_loss(const Array& inputs1, const Array& inputs2,
                                     const Array& targets, double margin = 0,
                                     Reduction reduction = Reduction::none);

}  // namespace losses
}  // namespace legato::nn
