// The records of this family, for its kernels.
#pragma once

#include "legato/op/op.h"

namespace legato {

/// Each list has one entry a spatial axis.
struct ConvAttrs {
  Dims stride, pad_low, pad_high, kernel_dilation, input_dilation;
  int64_t groups = 1;
  bool flip = false;
  Dims like;  // of the gradients: the shape of what they are the gradient of

  static constexpr auto fields() {
    return std::tuple(field("stride", &ConvAttrs::stride), field("pad_low", &ConvAttrs::pad_low),
                      field("pad_high", &ConvAttrs::pad_high),
                      field("kernel_dilation", &ConvAttrs::kernel_dilation),
                      field("input_dilation", &ConvAttrs::input_dilation),
                      field("groups", &ConvAttrs::groups), field("flip", &ConvAttrs::flip),
                      field("like", &ConvAttrs::like));
  }
};

extern const Op conv_op;                  // in: x, w
extern const Op conv_input_gradient_op;   // in: dy, w; out of shape `like`, that of x
extern const Op conv_weight_gradient_op;  // in: x, dy; out of shape `like`, that of w

}  // namespace legato
