// Convolutions by cuDNN.
#pragma once

#include <cstdint>

namespace legato {
class Launch;
}

namespace legato::cuda {

/// Which of the three ops of the family a launch is.
enum class ConvRole : uint8_t { forward, input_gradient, weight_gradient };

/// Runs it on the current device's queue. False, with nothing done, where cuDNN is not there or has
/// no engine for it; the caller has a kernel of its own then.
bool convolve_by_dnn(Launch& launch, ConvRole role);

}  // namespace legato::cuda
