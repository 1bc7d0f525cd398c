// Convolution on the CPU: forward, and the gradients with respect to input and weights.
#pragma once
#include <cstdint>

#include "legato/array/dtype.h"
#include "legato/base/cpu_info.h"
#include "legato/base/export.h"

namespace legato::cpu {

/// A convolution of up to three spatial axes, channels last. With fewer axes the leading ones have
/// size 1.
///
///   y[n, o, f] = sum over taps t and channels c of x[n, p / input_dilation, c] * w[f, t', c],
///   p = o * stride + t * kernel_dilation - pad_low    (per axis)
///
/// where t' is t, or kernel - 1 - t if `flip`, and a term is zero where p is not a multiple of
/// input_dilation or lies outside x. Padding on the high side, and negative padding, show only in
/// `out` and in the sign of `pad_low`. Shapes: x (batch, in..., in_channels), w (out_channels,
/// kernel..., in_channels / groups), y (batch, out..., out_channels); all contiguous. Group g maps
/// the g-th share of channels to the g-th share of features.
struct Conv {
  Dtype dtype = Dtype::float32;  ///< float16, bfloat16 (both summed in float32), float32 or float64
  int64_t batch = 1;
  int64_t in_channels = 1, out_channels = 1, groups = 1;
  int64_t in[3] = {1, 1, 1}, kernel[3] = {1, 1, 1}, out[3] = {1, 1, 1};
  int64_t stride[3] = {1, 1, 1}, pad_low[3] = {0, 0, 0};
  int64_t kernel_dilation[3] = {1, 1, 1}, input_dilation[3] = {1, 1, 1};
  bool flip = false;
};

/// Size of an output axis: (dilated input + pad_low + pad_high - dilated kernel) / stride + 1, at
/// least 0.
LEGATO_API int64_t conv_out_size(int64_t in, int64_t kernel, int64_t stride, int64_t pad_low,
                                 int64_t pad_high, int64_t kernel_dilation, int64_t input_dilation);

/// y, from x and w. Nothing overlaps. Runs on the threads of the pool; the numbers do not depend on
/// how many there are. Working memory: the packed weights, for the half types x in float32 as well.
/// Throws MemoryError if there is none.
LEGATO_API void conv_forward(const Conv& conv, const void* x, const void* w, void* y);

/// dx (shape of x): the gradient of sum(y * dy) with respect to x. Otherwise like conv_forward.
LEGATO_API void conv_input_gradient(const Conv& conv, const void* dy, const void* w, void* dx);

/// dw (shape of w): the gradient of sum(y * dy) with respect to w. Working memory: at most 8 MiB of
/// partial sums or the size of w, for the half types x and dy in float32 as well.
LEGATO_API void conv_weight_gradient(const Conv& conv, const void* x, const void* dy, void* dw);

/// The same with the kernels of a level that is not above the machine's; for tests.
void conv_forward(const Conv& conv, const void* x, const void* w, void* y, SimdLevel level);
void conv_input_gradient(const Conv& conv, const void* dy, const void* w, void* dx,
                         SimdLevel level);
void conv_weight_gradient(const Conv& conv, const void* x, const void* dy, void* dw,
                          SimdLevel level);

}  // namespace legato::cpu
