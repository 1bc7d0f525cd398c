// Convolutions, channels last: input (N, spatial..., C), weight (O, kernel..., C / groups), result
// (N, spatial..., O).
//
// One to three spatial axes. Lists hold one entry a spatial axis, or a single entry for all.
// Floating dtypes only; half types are summed in float32 and rounded once. Shapes that do not fit
// throw ValueError. Differentiable in input and weight, as often as wanted. As in all frameworks
// this is the cross-correlation; `flip` turns the kernel around.
#pragma once

#include "legato/array/array.h"
#include "legato/array/operand.h"

namespace legato {

LEGATO_API Array conv1d(const Array& input, const Array& weight, const Dims& stride = {1},
                        const Dims& padding = {0}, const Dims& dilation = {1}, int64_t groups = 1);
LEGATO_API Array conv2d(const Array& input, const Array& weight, const Dims& stride = {1},
                        const Dims& padding = {0}, const Dims& dilation = {1}, int64_t groups = 1);
LEGATO_API Array conv3d(const Array& input, const Array& weight, const Dims& stride = {1},
                        const Dims& padding = {0}, const Dims& dilation = {1}, int64_t groups = 1);
/// The transpose of a convolution with these parameters: upsamples by `stride`. `output_padding`
/// adds rows at the high side.
LEGATO_API Array conv_transpose1d(const Array& input, const Array& weight, const Dims& stride = {1},
                                  const Dims& padding = {0}, const Dims& dilation = {1},
                                  const Dims& output_padding = {0}, int64_t groups = 1);
LEGATO_API Array conv_transpose2d(const Array& input, const Array& weight, const Dims& stride = {1},
                                  const Dims& padding = {0}, const Dims& dilation = {1},
                                  const Dims& output_padding = {0}, int64_t groups = 1);
LEGATO_API Array conv_transpose3d(const Array& input, const Array& weight, const Dims& stride = {1},
                                  const Dims& padding = {0}, const Dims& dilation = {1},
                                  const Dims& output_padding = {0}, int64_t groups = 1);
/// The general form. `padding`: a number, one a spatial axis, or a pair of lists (low sides, high
/// sides).
LEGATO_API Array conv_general(const Array& input, const Array& weight, const Dims& stride,
                              const NestedInts& padding, const Dims& kernel_dilation,
                              const Dims& input_dilation, int64_t groups = 1, bool flip = false);
/// Discrete convolution of two 1-d arrays, as numpy.convolve. `mode`: "full", "same" or "valid".
LEGATO_API Array convolve(const Array& a, const Array& v, const std::string& mode = "full");

}  // namespace legato
