// What the layers' sources share.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <utility>

#include "legato/array/array.h"

namespace legato::nn {

/// Throws ValueError unless all sizes, given with their names, are positive.
void check_sizes(const char* layer, std::initializer_list<std::pair<const char*, int64_t>> sizes);
/// x Wᵀ + b, with or without b.
Array linear(const Array& x, const Array& weight, const Array& bias);
/// Uniform in ±1/√fan.
Array uniform_weight(const Shape& shape, double fan);

}  // namespace legato::nn
