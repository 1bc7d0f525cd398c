// Softmax and its relatives: exponentials normalised along an axis.
#pragma once

#include "legato/array/array.h"
#include "legato/array/operand.h"

namespace legato {

// In all of these: the largest element is subtracted first, so that nothing overflows; half types
// compute in float32 and round once; integers give float32; an axis beyond the rank throws
// AxisError. Differentiable.

/// exp(a) / sum(exp(a)) along `axis` (all axes if nothing is given). Rows of -inf give nan.
/// `precise` is always granted.
LEGATO_API Array softmax(const Array& a, const Axes& axis = {}, bool precise = false);
/// log(softmax(a)), without rounding small probabilities to 0.
LEGATO_API Array log_softmax(const Array& a, const Axes& axis = {});
/// log(sum(exp(a))) along `axis`. -inf where all elements are; throws ValueError if there are none.
LEGATO_API Array logsumexp(const Array& a, const Axes& axis = {}, bool keepdims = false);

/// logsumexp(logits) - logits[target] over the last axis: logits (..., C), targets integers (...)
/// in [0, C). Throws ValueError if shapes or dtypes do not match.
LEGATO_API Array cross_entropy(const Array& logits, const Array& targets);

}  // namespace legato
