// Row loops of the family, for the driver in arg_reduce.cpu.cpp.
#pragma once

#include <cstdint>

#include "legato/array/dtype.h"

namespace legato::cpu {

/// out[r] = index of the extreme of row r of `rows` rows of n > 0 contiguous elements.
using ArgLoop = void (*)(const void* x, uint32_t* out, int64_t n, int64_t rows);

namespace base {
ArgLoop arg_loop(bool largest, Dtype dtype);  // null for complex dtypes
}
#if LEGATO_HAS_X86_LEVELS
namespace avx2 {
ArgLoop arg_loop(bool largest, Dtype dtype);
}
namespace avx512 {
ArgLoop arg_loop(bool largest, Dtype dtype);
}
#endif

}  // namespace legato::cpu
