// Convolutions by cuDNN.
#pragma once

#include <cstdint>
#include <optional>

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

/// Whether the program behind a forward convolution is of the form of ConvAddends.
bool conv_takes(const void* attrs, const Epilogue& epilogue);

/// What a program behind a forward convolution adds to its result: a bias of each channel, and
/// perhaps an array like the result.
struct ConvAddends {
  const void *bias = nullptr, *residual = nullptr;
};
/// Nothing if the launch's program is another one.
std::optional<ConvAddends> read_addends(const Launch& launch);

/// Runs a forward convolution of halves with few output channels, and the program behind it. False,
/// with nothing done, where that does not pay off or cuBLASLt is not there.
bool convolve_few(Launch& launch);

}  // namespace legato::cuda
