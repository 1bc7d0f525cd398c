// What the launches of matrix products have in common.
#pragma once

#include "legato/array/dtype.h"

namespace legato::cuda {

/// The ending of the product kernels of a dtype: signed and unsigned integers of a width multiply
/// alike.
const char* product_suffix(Dtype t);

}  // namespace legato::cuda
