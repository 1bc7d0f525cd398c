// First values of parameters. Each function takes the shape and draws from this thread's random
// state.
#pragma once

#include "legato/array/operand.h"

namespace legato::nn::init {

// Weights are (outputs, kernel..., inputs): fan_in is the number of inputs times kernel positions
// on which one output depends, fan_out the number of outputs times positions. They need two
// dimensions; ValueError otherwise.

LEGATO_API Array constant(const Shape& shape, double value, Dtype dtype = Dtype::float32);
LEGATO_API Array normal(const Shape& shape, double mean = 0, double std = 1,
                        Dtype dtype = Dtype::float32);
/// Even in [low, high).
LEGATO_API Array uniform(const Shape& shape, double low = 0, double high = 1,
                         Dtype dtype = Dtype::float32);
/// The identity matrix. ValueError unless the shape is (n, n).
LEGATO_API Array identity(const Shape& shape, Dtype dtype = Dtype::float32);
/// Normal with standard deviation gain * sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio, 2010).
LEGATO_API Array glorot_normal(const Shape& shape, double gain = 1, Dtype dtype = Dtype::float32);
/// Uniform in +-gain * sqrt(6 / (fan_in + fan_out)).
LEGATO_API Array glorot_uniform(const Shape& shape, double gain = 1, Dtype dtype = Dtype::float32);

enum class Fan : uint8_t { in, out };
/// Normal with standard deviation gain / sqrt(fan) (He et al., 2015).
LEGATO_API Array he_normal(const Shape& shape, Fan fan = Fan::in, double gain = 1,
                           Dtype dtype = Dtype::float32);
/// Uniform in +-gain * sqrt(3 / fan).
LEGATO_API Array he_uniform(const Shape& shape, Fan fan = Fan::in, double gain = 1,
                            Dtype dtype = Dtype::float32);
/// Normal, but a share `sparsity` of each row, rounded up, is zero. ValueError unless the shape is
/// that of a matrix.
LEGATO_API Array sparse(const Shape& shape, double sparsity, double mean = 0, double std = 1,
                        Dtype dtype = Dtype::float32);

/// A random matrix with orthonormal rows or columns (the shorter ones), times `gain`; all
/// directions are equally likely. Computed at once, in float64 on the host. ValueError unless the
/// shape is that of a matrix.
LEGATO_API Array orthogonal(const Shape& shape, double gain = 1, Dtype dtype = Dtype::float32);

}  // namespace legato::nn::init
