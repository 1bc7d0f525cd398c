// The input gradient of convolutions of few channels, by products that are scattered.
#pragma once

#include "legato/backends/cpu/conv.h"

namespace legato::cpu {

/// Whether scatter_input_gradient takes the convolution and is the faster way.
bool scatters_input_gradient(const Conv& conv);

/// As conv_input_gradient.
void scatter_input_gradient(const Conv& conv, const void* dy, const void* w, void* dx,
                            SimdLevel level);

}  // namespace legato::cpu
