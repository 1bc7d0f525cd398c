// Cross-entropy with integer targets: what a classifier's loss is made of.
#include "legato/op/function.h"
#include "legato/op/registry.h"
#include "legato/ops/create/create.h"
#include "legato/ops/index/index.h"
#include "legato/ops/pointwise/pointwise.h"
#include "legato/ops/shape/shape.h"
#include "legato/ops/softmax/softmax.h"

namespace legato {

Array cross_entropy(const Array& logits, const Array& targets) {
  if (!is_floating(logits.dtype()))
    throw ValueError(
        cat("cross_entropy: logits are ", logits.dtype(), "; expected a floating dtype."));
  if (!is_integer(targets.dtype()))
    throw ValueError(cat("cross_entropy: targets are ", targets.dtype(),
                         "; expected integers, indices of classes."));
  Shape expected = logits.shape();
  if (expected.empty())
    throw ValueError("cross_entropy: logits have no dimension; expected (..., classes).");
  expected.erase(expected.size() - 1);
  if (!(targets.shape() == expected))
    throw ValueError(cat("cross_entropy: targets have shape ", targets.shape(), "; expected ",
                         expected, ", the shape of logits ", logits.shape(),
                         " without the last axis."));
  const Array x = astype(logits, compute_dtype(logits.dtype()));
  Array chosen = squeeze(take_along_axis(x, expand_dims(targets, Dims{-1}), -1), Dims{-1});
  return astype(subtract(logsumexp(x, Dims{-1}), chosen), logits.dtype());
}

namespace {

constinit const Function cross_entropy_function = function<&cross_entropy>(
    "cross_entropy", "logits, targets",
    R"(Negative log-likelihood of `targets` under softmax(`logits`), in nats.

Args:
    logits: Floating array of shape (..., C). Differentiable.
    targets: Integer array of shape (...), each in [0, C).

Returns:
    Array of the shape of `targets` and the dtype of `logits`. Half types compute in float32.

Raises:
    ValueError: if shapes or dtypes do not match.

>>> fast.cross_entropy(array([[0.0, 0.0]]), array([1]))
array([0.693147], dtype=float32)
)",
    "fast");

}  // namespace

void register_cross_entropy(Registry& r) { r.add(cross_entropy_function); }

}  // namespace legato
