// Normalisations: rows, or groups of channels, brought to mean 0 and variance 1.
#pragma once

#include <optional>

#include "legato/array/array.h"
#include "legato/array/operand.h"

namespace legato {

// In all of these: `weight` and `bias` have shape (C,), C being the size of the last axis; the
// result has the dtype in which the arguments meet; half types compute in float32 and round once; a
// wrong shape or an integer dtype throws ValueError. Differentiable in every argument.

/// (x - mean) / sqrt(var + eps) * weight + bias over the last axis; var divides by C.
LEGATO_API Array layer_norm(const Array& x, const std::optional<Array>& weight,
                            const std::optional<Array>& bias, double eps);
/// x / sqrt(mean(x^2) + eps) * weight over the last axis.
LEGATO_API Array rms_norm(const Array& x, const std::optional<Array>& weight, double eps);
/// As layer_norm, but over all positions and the channels of a group: x is (N, ..., C), and C is
/// divided into `num_groups` runs of neighbouring channels. The numbers are those of PyTorch's
/// group norm with channels last.
LEGATO_API Array group_norm(const Array& x, int num_groups, const std::optional<Array>& weight = {},
                            const std::optional<Array>& bias = {}, double eps = 1e-5);

}  // namespace legato
