// Convolutions by cuDNN.
#pragma once

#include <cstdint>

namespace legato {
class Launch;
struct Epilogue;
}  // namespace legato

namespace legato::cuda {

/// Which of the three ops of the family a launch is.
enum class ConvRole : uint8_t { forward, input_gradient, weight_gradient };

/// Runs it, and the program behind it, on the current device's queue. False, with nothing done,
/// where cuDNN is not there or has no engine for it; the caller has another way then.
bool convolve_by_dnn(Launch& launch, ConvRole role);

/// Whether convolve_by_dnn may be able to apply this program behind a forward convolution.
bool dnn_takes(const void* attrs, const Epilogue& epilogue);

}  // namespace legato::cuda
